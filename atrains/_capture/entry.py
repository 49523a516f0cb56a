"""How the program was started, as an agent has to start it again: its file or module, its working directory, its text. Blocking.

What is given to the interpreter by hand has no file; the names that stand for it are in `defaults`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple

from atrains._capture import defaults

_MOST_TEXT: Final = 5 << 20
_COMMAND: Final = "command.py"
"""The file that code of `python -c` becomes."""
_WRAPPED: Final = re.compile(r"^\s*from\s+([\w.]+)\s+import\s", re.MULTILINE)
_LAUNCHERS: Final = {"torchrun": "torch.distributed.run", "accelerate": "accelerate.commands.accelerate_cli"}
_LAUNCHER_MODULES: Final = frozenset({"torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch"})
_MAGIC: Final = re.compile(r"^(\s*)([%!?].*|.*\bget_ipython\(\).*|.*\?)$")


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
    def looks_in(self) -> Path:
        """The folder whose repository it belongs to."""
        is_its_own = self.path is not None and self.start is not Start.INSTALLED and not defaults.is_installed(self.path)
        return self.path.parent if is_its_own and self.path is not None else self.folder


def find_program(argv: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Program:
    """What runs in this process.

    Args:
        argv: The arguments, as they were when the run began.
        folder: The working directory at that time.
        environ: The environment variables.
    """
    main = sys.modules.get("__main__")
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
    """Where a file is, past links to its folder; a link to the file itself keeps its name."""
    path = folder / path
    return Path(os.path.realpath(path.parent)) / path.name


# Where it has to be started.


def place_in(program: Program, root: Path) -> tuple[str, str]:
    """The working directory, from the root of a repository, and the entry point, from there."""
    folder = Path(os.path.realpath(program.folder))
    folder = folder if folder.is_relative_to(root) else root
    working = folder.relative_to(root).as_posix()
    if program.module:
        arguments = [_as_relative(argument, program.folder, folder, root) for argument in program.arguments]
        return working, shlex.join(["-m", program.module, *arguments])
    name = file_name(program)
    if program.path is None or program.start is Start.INSTALLED or defaults.is_installed(program.path):
        return working, name
    return working, Path(os.path.relpath(program.path.with_name(name), folder)).as_posix()


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
        return _notebook_text(program.path)
    if program.start is Start.COMMAND:
        return _command_text()
    if program.path is None or program.start in {Start.ARCHIVE, Start.INSTALLED} or defaults.is_installed(program.path):
        return ""
    if program.path.stat().st_size > _MOST_TEXT:
        raise ValueError(f"{program.path.name} is larger than {_MOST_TEXT} bytes")
    return _decode(program.path)


def _decode(path: Path) -> str:
    import tokenize

    with tokenize.open(path) as file:  # in the encoding that it declares
        return file.read()


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace")


def _command_text() -> str:
    """The code behind `-c`, which is no more in `sys.argv`."""
    given = list(getattr(sys, "orig_argv", []))
    at = next((number for number, word in enumerate(given) if re.fullmatch(r"-[A-Za-z]*c", word)), len(given))
    return "".join(given[at + 1 : at + 2])


def _notebook_text(path: Path | None) -> str:
    """The cells of a notebook as a script; of one whose file is not known, those that were run."""
    if path is not None and path.is_file() and path.stat().st_size <= _MOST_TEXT:
        cells = [
            source if isinstance(source := cell.get("source", ""), str) else "".join(source)
            for cell in json.loads(path.read_text("utf-8")).get("cells", [])
            if cell.get("cell_type") == "code"
        ]
    else:
        history = getattr(defaults.ipython_shell(), "user_ns", {}).get("In", [])
        cells = [str(cell) for cell in history]
    return "\n\n".join(_as_python(cell) for cell in cells if cell.strip()) + "\n"


def _as_python(cell: str) -> str:
    """A cell without what only IPython understands, which stays as a comment."""
    lines = cell.splitlines()
    if cell.lstrip().startswith("%%"):
        return "\n".join(f"# {line}" for line in lines)
    return "\n".join(_MAGIC.sub(r"\1# \2", line) if _MAGIC.match(line) else line for line in lines)
