"""What a program imports, by its text and by that of its own modules, whether or not it has been imported yet. Blocking; runs nothing."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_WORD: Final = "import"
_BEFORE: Final = r"[ \t]*(?:(?:try|else|finally)[ \t]*:[ \t]*)?"
_IMPORT: Final = re.compile(rf"{_BEFORE}import[ \t]+([\w., \t]+)")
_FROM: Final = re.compile(rf"{_BEFORE}from[ \t]+(\.*)[ \t]*([\w.]*)[ \t]+import[ \t]*(\([^)]*\)|[\w, \t*]+)")
_CALL: Final = re.compile(r"\b(?:import_module|__import__)\(\s*[\"']([\w.]+)[\"']")
_NAME: Final = re.compile(r"\w+")
_COMMENT: Final = re.compile(r"#.*")
_OURS: Final = "atrains"
"""A package like any other, also where it stands in the program's own folder: what it imports is not the program's business."""
_MOST_FILES: Final = 2000
_MOST_TEXT: Final = 1 << 20


def imported_names() -> frozenset[str]:
    """The modules that were imported by now, by their first names; none of the standard library."""
    return frozenset(name.partition(".")[0] for name in list(sys.modules)) - sys.stdlib_module_names


def names_in(text: str) -> set[str]:
    """The modules that a program imports, by their first names, wherever in its text; none of the standard library or its own package."""
    return {path[0] for level, path in _imports_in(text) if not level and path[0] not in sys.stdlib_module_names}


def names_reached(text: str, folder: Path, places: Sequence[Path], until: float) -> set[str]:
    """The same, and what the program's own modules import in their turn.

    Args:
        text: The program's first file.
        folder: Where that is.
        places: Where it finds its own modules.
        until: The time, by the monotonic clock, at which what was found by then is all.
    """
    names: set[str] = set()
    seen: set[Path] = set()
    homes: dict[str, Path | None] = {_OURS: None}
    walked: set[tuple[Path, str]] = set()
    waiting = [(text, folder)]
    while waiting:
        text, folder = waiting.pop()
        for level, path in _imports_in(text):
            if not level and path[0] in sys.stdlib_module_names:
                continue
            if not level and path[0] not in homes:
                homes[path[0]] = next((place for place in places if _is_in(place, path[0])), None)
            place = _up(folder, level - 1) if level else homes[path[0]]
            if place is None:
                names.add(path[0])
                continue
            way = (place, ".".join(path))
            if way in walked:
                continue
            walked.add(way)
            for file in _files(place, path):
                if file not in seen and len(seen) < _MOST_FILES and time.monotonic() < until:
                    seen.add(file)
                    waiting.append((_read(file), file.parent))
    return names


def _imports_in(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each import: how many packages up it begins, 0 for an absolute one, and the path of names from there."""
    # From one `import` to the next: the patterns alone would be tried at each line, for a millisecond a file.
    at = text.find(_WORD)
    while at >= 0:
        begin = text.rfind("\n", 0, at) + 1
        if found := _IMPORT.match(text, begin):
            yield from ((0, words[0].split(".")) for part in found[1].split(",") if (words := part.split()) and words[0][0] != ".")
        elif found := _FROM.match(text, begin):
            yield from _paths_of(*found.groups())
        elif found := _CALL.match(text, at - 2 if text.startswith("__", max(at - 2, 0)) else at):
            path = [part for part in found[1].split(".") if part]
            if path:
                yield 0, path
        at = text.find(_WORD, max(found.end() if found else 0, at + len(_WORD)))


def _paths_of(dots: str, module: str, names: str) -> Iterator[tuple[int, list[str]]]:
    path = [part for part in module.split(".") if part]
    if not path and not dots:
        return
    if path:
        yield len(dots), path
    # `from package import one as other`: each may be a module.
    for part in _COMMENT.sub("", names).strip("()").split(","):
        name = _NAME.search(part)
        if name is not None:
            yield len(dots), [*path, name[0]]


def _up(folder: Path, levels: int) -> Path:
    return folder if levels < 1 else folder.parents[min(levels, len(folder.parents)) - 1] if folder.parents else folder


def _is_in(place: Path, name: str) -> bool:
    if (place / f"{name}.py").is_file() or (place / name / "__init__.py").is_file():
        return True
    return (place / name).is_dir() and next((place / name).glob("*.py"), None) is not None


def _files(place: Path, path: Sequence[str]) -> Iterator[Path]:
    """The files that are run when a module is imported, as far as there are any."""
    for name in path:
        for file in (place / f"{name}.py", place / name / "__init__.py"):
            if file.is_file():
                yield file
        place = place / name


def _read(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            return opened.read(_MOST_TEXT)
    except OSError:  # not for us to read
        return ""
