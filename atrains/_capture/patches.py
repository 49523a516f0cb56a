"""Differences as git prints them: taken apart by file, made for a new file, and cut to what fits. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_BEGINS: Final = b"diff --"
_BETWEEN: Final = (b"Submodule ", b"* Unmerged path ")
"""How git's remarks between the patches begin; a line of a file begins with a blank, a sign or a backslash."""
_ESCAPED: Final = re.compile(r"\\([0-7]{3}|.)")
_ESCAPES: Final = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_QUOTED: Final = re.compile(r"[^ !#-[\]-~]")  # all but printable ASCII, and two of that; a range to \uffff takes 5 ms to compile
_TWO_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"$')


class FileChange(NamedTuple):
    """The difference of one file.

    Attributes:
        name: The file, from the root.
        text: A patch of it alone.
        is_exact: Whether the text is what git printed: not so where that is in no encoding that a record could hold.
    """

    name: str
    text: str
    is_exact: bool


def file_changes(diff: bytes) -> list[FileChange]:
    """The patches of single files that a difference is made of, without git's remarks between them.

    An agent that meets text before the first patch takes the whole for a program.
    """
    changes = []
    diff = diff if diff.endswith(b"\n") else diff + b"\n"
    # One after the other: to split all at once holds the interpreter for as long as that takes.
    at = 0 if diff.startswith(_BEGINS) else _after(diff, 0)
    while at < len(diff):
        end = _after(diff, at)
        patch = diff[at:end]
        at = end
        if any(b"\n" + remark in patch for remark in _BETWEEN):
            patch = b"".join(line for line in patch.splitlines(keepends=True) if not line.startswith(_BETWEEN))
        name = name_in(patch.partition(b"\n")[0])
        try:
            changes.append(FileChange(name, patch.decode("utf-8"), is_exact=True))
        except UnicodeDecodeError:
            changes.append(FileChange(name, patch.decode("utf-8", "replace"), is_exact=False))
    return changes


def _after(diff: bytes, at: int) -> int:
    """Where the next patch begins, or the difference ends."""
    found = diff.find(b"\n" + _BEGINS, at)
    return len(diff) if found < 0 else found + 1


def name_in(header: bytes) -> str:
    """The file that the first line of a patch is about: the new name of one that was renamed."""
    names = header.decode("utf-8", "replace").partition(" --git ")[2] or header.decode("utf-8", "replace").split(" ", 2)[-1]
    quoted = _TWO_QUOTED.search(names)
    if quoted is not None:
        return unquoted(quoted[0]).removeprefix("b/")
    half = len(names) // 2  # "a/x b/x": a name may itself hold " b/"
    if len(names) % 2 and names[:half].removeprefix("a/") == names[half + 1 :].removeprefix("b/"):
        return names[half + 1 :].removeprefix("b/")
    return names.rpartition(" b/")[2]


def unquoted(name: str) -> str:
    """A name that git put into quotes for what is in it."""
    inner = name[1:-1].encode("utf-8", "surrogateescape").decode("latin-1")
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 8) if len(found[1]) == 3 else _ESCAPES.get(found[1], ord(found[1]))), inner)
    return plain.encode("latin-1").decode("utf-8", "replace")


def quoted(name: str) -> str:
    """A name as git writes it in a patch."""
    if not _QUOTED.search(name):
        return name
    letters = {code: letter for letter, code in _ESCAPES.items()} | {ord('"'): '"', ord("\\"): "\\"}
    parts = [
        f"\\{letters[byte]}" if byte in letters else chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"
        for byte in name.encode("utf-8", "surrogateescape")
    ]
    return f'"{"".join(parts)}"'


def addition(name: str, text: str) -> FileChange:
    """The patch that adds a file which git does not know."""
    lines = text.split("\n")
    ending = "\\ No newline at end of file\n" if lines[-1] else ""
    lines = lines if lines[-1] else lines[:-1]
    body = "".join(f"+{line}\n" for line in lines)
    new = quoted(f"b/{name}")
    header = f"diff --git {quoted(f'a/{name}')} {new}\nnew file mode 100644\n"
    if lines:
        # git ends a name with blanks with a tabulator: what follows would be taken for a time.
        header += f"--- /dev/null\n+++ {new}{chr(9) if ' ' in new else ''}\n@@ -0,0 +1,{len(lines)} @@\n"
    else:
        header += "index 0000000..e69de29\n"
    return FileChange(name, f"{header}{body}{ending}", is_exact=True)


def fitting(changes: Sequence[FileChange], most: int, *, first: str = "") -> tuple[str, tuple[str, ...]]:
    """As many whole patches as fit into a number of characters, and the names of the files that are left out.

    What is left out is named at the end, where `git apply` reads over it. Where nothing fits, the text is empty.

    Args:
        changes: The patches.
        most: How many characters there is room for.
        first: The file that matters most: the program itself.
    """
    kept: list[str] = []
    left_out: list[str] = []
    room = most - 200  # for that line
    for change in sorted(changes, key=lambda change: change.name != first):
        if change.is_exact and len(change.text) <= room:
            kept.append(change.text)
            room -= len(change.text)
        else:
            left_out.append(change.name)
    if kept and left_out:
        kept.append(f"# {len(left_out)} more changed files are left out here; see the artifact auxiliary_git_diff\n")
    return "".join(kept), tuple(left_out)
