"""Where files go below a destination, and how names become parts of a path or URL. Pure; who puts them there is elsewhere."""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal, TypeAlias
from urllib.parse import quote

Kind: TypeAlias = Literal["artifacts", "models", "metrics"]

UNKNOWN_PROJECT: Final = "unknown"
PROJECT_LIMIT: Final = 256
TASK_LIMIT: Final = 128
SEGMENT_LIMIT: Final = 250
"""Bytes of one part of a path; file systems end at 255."""

_KEPT: Final = "'[]{}()$^,.; -_+="
_DIGEST: Final = 16
_ESCAPED: Final = re.compile(r"""["#';?:@&=+$,%!\x00-\x1f\x7f\ud800-\udfff]""")
_WHOLE_CHARACTERS: Final = re.compile(r"(?:[^%]|%[0-7]\w|%[CD]\w%\w\w|%E\w(?:%\w\w){2}|%F\w(?:%\w\w){3})*")
"""Percent-quoted UTF-8 up to the last whole character."""
_WEB: Final = re.compile(r"https?://", re.IGNORECASE)


def task_folder(project: str | None, task_name: str, task_id: str) -> str:
    """Return `<project>/<task name>.<task id>`, both percent-quoted.

    A `/` in the project's name makes folders, one in the task's name is quoted. Both are cut where they are too long: the task keeps its
    id at the end, the project a digest of its whole name, so that different ones stay apart.
    """
    parts = [_quote(part) for part in (project or "").split("/") if part.strip()]
    folder = "/".join(_cut(part, SEGMENT_LIMIT, f"-{digest(part)}") for part in parts) or UNKNOWN_PROJECT
    if len(folder) > PROJECT_LIMIT:
        folder = _cut(folder, PROJECT_LIMIT, f"-{digest(folder)}")
    identity = f".{_quote(task_id)}"
    return f"{folder}/{_cut(_quote(task_name) + identity, TASK_LIMIT, identity)}"


def escape_component(text: str) -> str:
    """Return the name of an artifact, title, series or file as one part of a path; readers never turn it back, they follow the URL.

    Slashes at the ends go, inner ones become `.slash.`, characters that URLs and shells read in their own way become `0x` and two hex
    digits. What is longer than a file system takes is cut and given a digest of the whole, before its suffix.
    """
    escaped = text.replace("\\", "/").strip("/").replace("/", ".slash.")
    escaped = _ESCAPED.sub(_hex, escaped)
    if not escaped.strip("."):  # empty, or a step to another folder
        escaped = escaped.replace(".", "0x2e") or "_"
    if len(escaped.encode()) <= SEGMENT_LIMIT:
        return escaped
    suffix = _suffix(escaped)
    ending = f".{digest(text)}{suffix}"
    room = SEGMENT_LIMIT - len(ending.encode())
    return escaped.encode()[:room].decode(errors="ignore") + ending


def passes_for_another(text: str) -> bool:
    """Whether a name loses in its escape what tells it from another one, which then bears no mark: `/a` becomes `a`, `/` becomes `_`."""
    return text != escape_component(text) in {text.strip("/\\"), "_"}


def file_path(folder: str, kind: Kind, *components: str) -> str:
    """Return `<task folder>/<kind>/<component>/...`, each component escaped."""
    return "/".join([folder, kind, *map(escape_component, components)])


def join_url(destination: str, path: str) -> str:
    """Return the URL by which a file below a destination is registered: with its path percent-quoted for http(s), raw otherwise."""
    destination = destination.rstrip("/")
    return f"{destination}/{quote(path)}" if _WEB.match(destination) else f"{destination}/{path}"


def _quote(text: str) -> str:
    quoted = quote(text, safe=_KEPT, errors="surrogatepass")
    # Only dots would lead out of the destination.
    return quoted if quoted.strip(". ") else quoted.replace(".", "%2E")


def _cut(quoted: str, limit: int, ending: str) -> str:
    """The text with `ending`, cut before it to `limit` characters where it is longer, never inside a quoted character."""
    if len(quoted) <= limit:
        return quoted
    whole = _WHOLE_CHARACTERS.match(quoted, 0, max(0, limit - len(ending)))
    return (whole[0].rstrip("/") if whole else "") + ending


def _suffix(name: str) -> str:
    """`.csv.gz` of a file name; "" when what follows the dots is no suffix."""
    found = re.search(r"(?:\.[A-Za-z0-9]{1,8}){1,2}$", name)
    return found[0] if found else ""


def _hex(character: re.Match[str]) -> str:
    return f"0x{ord(character[0]):02x}"


def digest(text: str) -> str:
    """Return what tells a text from others, in a part of a path."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
