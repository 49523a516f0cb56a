"""The git repository that a program comes from: where it is, which commit, what differs from it. By the command `git`, without network."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from atrains._capture import patches
from atrains._capture.commands import NEVER, Command, CommandError, Deadline, Output
from atrains._capture.redact import without_credentials

PART_SECONDS: Final = 5.0
"""Seconds that one question to git may take."""
ALL_SECONDS: Final = 10.0
"""Seconds that all of them may take together."""
MOST_BYTES: Final = 5 << 20
_MOST_UNTRACKED: Final = 1000
_GIT: Final = (
    "git",
    # No program of the user's that git would start: it might ask, hang, or print something else than a patch.
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.pager=cat"),
    *("-c", "diff.relative=false"),
)
_DIFF: Final = (
    *("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--binary", "--unified=3"),
    # Not `--submodule=diff`: the git that it starts in a submodule runs the programs that are excluded here.
    "--ignore-submodules=all",
)
_SET: Final = {
    # No prompt for a password, by whatever program; no network, which a clone without all its objects would use; no lock in the
    # user's repository; messages that we can read.
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}
_OF_ONE_REPOSITORY: Final = frozenset(
    {
        *(
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_COMMON_DIR",
            "GIT_INDEX_FILE",
            "GIT_PREFIX",
            "GIT_NAMESPACE",
            "GIT_DIFF_OPTS",
            "GIT_EXTERNAL_DIFF",
        ),
        *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
    }
)
"""Variables that a program inherits from a hook, and that are about the repository of that."""
_MOST_KEPT: Final = 500_000
"""Characters that a record can hold of a difference."""
_MOST_EXCLUDED: Final = 20
_SUBMODULE: Final = "160000"
_STATUS: Final = ("status", "--porcelain=v2", "--branch", "--no-ahead-behind", "--untracked-files=no")
_REMOTES: Final = ("remote", "-v")
_UNTRACKED: Final = ("ls-files", "--others", "--exclude-standard", "--directory", "--no-empty-directory", "-z")
_NO_REPOSITORY: Final = "not a git repository"


class Repository(NamedTuple):
    """What git says of a folder.

    Attributes:
        root: The top of its working tree.
        url: Where others get it from, without credentials; a `file:` URL of the root where there is no such place.
        branch: The branch that it follows there, or the one that is checked out; "" for a detached head.
        commit: The id of the commit that the difference counts from; "" before the first one.
        diff: What git printed as the difference from that commit, in bytes, since files may be in any encoding.
        untracked: Files and folders that git does not know and does not ignore, from the root.
        working: The working directory, or the nearest folder above it that others have as well; the root where it is outside.
        knows_program: Whether git knows the file that runs; True where there is none to ask for.
        missing: What could not be found out, and why.
    """

    root: Path
    url: str
    branch: str
    commit: str
    diff: bytes
    untracked: tuple[str, ...]
    working: Path
    knows_program: bool
    missing: Mapping[str, str]


class Questions:
    """Questions to git, or to a program like it, in one folder, within a time; what fails is noted, not raised."""

    def __init__(self, folder: Path, environ: Mapping[str, str], deadline: Deadline, command: Sequence[str] = _GIT) -> None:
        self.folder = folder
        self._command = command
        self.missing: dict[str, str] = {}
        self._environ = {**environ, **_SET}
        self._deadline = deadline
        self._until = time.monotonic() + ALL_SECONDS
        self._ahead: dict[tuple[str, ...], Command] = {}

    def ask(self, *arguments: str) -> Output:
        """Ask a question.

        Raises:
            CommandError: there is no answer.
        """
        left = min(PART_SECONDS, self._until - time.monotonic())
        if left <= 0:
            raise CommandError(f"{self._command[0]} was not asked any more after {ALL_SECONDS:.0f} seconds")
        running = self._ahead.pop(arguments, None) or self._begin(arguments)
        return running.output(seconds=left, most=MOST_BYTES, deadline=self._deadline)

    def _begin(self, arguments: tuple[str, ...]) -> Command:
        return Command([*self._command, *arguments], folder=self.folder, environ=self._environ)

    @contextmanager
    def asked_ahead(self, *questions: tuple[str, ...]) -> Iterator[None]:
        """Begin to ask questions that will be asked within: git answers them side by side, and each takes mostly its start."""
        try:
            with contextlib.suppress(CommandError):  # who asks hears of it
                for question in questions:
                    self._ahead[question] = self._begin(question)
            yield
        finally:
            for running in self._ahead.values():
                running.end()
            self._ahead.clear()

    def get(self, part: str, *arguments: str) -> str:
        """The answer to a question, "" if there is none, which is noted."""
        try:
            return self.ask(*arguments).text
        except CommandError as error:
            self.missing[part] = str(error)
            return ""


def find_repository(
    folder: Path,
    environ: Mapping[str, str],
    *,
    diff: bool = True,
    from_remote: bool = False,
    program: Path | None = None,
    working: Path | None = None,
    deadline: Deadline = NEVER,
) -> Repository | None:
    """What git says of the working tree around a folder; None when there is none.

    Args:
        folder: Where to look.
        environ: The variables that git gets.
        diff: Whether the difference is wanted.
        from_remote: Count it from the last commit that the branch has in common with the one that it follows, rather than from HEAD.
        program: The file that runs: whether git knows it.
        working: The working directory; by default the root.
        deadline: When git is no longer waited for.

    Raises:
        CommandError: git is not there, or does not answer.
    """
    plain = {name: value for name, value in environ.items() if name not in _OF_ONE_REPOSITORY}
    git = Questions(folder, plain, deadline)
    root = _root(git)
    if root is None and "GIT_DIR" in environ and "GIT_WORK_TREE" in environ:  # a tree that has its repository elsewhere
        git = Questions(folder, environ, deadline)
        root = _root(git)
    if root is None:
        return None
    git.folder = root
    about_program = [_question_of(git, program)] if program is not None and program.is_relative_to(root) else []
    with git.asked_ahead(_STATUS, _REMOTES, _UNTRACKED, *about_program):
        return _repository(git, diff=diff, from_remote=from_remote, program=program, working=working or root)


def _repository(git: Questions, *, diff: bool, from_remote: bool, program: Path | None, working: Path) -> Repository:
    head, is_clean = _head(git)
    upstream = head.get("branch.upstream", "")
    remote, url = _remote(git, upstream)
    commit = head.get("branch.oid", "")
    base = commit
    if from_remote and upstream and commit:
        base = git.get("unpushed", "merge-base", "HEAD", "@{upstream}").strip() or commit
    changed = b""
    if commit and diff and not (is_clean and base == commit):
        changed = _diff(git, base) + _diff_of_submodules(git, base)
    branch = upstream.removeprefix(f"{remote}/") if upstream else head.get("branch.head", "")
    names = git.get("untracked", *_UNTRACKED)
    untracked = tuple(filter(None, names.split("\0")))
    if len(untracked) > _MOST_UNTRACKED:
        git.missing["untracked"] = f"only the first {_MOST_UNTRACKED} of {len(untracked)} names are kept"
    is_known = program is None or _knows(git, program)
    place = _known_folder(git, working, program)
    return Repository(git.folder, url, branch, base, changed, untracked[:_MOST_UNTRACKED], place, is_known, git.missing)


def _root(git: Questions) -> Path | None:
    try:
        return Path(os.fsdecode(git.ask("rev-parse", "--show-toplevel").data.removesuffix(b"\n")))
    except CommandError as error:
        if _NO_REPOSITORY in str(error) or "must be run in a work tree" in str(error):
            return None
        raise


def _knows(git: Questions, program: Path) -> bool:
    """Whether git knows a file, which it may also ignore; True where it cannot be asked."""
    if not program.is_relative_to(git.folder):
        return False
    try:
        return bool(git.ask(*_question_of(git, program)).data)
    except CommandError:
        return True


def _question_of(git: Questions, program: Path) -> tuple[str, ...]:
    return "--literal-pathspecs", "ls-files", "-z", "--", os.path.relpath(program, git.folder)


def _known_folder(git: Questions, folder: Path, program: Path | None) -> Path:
    """A folder, or the nearest above it that git has files in; the program comes along where git does not know it."""
    folder = Path(os.path.realpath(folder))
    if not folder.is_relative_to(git.folder):
        return git.folder
    while folder != git.folder and not (program is not None and program.is_relative_to(folder)) and not _knows(git, folder):
        folder = folder.parent
    return folder


def _head(git: Questions) -> tuple[dict[str, str], bool]:
    """What is checked out, as `git status` names it, and whether nothing differs from it."""
    try:
        lines = git.ask(*_STATUS).text.splitlines()
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


def _remote(git: Questions, upstream: str) -> tuple[str, str]:
    """The remote that a branch follows, else `origin`, else the first one; and its URL, after the user's rules for rewriting URLs."""
    urls: dict[str, str] = {}
    for line in git.get("url", *_REMOTES).splitlines():
        name, _, rest = line.partition("\t")
        urls.setdefault(name, rest.rpartition(" (")[0])
    followed = sorted((name for name in urls if upstream.startswith(f"{name}/")), key=len)
    name = next(reversed(followed), None) or ("origin" if "origin" in urls else next(iter(urls), ""))
    return name, without_credentials(urls[name]) if name else git.folder.as_uri()


