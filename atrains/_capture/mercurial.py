"""The Mercurial repository that a program comes from, as `git` says it of one of git. By the command `hg`, without network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from atrains._capture.commands import NEVER, Deadline
from atrains._capture.git import MOST_BYTES, Questions, Repository
from atrains._capture.redact import without_credentials

_HG: Final = ("hg", "--noninteractive")
_SET: Final = {
    # No extension, hook or tool of the user's; what the repository needs stands in its own settings.
    "HGPLAIN": "1",
    "HGRCPATH": "",
    "HGENCODING": "utf-8",
    "HGEDITOR": "false",
}
_HEAD: Final = ("log", "--rev", ".", "--template", "{node}\n{branch}\n")
_PATHS: Final = ("paths", "--verbose")
_DIFF: Final = ("diff", "--git")
_UNKNOWN: Final = ("status", "--unknown", "--no-status", "--print0")
_MOST_UNTRACKED: Final = 1000


def root_of(folder: Path) -> Path | None:
    """The top of the working tree around a folder; None where there is none, or a repository of git is nearer."""
    for candidate in (folder, *folder.parents):
        if (candidate / ".hg").is_dir():
            return candidate
        if (candidate / ".git").exists():
            return None
    return None


def repository(
    root: Path,
    environ: Mapping[str, str],
    *,
    diff: bool = True,
    program: Path | None = None,
    working: Path | None = None,
    deadline: Deadline = NEVER,
) -> Repository:
    """What Mercurial says of a working tree.

    Args:
        root: Its top.
        environ: The variables that `hg` gets.
        diff: Whether the difference is wanted.
        program: The file that runs: whether Mercurial knows it.
        working: The working directory; by default the root.
        deadline: When `hg` is no longer waited for.

    Raises:
        CommandError: `hg` is not there, or does not answer.
    """
    asked = Questions(root, {**environ, **_SET}, deadline, _HG)
    known = ("files", "--print0", f"path:{os.path.relpath(program, root)}") if program is not None and program.is_relative_to(root) else ()
    with asked.asked_ahead(_PATHS, _UNKNOWN, *([_DIFF] if diff else []), *([known] if known else [])):
        commit, branch, *_ = [*asked.ask(*_HEAD).text.split("\n"), "", ""]
        commit = commit if commit.strip("0") else ""  # before the first one
        places = [line.partition(" = ") for line in asked.get("url", *_PATHS).splitlines()]
        urls = {name: url for name, _, url in places if ":" not in name}  # `default:pushurl` and such are none
        url = urls.get("default") or next(iter(urls.values()), "")
        changed = _difference(asked) if diff and commit else b""
        untracked = tuple(filter(None, asked.get("untracked", *_UNKNOWN).split("\0")))
        # `hg files` fails for a file that is not known.
        is_known = not known or str(os.path.relpath(program or root, root)) in asked.get("program", *known).split("\0")
    asked.missing.pop("program", None)
    place = Path(os.path.realpath(working or root))
    return Repository(
        root=root,
        url=without_credentials(url) if url else root.as_uri(),
        branch=branch,
        commit=commit,
        diff=changed,
        untracked=untracked[:_MOST_UNTRACKED],
        working=place if place.is_relative_to(root) else root,
        knows_program=is_known,
        missing=asked.missing,
    )


def _difference(asked: Questions) -> bytes:
    output = asked.ask(*_DIFF)
    if output.is_whole:
        return output.data
    asked.missing["diff"] = f"it is larger than {MOST_BYTES} bytes: the files behind that are missing"
    return output.data[: output.data.rfind(b"\ndiff ") + 1]
