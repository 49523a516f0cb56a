"""How the program was started, as an agent has to start it again: its file or module, its working directory, its text. Blocking.

What is given to the interpreter by hand has no file; the names that stand for it are in `defaults`.
"""

from __future__ import annotations

import os
import posixpath
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from atrains._capture import defaults, notebooks

_MOST_TEXT: Final = 5 << 20
_COMMAND: Final = "command.py"
"""The file that code of `python -c` becomes."""
_WRAPPED: Final = re.compile(r"^\s*from\s+([\w.]+)\s+import\s", re.MULTILINE)
_LAUNCHERS: Final = {"torchrun": "torch.distributed.run", "accelerate": "accelerate.commands.accelerate_cli"}
_LAUNCHER_MODULES: Final = frozenset({"torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch"})
_CODING: Final = re.compile(r"^([ \t\f]*#.*?coding[:=][ \t]*)[-\w.]+")


class Start(Enum):
    """In which way a program can be started."""

    SCRIPT = auto()
    MODULE = auto()
    NOTEBOOK = auto()
    COMMAND = auto()
    """Code on the command line."""
    ARCHIVE = auto()
    INSTALLED = auto()
    """A command that was installed with a package, such as pytest."""
    PROMPT = auto()
    """Code that was typed or piped in."""


class Program(NamedTuple):
    """What runs.

    Attributes:
        start: How it was started.
        path: Its file, absolute; None where there is none.
        module: The module to start with `-m`, or that of the launcher which started it; "" where it is not started so.
        arguments: What stands behind the module.
        folder: The working directory when the run began.
    """

    start: Start
    path: Path | None
    module: str
    arguments: tuple[str, ...]
    folder: Path

    @property
    def is_given(self) -> bool:
        """Whether its text stands in no file that an agent would find, and has to come along."""
        return self.start in {Start.COMMAND, Start.NOTEBOOK} or (self.start is Start.INSTALLED and not self.module)

    @property
    def is_own_file(self) -> bool:
        """Whether it is a file of somebody who works on it, rather than one that was installed or is only typed in."""
        return self.start in {Start.SCRIPT, Start.MODULE} and self.path is not None and not defaults.is_installed(self.path)

    @property
    def looks_in(self) -> Path:
        """The folder whose repository it belongs to."""
        is_its_own = self.path is not None and self.start is not Start.INSTALLED and not defaults.is_installed(self.path)
        return self.path.parent if is_its_own and self.path is not None else self.folder


def find_program(argv: Sequence[str], folder: Path, environ: Mapping[str, str], main: ModuleType | None) -> Program:
    """What runs in this process.

    Args:
        argv: The arguments, as they were when the run began.
        folder: The working directory at that time.
        environ: The environment variables.
        main: The module `__main__`, as it was at that time.
    """
    arguments = tuple(argv[1:])
    shell = defaults.ipython_shell()
    if defaults.is_kernel(shell):
        notebook = defaults.notebook_path(environ)
        return Program(Start.NOTEBOOK, _absolute(notebook, folder) if notebook else None, "", (), folder)
    path = defaults.script_path(main)
    path = _absolute(path, folder) if path else None
    launched = launcher_of(environ)
    if launched is not None and path is not None:
        return Program(Start.MODULE, path, launched[0], tuple(launched[1:]), folder)
    module = defaults.module_name(main)
    if module:
        return Program(Start.MODULE, path, module, arguments, folder)
    if path is None:
        return Program(Start.COMMAND if list(argv[:1]) == ["-c"] else Start.PROMPT, None, "", (), folder)
    if path.is_dir():
        return Program(Start.SCRIPT, path / "__main__.py", "", arguments, folder)
    if getattr(getattr(main, "__spec__", None), "name", None) == "__main__":
        return Program(Start.ARCHIVE, path, "", arguments, folder)
    if defaults.is_installed(path):
        return Program(Start.INSTALLED, path, _module_behind(path), arguments, folder)
    return Program(Start.SCRIPT, path, "", arguments, folder)


def launcher_of(environ: Mapping[str, str]) -> list[str] | None:
    """The module and arguments of the launcher that started this process as one of several; None if there is none."""
    if "TORCHELASTIC_RUN_ID" not in environ and not any(name.startswith("ACCELERATE_") for name in environ):
        return None
    import psutil

    try:
        parent = psutil.Process().parent()
        return None if parent is None else parse_launcher(parent.cmdline())
    except psutil.Error:  # it has ended, or may not be looked at
        return None


def parse_launcher(command: Sequence[str]) -> list[str] | None:
    """The module and arguments of a launcher's command line; None if it is none that we know."""
    for at, word in enumerate(command[:4]):
        if word == "-m" and command[at + 1 : at + 2] and command[at + 1] in _LAUNCHER_MODULES:
            return list(command[at + 1 :])
        module = _LAUNCHERS.get(Path(word).name)
        if module is not None:
            return [module, *command[at + 1 :]]
    return None


