"""The git repository that a program comes from: where it is, which commit, what differs from it. By the command `git`, without network."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from atrains._capture import commands
from atrains._capture.commands import CommandError, Output

PART_SECONDS: Final = 5.0
"""Seconds that one question to git may take."""
ALL_SECONDS: Final = 10.0
"""Seconds that all of them may take together."""
MOST_BYTES: Final = 5 << 20
_MOST_UNTRACKED: Final = 1000
_QUIET: Final = (
    # No program of the user's that git would start: it might ask, hang, or print something else than a patch.
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.pager=cat"),
    *("-c", "diff.relative=false"),
)
_DIFF: Final = (
    *("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--binary", "--submodule=diff"),
    *("--src-prefix=a/", "--dst-prefix=b/"),
)
_NO_REPOSITORY: Final = "not a git repository"


@dataclass(frozen=True, slots=True)
class Repository:
    """What git says of a folder.

    Attributes:
        root: The top of its working tree.
        url: Where others get it from, without credentials; a `file:` URL of the root where there is no such place.
        branch: The branch that it follows there, or the one that is checked out; "" for a detached head.
        commit: The id of the commit that the difference counts from; "" before the first one.
        diff: What git printed as the difference from that commit, in bytes, since files may be in any encoding.
        untracked: Files and folders that git does not know and does not ignore, from the root.
        missing: What could not be found out, and why.
    """

    root: Path
    url: str
    branch: str
    commit: str
    diff: bytes
    untracked: tuple[str, ...]
    missing: Mapping[str, str]


class _Git:
    """Questions to git in one folder, within a time; what fails is noted, not raised."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.missing: dict[str, str] = {}
        # No prompt for a password, no lock in the user's repository, messages that we can read.
        self._environ = {**environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        self._until = time.monotonic() + ALL_SECONDS

    def ask(self, *arguments: str) -> Output:
        """Ask a question.

        Raises:
            CommandError: there is no answer.
        """
        left = min(PART_SECONDS, self._until - time.monotonic())
        if left <= 0:
            raise CommandError(f"git was not asked any more after {ALL_SECONDS:.0f} seconds")
        return commands.run(["git", *_QUIET, *arguments], folder=self.folder, environ=self._environ, seconds=left, most=MOST_BYTES)

    def get(self, part: str, *arguments: str) -> str:
        """The answer to a question, "" if there is none, which is noted."""
        try:
            return self.ask(*arguments).text
        except CommandError as error:
            self.missing[part] = str(error)
            return ""


def find_repository(folder: Path, environ: Mapping[str, str], *, diff: bool = True, from_remote: bool = False) -> Repository | None:
    """What git says of the working tree around a folder; None when there is none.

    Args:
        folder: Where to look.
        environ: The variables that git gets.
        diff: Whether the difference is wanted.
        from_remote: Count it from the last commit that the branch has in common with the one that it follows, rather than from HEAD.

    Raises:
        CommandError: git is not there, or does not answer.
    """
    git = _Git(folder, environ)
    try:
        root = Path(git.ask("rev-parse", "--show-toplevel").text.removesuffix("\n"))
    except CommandError as error:
        if _NO_REPOSITORY in str(error) or "must be run in a work tree" in str(error):
            return None
        raise
    git.folder = root
    head, is_clean = _head(git)
    upstream = head.get("branch.upstream", "")
    remote, url = _remote(git, upstream)
    commit = head.get("branch.oid", "")
    base = commit
    if from_remote and upstream and commit:
        base = git.get("unpushed", "merge-base", "HEAD", "@{upstream}").strip() or commit
    changed = b""
    if commit and diff and not (is_clean and base == commit):
        changed = _diff(git, base)
    branch = upstream.removeprefix(f"{remote}/") if upstream else head.get("branch.head", "")
    names = git.get("untracked", "ls-files", "--others", "--exclude-standard", "--directory", "--no-empty-directory", "-z")
    untracked = tuple(filter(None, names.split("\0")))
    if len(untracked) > _MOST_UNTRACKED:
        git.missing["untracked"] = f"only the first {_MOST_UNTRACKED} of {len(untracked)} names are kept"
    return Repository(root, url, branch, base, changed, untracked[:_MOST_UNTRACKED], git.missing)


def _head(git: _Git) -> tuple[dict[str, str], bool]:
    """What is checked out, as `git status` names it, and whether nothing differs from it."""
    try:
        lines = git.ask("status", "--porcelain=v2", "--branch", "--untracked-files=no").text.splitlines()
    except CommandError as error:  # a tree of millions of files: ask only for what needs no look at them
        git.missing["changes"] = str(error)
        found = {
            "branch.oid": git.get("commit", "rev-parse", "HEAD").strip(),
            "branch.head": git.get("branch", "rev-parse", "--abbrev-ref", "HEAD").strip(),
        }
        return {name: value for name, value in found.items() if value not in {"", "HEAD"}}, False
    pairs = (line[2:].partition(" ") for line in lines if line.startswith("# "))
    # `(initial)` before the first commit, `(detached)` without a branch.
    known = {name: value for name, _, value in pairs if value and not value.startswith("(")}
    return known, not any(not line.startswith("# ") for line in lines)


def _remote(git: _Git, upstream: str) -> tuple[str, str]:
    """The remote that a branch follows, else `origin`, else the first one; and its URL, after the user's rules for rewriting URLs."""
    urls: dict[str, str] = {}
    for line in git.get("url", "remote", "-v").splitlines():
        name, _, rest = line.partition("\t")
        urls.setdefault(name, rest.rpartition(" (")[0])
    followed = sorted((name for name in urls if upstream.startswith(f"{name}/")), key=len)
    name = next(reversed(followed), None) or ("origin" if "origin" in urls else next(iter(urls), ""))
    return name, without_credentials(urls[name]) if name else git.folder.as_uri()


def _diff(git: _Git, base: str) -> bytes:
    try:
        output = git.ask(*_DIFF, base, "--")
    except CommandError as error:
        git.missing["diff"] = str(error)
        return b""
    if output.is_whole:
        return output.data
    git.missing["diff"] = f"it is larger than {MOST_BYTES} bytes: the files behind that are missing"
    return output.data[: output.data.rfind(b"\ndiff ") + 1]


def without_credentials(url: str) -> str:
    """A URL without password, and without a user where that is no part of the address, as it is with ssh."""
    if "://" not in url:
        return url  # a path, or `git@host:path`, which holds no password
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    kept = user.partition(":")[0] if "ssh" in parts.scheme else ""
    return urlunsplit((parts.scheme, f"{kept}@{host}" if at and kept else host, parts.path, "", parts.fragment))


@dataclass(frozen=True, slots=True)
class FileChange:
    """The difference of one file.

    Attributes:
        name: The file, from the root.
        text: A patch of it alone.
        is_exact: Whether the text is what git printed: not so where that is in no encoding that a record could hold.
    """

    name: str
    text: str
    is_exact: bool


_BETWEEN: Final = (b"Submodule ", b"* Unmerged path ")
"""How git's remarks between the patches begin; a line of a file begins with a blank, a sign or a backslash."""


def file_changes(diff: bytes) -> Sequence[FileChange]:
    """The patches of single files that a difference is made of, without git's remarks between them.

    An agent that meets text before the first patch takes the whole for a program.
    """
    changes = []
    # Each but the last lost its newline to the split: that of a blank line, if it is a binary patch.
    for part in (b"\n" + diff.removesuffix(b"\n")).split(b"\ndiff --")[1:]:
        patch = b"diff --" + part + b"\n"
        if any(b"\n" + remark in patch for remark in _BETWEEN):
            patch = b"".join(line for line in patch.splitlines(keepends=True) if not line.startswith(_BETWEEN))
        header = patch.partition(b"\n")[0].decode("utf-8", "replace")
        name = header.rpartition(" b/")[2] if " b/" in header else header.split(" ", 2)[2]
        try:
            changes.append(FileChange(name, patch.decode("utf-8"), is_exact=True))
        except UnicodeDecodeError:
            changes.append(FileChange(name, patch.decode("utf-8", "replace"), is_exact=False))
    return changes


def addition(name: str, text: str) -> FileChange:
    """The patch that adds a file which git does not know."""
    lines = text.split("\n")
    ending = "\\ No newline at end of file\n" if lines[-1] else ""
    lines = lines if lines[-1] else lines[:-1]
    body = "".join(f"+{line}\n" for line in lines)
    header = f"diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n"
    return FileChange(name, f"{header}@@ -0,0 +1,{len(lines)} @@\n{body}{ending}", is_exact=True)


def fitting(changes: Sequence[FileChange], most: int) -> tuple[str, tuple[str, ...]]:
    """As many whole patches as fit into a number of characters, and the names of the files that are left out.

    What is left out is named at the end, where `git apply` reads over it. Where nothing fits, the text is empty.
    """
    kept: list[str] = []
    left_out: list[str] = []
    room = most - 200  # for that line
    for change in changes:
        if change.is_exact and len(change.text) <= room:
            kept.append(change.text)
            room -= len(change.text)
        else:
            left_out.append(change.name)
    if kept and left_out:
        kept.append(f"# {len(left_out)} more changed files are left out here; see the artifact auxiliary_git_diff\n")
    return "".join(kept), tuple(left_out)