def _diff(git: Questions, base: str, *, below: str = "") -> bytes:
    """The difference from a commit; of one that is too large, without the files that are too large for a record by themselves.

    Args:
        git: Who is asked.
        base: The commit.
        below: Where the files are in the patch, from the root, with a slash at the end.
    """
    prefixes = (f"--src-prefix=a/{below}", f"--dst-prefix=b/{below}")
    excluded: list[str] = []
    output = Output(b"", is_whole=True)
    try:
        while True:
            scope = ["."] + [f":(exclude,literal){name}" for name in excluded] if excluded else []
            output = git.ask(*_DIFF, *prefixes, base, "--", *scope)
            at = output.data.rfind(b"\ndiff ") + 1
            if output.is_whole or len(output.data) - at < _MOST_KEPT or len(excluded) == _MOST_EXCLUDED:
                break
            excluded.append(patches.name_in(output.data[at:].partition(b"\n")[0]).removeprefix(below))
    except CommandError as error:
        git.missing["diff"] = str(error)
    if not output.is_whole:
        git.missing.setdefault("diff", f"it is larger than {MOST_BYTES} bytes: the files behind that are missing")
        return output.data[: output.data.rfind(b"\ndiff ") + 1]
    if excluded:
        git.missing.setdefault("diff", f"these files have changed too much for it: {', '.join(excluded)}")
    return output.data


def _diff_of_submodules(git: Questions, base: str, below: str = "") -> bytes:
    """What differs within submodules from the commits of them that belong to one of the repository, as patches of its files."""
    root = git.folder
    if not (root / ".gitmodules").is_file():
        return b""
    entries = git.get("submodules", "diff", "--raw", "-z", "--no-abbrev", "--no-renames", "--ignore-submodules=untracked", base, "--")
    fields = entries.split("\0")
    found = b""
    for what, name in zip(fields[::2], fields[1::2], strict=False):
        before, after, old, *_ = what.lstrip(":").split(" ")
        if after != _SUBMODULE or not (root / name / ".git").exists():
            continue
        git.folder = root / name
        if before != _SUBMODULE:  # a new one
            old = git.get("diff", "hash-object", "-t", "tree", "--stdin").strip()
        if old:
            found += _diff(git, old, below=f"{below}{name}/") + _diff_of_submodules(git, old, f"{below}{name}/")
        git.folder = root
    return found