def _module_behind(path: Path) -> str:
    """The package that can be started with `-m` instead of an installed command; "" if there is none."""
    found = _WRAPPED.search(_read(path)) if path.stat().st_size < _MOST_TEXT else None
    for package in dict.fromkeys((found[1].partition(".")[0] if found else "", path.stem)):
        file = getattr(sys.modules.get(package), "__file__", None)
        if file and Path(file).with_name("__main__.py").is_file():
            return package
    return ""


def _absolute(path: Path, folder: Path) -> Path:
    """Where a file is, past links. Only where the link stands in a repository, and its target in none, it is the link that is meant."""
    path = folder / path
    link, target = Path(os.path.realpath(path.parent)) / path.name, Path(os.path.realpath(path))
    return link if link == target or (_is_in_repository(link) and not _is_in_repository(target)) else target


def _is_in_repository(path: Path) -> bool:
    return not defaults.is_installed(path) and any((parent / ".git").exists() for parent in path.parents)


# Where it has to be started.


def place_in(program: Program, root: Path, working: Path) -> tuple[str, str]:
    """The working directory, from the root of a repository, and the entry point, from there.

    Args:
        program: The program.
        root: The root.
        working: The working directory that an agent finds.
    """
    working = working if working.is_relative_to(root) else root
    name = working.relative_to(root).as_posix()
    if program.module:
        arguments = [_as_relative(argument, program.folder, working, root) for argument in program.arguments]
        return name, shlex.join(["-m", program.module, *arguments])
    if program.path is None or program.start is Start.INSTALLED or defaults.is_installed(program.path):
        return name, file_name(program)
    return name, Path(os.path.relpath(program.path.with_name(file_name(program)), working)).as_posix()


def path_in(program: Program, root: Path, working: str) -> str:
    """The file that an agent starts or would have to be given, from the root of a repository; "" where there is none.

    Args:
        program: The program.
        root: The root.
        working: The working directory, from there.
    """
    if program.is_given:
        return posixpath.normpath(posixpath.join(working, file_name(program)))
    return program.path.relative_to(root).as_posix() if program.path is not None and program.path.is_relative_to(root) else ""


def entry_alone(program: Program) -> str:
    """The entry point of a program without a repository."""
    if program.module and (program.path is None or defaults.is_installed(program.path)):
        return shlex.join(["-m", program.module, *program.arguments])
    return file_name(program)


def file_name(program: Program) -> str:
    """The name of the file that an agent starts; of a notebook that of the script that it becomes."""
    if program.start is Start.COMMAND:
        return _COMMAND
    if program.start is Start.NOTEBOOK:
        return f"{program.path.stem}.py" if program.path else "notebook.py"
    return program.path.name if program.path else ""


def _as_relative(argument: str, folder: Path, working: Path, root: Path) -> str:
    """An argument that names a file in the repository, as it is found from the working directory."""
    path = Path(os.path.realpath(folder / argument))
    if argument.startswith("-") or not path.is_relative_to(root) or not path.exists():
        return argument
    return Path(os.path.relpath(path, working)).as_posix()


# What is in it.


def text_of(program: Program) -> str:
    """The whole text of a program that an agent has to be given; "" where it has none.

    Raises:
        OSError: its file cannot be read.
        ValueError: it is no text, or its notebook is none.
    """
    if program.start is Start.NOTEBOOK:
        return notebooks.text_of(program.path, defaults.ipython_shell(), _MOST_TEXT)
    if program.start is Start.COMMAND:
        return _command_text()
    if program.path is None or program.start is Start.ARCHIVE:
        return ""
    if defaults.is_installed(program.path) and not program.is_given:
        return ""
    if program.path.stat().st_size > _MOST_TEXT:
        raise ValueError(f"{program.path.name} is larger than {_MOST_TEXT} bytes")
    return _decode(program.path)


def _decode(path: Path) -> str:
    import tokenize

    with tokenize.open(path) as file:  # in the encoding that it declares
        text = file.read()
    if file.encoding.startswith("utf-8"):
        return text
    lines = text.split("\n", 2)  # an agent writes it as UTF-8
    return "\n".join([*(_CODING.sub(r"\1utf-8", line) for line in lines[:2]), *lines[2:]])


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace")


def _command_text() -> str:
    """The code behind `-c`, which is no more in `sys.argv`."""
    given = list(getattr(sys, "orig_argv", []))
    at = next((number for number, word in enumerate(given) if re.fullmatch(r"-[A-Za-z]*c", word)), len(given))
    return "".join(given[at + 1 : at + 2])
