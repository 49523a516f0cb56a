"""What a program is made of, put together for the record of its task: repository, difference, entry point, packages. Blocking.

Each part is bounded in time and size; one that cannot be found out is named among what is missing, and nothing fails for it.
"""

from __future__ import annotations

import base64
import binascii
import sys
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, cast

from atrains._capture import entry, git
from atrains._capture.commands import CommandError
from atrains._capture.entry import Program, Start
from atrains._capture.git import Repository
from atrains._capture.patches import FileChange, addition, file_changes, fitting
from atrains._capture.redact import Redactor, secrets_of, without_credentials
from atrains._capture.requirements import Environment, forced_lines, lines_of, requirements_text
from atrains._config.env import PREFIXES
from atrains._config.env import Environment as Variables
from atrains._config.settings import CaptureSettings

T = TypeVar("T")

MOST_TEXT: Final = 500_000
"""Characters of a difference beyond which it becomes an artifact."""
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
    """

    argv: tuple[str, ...]
    folder: Path
    variables: Mapping[str, str]


class Captured(NamedTuple):
    """What is recorded of a program.

    Attributes:
        script: The script section of the record, but for the packages.
        requirements: The packages, in the text that agents read.
        patch: The whole difference, where the record holds only a part of it; "" where it holds all.
        remarks: What else there is to know: the root of the repository, untracked files, what is missing, redacted or left out.
        is_growing: Whether there may be more of the program later, as in a notebook.
    """

    script: Mapping[str, str]
    requirements: str
    patch: str
    remarks: Mapping[str, object]
    is_growing: bool

    @property
    def missing(self) -> Mapping[str, str]:
        """What could not be found out, and why."""
        return cast("Mapping[str, str]", self.remarks.get("missing", {}))


def capture(begun: Beginning, settings: CaptureSettings, secrets: Collection[str], wishes: Mapping[str, str | None]) -> Captured:
    """Find out what this program is made of.

    Args:
        begun: What was taken down when the run began.
        settings: What is wanted.
        secrets: Texts to leave out wherever they stand.
        wishes: Packages that somebody asked for.
    """
    redactor = Redactor([*secrets, *secrets_of(begun.variables)]) if settings.redact else None
    program, repository, missing = _source(begun, settings)
    missing = dict(missing)
    text = _guarded("text", missing, lambda: entry.text_of(program)) or ""
    if redactor is not None:
        program = program._replace(arguments=tuple(redactor.arguments(program.arguments)))
    is_versioned = repository is not None and bool(repository.commit)
    changes = _changes(program, repository, text, redactor) if repository is not None and is_versioned and settings.diff else []
    diff, left_out = fitting(changes, MOST_TEXT)
    patch = "".join(change.text for change in changes) if left_out else ""
    if settings.diff and (not is_versioned or program.start in {Start.NOTEBOOK, Start.COMMAND}):
        patch = patch or diff
        diff = redactor.text(text) if redactor is not None else text
        if len(diff) > MOST_TEXT:
            diff, patch, left_out = "", patch + diff, (*left_out, entry.file_name(program))
    script = {**_section(program, repository if is_versioned else None), "diff": diff, **_given(begun.variables)}
    requirements = _requirements(text, repository.root if repository else None, settings, wishes, missing)
    remarks = {
        "root": str(repository.root) if repository is not None else "",
        "untracked": list(repository.untracked) if repository is not None else [],
        "left_out": list(left_out),
        "redacted": redactor.count if redactor is not None else 0,
        "missing": missing,
    }
    told = {name: remark for name, remark in remarks.items() if remark}
    return Captured(script, requirements, patch, told, is_growing=program.start is Start.NOTEBOOK)


def _guarded(part: str, missing: dict[str, str], find: Callable[[], T]) -> T | None:
    """What a part finds out; None where it fails, which is noted."""
    try:
        return find()
    except CommandError as error:
        missing[part] = str(error)
    except Exception as error:  # whatever a strange file, package or interpreter makes of it: the run is worth more  # noqa: BLE001
        missing[part] = f"{type(error).__name__}: {error}"
    return None


def _source(begun: Beginning, settings: CaptureSettings) -> tuple[Program, Repository | None, dict[str, str]]:
    """The program and its repository; from what is known, unless it is one that changes while it runs."""
    key = (begun.argv, begun.folder, settings)
    if key in _known:
        return _known[key]
    missing: dict[str, str] = {}
    program = _guarded("program", missing, lambda: entry.find_program(begun.argv, begun.folder, begun.variables))
    program = program or Program(Start.PROMPT, None, "", (), begun.folder)
    repository = _guarded("repository", missing, lambda: _repository(program, begun.variables, settings))
    if repository is not None:
        missing |= repository.missing
    if program.start not in {Start.NOTEBOOK, Start.PROMPT}:
        _known.clear()  # one difference is enough to hold on to
        _known[key] = program, repository, missing
    return program, repository, missing


def _repository(program: Program, variables: Mapping[str, str], settings: CaptureSettings) -> Repository | None:
    """The repository that the environment names, as where a program runs in a copy without one, else the one around the program."""
    given = Variables(variables)
    url, commit = given.first(f"{_VCS}REPO_URL"), given.first(f"{_VCS}COMMIT_ID")
    if url is None:
        return git.find_repository(program.looks_in, variables, diff=settings.diff, from_remote=settings.diff_from_remote)
    branch, root = given.first(f"{_VCS}BRANCH"), given.first(f"{_VCS}ROOT")
    return Repository(
        root=Path(root.value) if root else program.folder,
        url=without_credentials(url.value),
        branch=branch.value if branch else "",
        commit=commit.value if commit else "",
        diff=b"",
        untracked=(),
        knows_program=True,
        missing={},
    )


def _given(variables: Mapping[str, str]) -> dict[str, str]:
    """Parts of the script section that the environment names; a difference that is given empty is none."""
    found: dict[str, str] = {}
    for part, suffix in (("working_dir", "WORK_DIR"), ("entry_point", "ENTRY_POINT")):
        given = Variables(variables).first(_VCS + suffix)
        if given is not None:
            found[part] = given.value
    encoded = next((variables[name] for prefix in PREFIXES if (name := f"{prefix}{_VCS}DIFF") in variables), None)
    if encoded is not None:
        try:
            found["diff"] = base64.b64decode(encoded, validate=True).decode("utf-8", "replace")
        except binascii.Error:
            found["diff"] = encoded  # as it is, by who did not encode it
    return found


def _changes(program: Program, repository: Repository, text: str, redactor: Redactor | None) -> list[FileChange]:
    """The patches of the repository's files, and of the program itself where git does not know it yet."""
    changes = list(file_changes(repository.diff))
    if program.path is not None and program.start in {Start.SCRIPT, Start.MODULE} and program.path.is_relative_to(repository.root):
        name = program.path.relative_to(repository.root).as_posix()
        if text and any(name == known or (known.endswith("/") and name.startswith(known)) for known in repository.untracked):
            changes.append(addition(name, text))
    return changes if redactor is None else [_redacted(change, redactor) for change in changes]


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
    working, point = (".", entry.entry_alone(program)) if repository is None else entry.place_in(program, repository.root)
    return {
        "binary": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "repository": repository.url if repository else "",
        "branch": repository.branch if repository else "",
        "version_num": repository.commit if repository else "",
        "working_dir": working,
        "entry_point": point,
    }


def _requirements(
    text: str, root: Path | None, settings: CaptureSettings, wishes: Mapping[str, str | None], missing: dict[str, str]
) -> str:
    path = tuple(sys.path)
    environment = _environments[path] if path in _environments else Environment.current()
    _environments[path] = environment
    if settings.all_packages:
        packages, local = _guarded("packages", missing, environment.all) or [], list[str]()
    else:
        packages, local = _guarded("packages", missing, lambda: lines_of(environment, text, root)) or ([], [])
    return requirements_text(packages, local, _guarded("forced packages", missing, lambda: forced_lines(wishes, environment)))


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
