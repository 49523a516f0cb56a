"""A notebook as a script: its cells, without what only IPython understands. Blocking; the file is read, IPython is not imported."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, Final

_MAGIC: Final = re.compile(r"^(\s*)([%!?].*|[\w, .*\[\]]+=\s*[%!].*|.*\bget_ipython\(\).*|.*\?)$")
_PYTHON_BODY: Final = re.compile(r"\s*%%(?:time|timeit|capture|prun)\b")
"""Magics whose cells are Python."""


def text_of(path: Path | None, shell: Any, most: int) -> str:
    """The cells of a notebook as a script; of one whose file is not known, those that were run.

    Args:
        path: The notebook.
        shell: IPython's, of the kernel that runs.
        most: Bytes of the largest file that is read.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no notebook.
    """
    if path is not None and path.is_file() and path.stat().st_size <= most:
        cells = [
            source if isinstance(source := cell.get("source", ""), str) else "".join(source)
            for cell in json.loads(path.read_text("utf-8")).get("cells", [])
            if cell.get("cell_type") == "code"
        ]
    else:
        cells = [str(cell) for cell in getattr(shell, "user_ns", {}).get("In", [])]
    return "\n\n".join(as_python(cell, shell) for cell in cells if cell.strip()) + "\n"


def as_python(cell: str, shell: Any = None) -> str:
    """A cell without what only IPython understands, which stays as a comment.

    Args:
        cell: Its text.
        shell: IPython's, which knows best what it would take for its own.
    """
    if cell.lstrip().startswith("%%"):
        first, _, body = cell.lstrip().partition("\n")
        if _PYTHON_BODY.match(first):
            return f"# {first}\n{as_python(body, shell)}"
        return "\n".join(f"# {line}" for line in cell.splitlines())
    if _is_python(cell):
        # A line that begins with `%` or ends with `?` is then the rest of another one.
        return "\n".join(_comment(line) if "get_ipython()" in line else line for line in cell.splitlines())
    lines = cell.splitlines()
    seen = _transformed(cell, shell)
    if len(seen) == len(lines):
        return "\n".join(line if line == other else _comment(line) for line, other in zip(lines, seen, strict=True))
    return "\n".join(_comment(line) if _MAGIC.match(line) else line for line in lines)


def _comment(line: str) -> str:
    """A line as a comment; one that is indented may be all that a block has."""
    rest = line.lstrip()
    indent = line[: len(line) - len(rest)]
    return f"{indent}pass  # {rest}" if indent else f"# {rest}"


def _is_python(cell: str) -> bool:
    try:
        compile(cell, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError):  # magics, or a null character
        return False
    return True


def _transformed(cell: str, shell: Any) -> list[str]:
    """The lines that IPython makes of a cell; none where it is not there."""
    transform = getattr(shell, "transform_cell", None)
    if transform is None:
        return []
    try:
        return str(transform(cell)).splitlines()
    except SyntaxError:  # a cell that never ran
        return []
