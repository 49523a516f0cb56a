"""The names of a project and a task when none are given: from the repository and from how the program was started.

Nothing here starts a process, talks to a server or fails: whatever cannot be found out has a plain name. More about the run is gathered
elsewhere.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from atrains._wire.names import MINIMUM_LENGTH

UNTITLED: Final = "Untitled"
_MOST: Final = 1 << 20
"""Characters read of a file of git's. Far above what one holds; a larger one is not git's."""

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SECTION: Final = re.compile(r'\s*\[\s*([-.\w]+)\s*(?:"((?:[^"\\]|\\.)*)")?\s*\]')
_URL: Final = re.compile(r"""\s*url\s*=\s*("(?:[^"\\]|\\.)*"|[^#;\r\n]*)""", re.IGNORECASE)


def default_project_name(environ: Mapping[str, str] | None = None) -> str:
    """Return the name of the repository that the program, else the working directory, belongs to; else `Untitled`.

    Args:
        environ: The environment variables; only those by which a notebook is recognised are looked at.
    """
    for folder in _starting_folders(environ or {}):
        for candidate in (folder, *folder.parents):
            name = _repository_name(candidate)
            if name:
                return name
    return UNTITLED


def default_task_name(environ: Mapping[str, str] | None = None) -> str:
    """Return the name of the script, module, archive or notebook that runs, or of the way in which code was given to the interpreter.

    Args:
        environ: The environment variables; only those by which a notebook is recognised are looked at.
    """
    shell = ipython_shell()
    if is_kernel(shell):
        notebook = notebook_path(environ or {})
        return _file_name(notebook, kind="notebook") if notebook else "notebook"
    main = sys.modules.get("__main__")
    module = module_name(main)
    if module:
        return _long_enough(module, kind="module")
    path = script_path(main)
    if path:
        return _file_name(path, kind="script")
    if shell is not None:
        return "ipython"
    if _first_argument() == "-c":
        return "python -c"
    return "interactive" if hasattr(sys, "ps1") or sys.flags.interactive else "stdin"


def _file_name(path: Path, *, kind: str) -> str:
    """The stem of a file, with its suffix where the stem is too short for a name; a package stands for its `__main__.py`."""
    path = _resolved(path) if path.name in {"", "..", "__main__.py"} else path
    if path.name == "__main__.py":
        path = path.parent
    return _long_enough(path.stem, path.name, kind=kind)


def _long_enough(*candidates: str, kind: str) -> str:
    """The first candidate that a server would take as a name, else the first one behind its kind."""
    names = [_UNPRINTABLE.sub("?", candidate).strip() for candidate in candidates]
    return next((name for name in names if len(name) >= MINIMUM_LENGTH), f"{kind} {names[0]}".strip())


# How the program was started.


def ipython_shell() -> Any:
    """IPython's shell when this process runs in one; IPython is never imported for it. Any: IPython is no dependency."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_shell() if callable(get_shell) else None


def is_kernel(shell: object) -> bool:
    """Whether this process is a notebook's kernel; a script started from a notebook inherits its variables, but is none."""
    return "ipykernel" in sys.modules and hasattr(shell, "kernel")


def notebook_path(environ: Mapping[str, str]) -> Path | None:
    """The file of the notebook that this kernel serves, if its editor says so."""
    in_editor = getattr(sys.modules.get("__main__"), "__vsc_ipynb_file__", None)  # set by VS Code in the user's namespace
    if isinstance(in_editor, str) and in_editor:
        return Path(in_editor)
    session = environ.get("JPY_SESSION_NAME", "")  # set by Jupyter Server 2; that of a console ends otherwise
    return Path(session) if session.endswith(".ipynb") else None


def module_name(main: ModuleType | None) -> str | None:
    """`pkg.mod` for `python -m pkg.mod`, `pkg` for a package; None for everything else, archives and folders included."""
    name: str = getattr(getattr(main, "__spec__", None), "name", "") or ""
    if name in {"", "__main__"} or _is_prompt(name):
        return None
    return name.removesuffix(".__main__")


