"""What a program is made of, put together for the record of its task: repository, difference, entry point, packages. Blocking.

Each part is bounded in time and size; one that cannot be found out is named among what is missing, and nothing fails for it.
"""

from __future__ import annotations

import base64
import binascii
import sys
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple, TypeVar, cast

from atrains._capture import entry, git, mercurial
from atrains._capture.commands import NEVER, CommandError, Deadline
from atrains._capture.conda import conda_lines
from atrains._capture.defaults import is_installed
from atrains._capture.entry import Program, Start
from atrains._capture.git import Repository
from atrains._capture.imports import imported_names, names_reached
from atrains._capture.patches import FileChange, addition, file_changes, fitting
from atrains._capture.redact import Redactor, secrets_of, without_credentials
from atrains._capture.requirements import SECONDS, Environment, Installed, forced_lines, header, lines_of, normalised, requirements_text
from atrains._config.env import PREFIXES
from atrains._config.env import Environment as Variables
from atrains._config.settings import CaptureSettings

T = TypeVar("T")

MOST_TEXT: Final = 500_000
"""Characters of a difference beyond which it becomes an artifact."""
_LAST_SECONDS: Final = 1.0
"""Seconds that the packages may take beyond what git may, as a run ends."""
_LONG: Final = 1 << 16
"""Characters that take about a millisecond to look through for secrets."""
_PATIENCE: Final = 0.0005
"""Seconds of rest after that, for the program's own threads."""
_VCS: Final = "VCS_"
_BINARY: Final = "\nGIT binary patch\n"
_known: dict[Hashable, tuple[Program, Repository | None, dict[str, str]]] = {}
"""What was found out of a program: a process runs the one that it was started with, however often it begins a run."""
_environments: dict[tuple[str, ...], Environment] = {}


class Beginning(NamedTuple):
    """What may change after a run began, as it was then.

    Attributes:
        argv: The arguments of the process.
        folder: Its working directory.
        variables: Its environment.
        main: Its module `__main__`.
    """

    argv: tuple[str, ...]
    folder: Path
    variables: Mapping[str, str]
    main: ModuleType | None


class Captured(NamedTuple):
    """What is recorded of a program.

    Attributes:
        script: The script section of the record, but for the packages.
        requirements: The packages, in the texts that agents read: `pip`, and in an environment of conda also `conda`.
        patch: The whole difference, where the record holds only a part of it; "" where it holds all.
        remarks: What else there is to know: the root of the repository, untracked files, what is missing, redacted or left out.
        imported: The modules that were imported by then, by their first names.
        is_growing: Whether there may be more of the program later, as in a notebook.
    """

    script: Mapping[str, str]
    requirements: Mapping[str, str]
    patch: str
    remarks: Mapping[str, object]
    imported: frozenset[str]
    is_growing: bool

    @property
    def missing(self) -> Mapping[str, str]:
        """What could not be found out, and why."""
        return cast("Mapping[str, str]", self.remarks.get("missing", {}))


def capture(
    begun: Beginning, settings: CaptureSettings, secrets: Collection[str], wishes: Mapping[str, str | None], deadline: Deadline = NEVER
) -> Captured:
    """Find out what this program is made of.

    Args:
        begun: What was taken down when the run began.
        settings: What is wanted.
        secrets: Texts to leave out wherever they stand.
        wishes: Packages that somebody asked for.
        deadline: When nothing is waited for any more; it is moved nearer as the run ends.
    """
    redactor = Redactor([*secrets, *secrets_of(begun.variables)]) if settings.redact else None
    program, repository, missing = _source(begun, settings, deadline)
    missing = dict(missing)
    text = _guarded("text", missing, lambda: entry.text_of(program)) or ""
    if redactor is not None:
        program = program._replace(arguments=tuple(redactor.arguments(program.arguments)))
    source = repository if repository is not None and repository.commit else None
    section = {**_section(program, source), **_given_places(begun.variables)}
    given = _given_difference(begun.variables, redactor)
    difference = _Difference(given or "")
    if given is None and settings.diff:
        find = partial(_difference, program, source, text, section["working_dir"], redactor)
        difference = _guarded("difference", missing, find) or difference
    imported = imported_names()
    requirements = _requirements(text, program, repository, settings, wishes, missing, deadline)
    remarks: dict[str, object] = {
        "root": str(repository.root) if repository is not None else "",
        "untracked": _plain(repository.untracked, redactor) if repository is not None else [],
        "left_out": list(difference.left_out),
        "redacted": redactor.count if redactor is not None else 0,
        "missing": dict(zip(missing, _plain(missing.values(), redactor), strict=True)),
    }
    return Captured(
        script={name: _valid(value) for name, value in {**section, "diff": difference.text}.items()},
        requirements=_valid(requirements),
        patch=difference.whole,
        remarks={name: _valid(remark) for name, remark in remarks.items() if remark},
        imported=imported,
        is_growing=program.start is Start.NOTEBOOK,
    )