def script_path(main: ModuleType | None) -> Path | None:
    """The file, archive or folder that the interpreter was given; None where there is none."""
    path: object = getattr(main, "__file__", None)
    if path is None or getattr(getattr(main, "__spec__", None), "name", None) == "__main__":
        # A prompt behind a script (`python -i`) has no `__file__` any more; that of an archive or a folder is inside it.
        path = _first_argument()
    if not isinstance(path, str) or path in {"", "-", "-c"} or path.startswith("<") or _is_prompt(Path(path).parent.name):
        return None
    return Path(path)


def _first_argument() -> str:
    return next(iter(getattr(sys, "argv", [])), "")  # an embedded interpreter may have no argv at all


def _is_prompt(name: str) -> bool:
    """Whether a module is the prompt of Python 3.13 and later, which is run as `__main__` itself."""
    return name.partition(".")[0] == "_pyrepl" and hasattr(sys, "ps1")


# Which repository it belongs to.


def _starting_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    path = notebook_path(environ) if is_kernel(ipython_shell()) else script_path(sys.modules.get("__main__"))
    if path:
        for candidate in dict.fromkeys((_resolved(path), path.absolute())):  # a link may lead out of the repository, or into it
            # A runner such as `pytest` belongs to the interpreter, which may stand in a repository of its own (pyenv does).
            if not is_installed(candidate):
                yield candidate if candidate.is_dir() else candidate.parent
    yield _resolved(Path())


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # the working directory was deleted, or links that lead in a circle
        return Path("/") / path


def is_installed(path: Path) -> bool:
    """Whether a file belongs to the interpreter or to a package that was installed."""
    if not {"site-packages", "dist-packages"}.isdisjoint(path.parts):
        return True
    folders = [Path(prefix) / part for prefix in (sys.prefix, sys.base_prefix) for part in ("bin", "Scripts", "lib", "Lib")]
    return any(folder in path.parents for folder in folders)


def _repository_name(folder: Path) -> str | None:
    """The name of the repository whose working tree is at `folder`; None when there is none."""
    found = _git_folder(folder / ".git")
    if found is None:
        return None
    common = _read(found / "commondir").strip()
    if common:  # a linked worktree: the rest of its repository is there, and its own folder is often named after a branch
        found = _resolved(found / common)
        folder = found.parent if found.name == ".git" else found
    url = _origin_url(_read(found / "config"))
    return _long_enough(_last_segment(url) or _last_segment(str(folder)) or UNTITLED, kind="repository")


def _git_folder(path: Path) -> Path | None:
    try:
        if path.is_file():  # a worktree or a submodule: the file says where the folder is
            first = _read(path).partition("\n")[0]
            return path.parent / first.removeprefix("gitdir:").strip() if first.startswith("gitdir:") else None
        return path if (path / "HEAD").is_file() else None
    except OSError:  # a folder that we may not look into
        return None


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MOST)
    except (OSError, ValueError):  # not there, not readable, or no path at all: then it tells us nothing
        return ""


def _origin_url(config: str) -> str:
    """The URL of the remote `origin`, else of the first remote that has one, else ""."""
    urls: dict[str, str] = {}
    remote: str | None = None
    for line in config.replace("\\\n", "").splitlines():
        rest = line
        section = _SECTION.match(line)
        if section:
            kind, name = section[1].lower(), section[2]
            if name is None:  # the old form, [remote.origin]
                kind, _, name = kind.partition(".")
            remote = name if kind == "remote" else None
            rest = line[section.end() :]
        value = _URL.match(rest)
        if value and remote is not None:
            urls.setdefault(remote, re.sub(r"\\(.)", r"\1", value[1].strip().strip('"')))
    return urls.get("origin") or next(iter(urls.values()), "")


def _last_segment(url: str) -> str:
    """The last part of a path or URL, without `.git`; never a host, whose credentials stand before it."""
    host, separator, path = url.strip().rstrip("/\\").removesuffix("/.git").partition("://")
    if separator and "/" not in path:
        return ""
    name = re.split(r"[/\\:]", path if separator else host)[-1].removesuffix(".git").strip()
    if "%" in name:
        from urllib.parse import unquote

        name = unquote(name).strip()
    return "" if name in {".", ".."} else name