def packages(begun: Beginning, settings: CaptureSettings, wishes: Mapping[str, str | None], deadline: Deadline = NEVER) -> dict[str, str]:
    """The packages of the program as of now, in the texts that agents read."""
    program, repository, missing = _source(begun, settings, deadline)
    text = _guarded("text", missing, lambda: entry.text_of(program)) or ""
    return _valid(_requirements(text, program, repository, settings, wishes, dict(missing), deadline))


def _plain(texts: Iterable[str], redactor: Redactor | None) -> list[str]:
    return [text if redactor is None else redactor.text(text) for text in texts]


def _valid(value: T) -> T:
    """A value that JSON can hold: names of files may be in any encoding."""
    if isinstance(value, str):
        return cast("T", value.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    if isinstance(value, list):
        return cast("T", [_valid(each) for each in value])
    return cast("T", {key: _valid(each) for key, each in value.items()}) if isinstance(value, dict) else value


def _guarded(part: str, missing: dict[str, str], find: Callable[[], T]) -> T | None:
    """What a part finds out; None where it fails, which is noted."""
    try:
        return find()
    except CommandError as error:
        missing[part] = str(error)
    except Exception as error:  # whatever a strange file, package or interpreter makes of it: the run is worth more  # noqa: BLE001
        missing[part] = f"{type(error).__name__}: {error}"
    return None


def _source(begun: Beginning, settings: CaptureSettings, deadline: Deadline) -> tuple[Program, Repository | None, dict[str, str]]:
    """The program and its repository; from what is known, unless it is one that changes while it runs."""
    key = (begun.argv, begun.folder, begun.main, settings)
    if key in _known:
        return _known[key]
    missing: dict[str, str] = {}
    program = _guarded("program", missing, lambda: entry.find_program(begun.argv, begun.folder, begun.variables, begun.main))
    program = program or Program(Start.PROMPT, None, "", (), begun.folder)
    repository = _guarded("repository", missing, lambda: _repository(program, begun.variables, settings, deadline))
    if repository is not None:
        missing |= repository.missing
    if program.start not in {Start.NOTEBOOK, Start.PROMPT}:
        _known.clear()  # one difference is enough to hold on to
        _known[key] = program, repository, missing
    return program, repository, missing


def _repository(program: Program, variables: Mapping[str, str], settings: CaptureSettings, deadline: Deadline) -> Repository | None:
    """The repository that the environment names, as where a program runs in a copy without one, else the one around the program."""
    given = Variables(variables)
    url, commit = given.first(f"{_VCS}REPO_URL"), given.first(f"{_VCS}COMMIT_ID")
    if url is None:
        own = program.path if program.is_own_file else None
        tree = mercurial.root_of(program.looks_in)
        if tree is not None:
            return mercurial.repository(tree, variables, diff=settings.diff, program=own, working=program.folder, deadline=deadline)
        return git.find_repository(
            program.looks_in,
            variables,
            diff=settings.diff,
            from_remote=settings.diff_from_remote,
            program=own,
            working=program.folder,
            deadline=deadline,
        )
    branch, root = given.first(f"{_VCS}BRANCH"), given.first(f"{_VCS}ROOT")
    return Repository(
        root=Path(root.value) if root else program.folder,
        url=without_credentials(url.value),
        branch=branch.value if branch else "",
        commit=commit.value if commit else "",
        diff=b"",
        untracked=(),
        working=program.folder,
        knows_program=True,
        missing={},
    )


def _given_places(variables: Mapping[str, str]) -> dict[str, str]:
    """Parts of the script section that the environment names."""
    given = Variables(variables)
    found = {"working_dir": given.first(f"{_VCS}WORK_DIR"), "entry_point": given.first(f"{_VCS}ENTRY_POINT")}
    return {part: value.value for part, value in found.items() if value is not None}


def _given_difference(variables: Mapping[str, str], redactor: Redactor | None) -> str | None:
    """The difference that the environment names; one that is given empty is none."""
    encoded = next((variables[name] for prefix in PREFIXES if (name := f"{prefix}{_VCS}DIFF") in variables), None)
    if encoded is None:
        return None
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8", "replace")
    except binascii.Error:
        text = encoded  # as it is, by who did not encode it
    if redactor is None:
        return text
    if not text.startswith("diff "):
        return redactor.text(text)
    changes = [_redacted(change, redactor) for change in file_changes(text.encode("utf-8", "replace"))]
    return "".join(change.text for change in changes if change.is_exact)


class _Difference(NamedTuple):
    """A difference as it is recorded.

    Attributes:
        text: What the record holds: patches, or a whole program.
        whole: All of it, where the record holds a part; "" where it holds all.
        left_out: The files that are not in the record.
    """

    text: str = ""
    whole: str = ""
    left_out: tuple[str, ...] = ()


def _difference(program: Program, source: Repository | None, text: str, working: str, redactor: Redactor | None) -> _Difference:
    """What the record holds of the difference of a repository, or of a program that has none."""
    name = entry.path_in(program, source.root, working) if source is not None else ""
    changes = _changes(program, source, text, name, redactor) if source is not None else []
    diff, left_out = fitting(changes, MOST_TEXT, first=name)
    whole = "".join(change.text for change in changes) if left_out else ""
    if source is not None and not (program.is_given and all(change.name != name for change in changes)):
        return _Difference(diff, whole, left_out)
    whole = whole or diff
    if redactor is not None:
        text = redactor.text(text, file=entry.file_name(program))
    if len(text) > MOST_TEXT:
        return _Difference("", whole + text, (*left_out, entry.file_name(program)))
    return _Difference(text, whole, left_out)


def _changes(program: Program, source: Repository, text: str, name: str, redactor: Redactor | None) -> list[FileChange]:
    """The patches of the repository's files, and of the program itself where an agent would not find it among them."""
    changes = file_changes(source.diff)
    is_new = not source.knows_program
    if program.is_given:  # without other changes its text alone is what an agent needs
        is_new = bool(changes) and program.start is not Start.NOTEBOOK and not (source.root / name).exists()
    if text and name and is_new:
        changes.append(addition(name, text))
    return changes if redactor is None else list(_all_redacted(changes, redactor))


def _all_redacted(changes: Iterable[FileChange], redactor: Redactor) -> Iterator[FileChange]:
    since = 0
    for change in changes:
        yield _redacted(change, redactor)
        since += len(change.text)
        if since > _LONG:
            time.sleep(_PATIENCE)
            since = 0


def _redacted(change: FileChange, redactor: Redactor) -> FileChange:
    """A patch without secrets. Where one stands in a line that the patch does not add, it no longer applies."""
    if _BINARY in change.text:
        return change  # compressed: what looks like a secret is none
    text = redactor.text(change.text, file=change.name)
    if text == change.text:
        return change
    lines, kept = change.text.split("\n"), text.split("\n")
    applies = len(lines) == len(kept) and all(old == new or old[:1] == new[:1] == "+" for old, new in zip(lines, kept, strict=True))
    return FileChange(change.name, text, is_exact=change.is_exact and applies)


def _section(program: Program, repository: Repository | None) -> dict[str, str]:
    working, point = (
        (".", entry.entry_alone(program)) if repository is None else entry.place_in(program, repository.root, repository.working)
    )
    return {
        "binary": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "repository": repository.url if repository else "",
        "branch": repository.branch if repository else "",
        "version_num": repository.commit if repository else "",
        "working_dir": working,
        "entry_point": point,
    }


def _requirements(
    text: str,
    program: Program,
    repository: Repository | None,
    settings: CaptureSettings,
    wishes: Mapping[str, str | None],
    missing: dict[str, str],
    deadline: Deadline,
) -> dict[str, str]:
    path = tuple(sys.path)
    environment = _environments[path] if path in _environments else Environment.current()
    _environments[path] = environment
    root = repository.root if repository is not None else None
    found: list[Installed] = []
    local: list[str] = []
    until = time.monotonic() + min(SECONDS, deadline.left() + _LAST_SECONDS)
    if settings.all_packages:
        found = _guarded("packages", missing, environment.all) or []
    else:
        folder = program.looks_in
        own = [folder, *(Path(place) for place in sys.path if root is not None and Path(place).is_relative_to(root))]
        names = _guarded(
            "imports", missing, lambda: names_reached(text, folder, [one for one in own if not is_installed(one / "x")], until)
        )
        found, local = _guarded("packages", missing, lambda: lines_of(environment, names or set(), root, until)) or ([], [])
    forced = _guarded("forced packages", missing, lambda: forced_lines(wishes, environment)) or {}
    texts = {"pip": requirements_text(found, local, forced)}
    free = [one for one in found if normalised(one.name) not in forced]
    if lines := _guarded("packages of conda", missing, lambda: conda_lines(Path(sys.prefix), free, until)):
        texts["conda"] = "\n".join([header(), "", *lines]) + "\n"
    return texts


def chosen_variables(begun: Beginning, settings: CaptureSettings, secrets: Collection[str]) -> dict[str, str]:
    """The environment variables that are to be recorded: those that the settings name, but for secrets, which would be no use redacted.

    A name may begin or end with `*`; `*` alone is every variable but those of atrains and of the official clients.
    """
    redactor = Redactor([*secrets, *secrets_of(begun.variables)])
    return {
        name: value
        for name, value in begun.variables.items()
        if _is_chosen(name, settings.environment) and not (settings.redact and redactor.is_secret(name, value))
    }


def _is_chosen(name: str, patterns: Sequence[str]) -> bool:
    return any(not name.startswith(PREFIXES) if pattern == "*" else fnmatchcase(name, pattern) for pattern in patterns)
