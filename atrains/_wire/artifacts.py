"""The record of an artifact on a task, to and from its wire form, its type names and the cut of its preview. Pure; files are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from atrains.errors import ValidationError

JSON: Final = "JSON"
STRING: Final = "string"
BYTES: Final = "bytes"
"""Not a type of the official clients: they hand out the path of the file, as for every type that they do not know."""
FILE: Final = "custom"
NUMPY: Final = "numpy"
PANDAS: Final = "pandas"
TABLE: Final = "data-audit-table"
"""A data frame that is registered, without its index."""
POLARS: Final = "polars"
"""Not a type of the official clients, as above."""
IMAGE: Final = "image"
ARCHIVE: Final = "archive"
JSON_TYPES: Final = frozenset({JSON, "dict"})
"""Old clients write the first name for a dictionary, newer ones the second; readers accept both."""

HOME_URL: Final = "home://"
"""Scheme of files inside the local home: relative to it, so that a home can be moved and copied."""
PREVIEW_LIMIT: Final = 65_536
"""Characters of a preview before it is cut."""

FAILED: Final = "upload failed"
"""The pair of an entry's metadata that says why its file, or the one that was to replace it, could not be stored."""
_OF_A_FILE: Final = frozenset({"uri", "content_size", "hash"})

_KINDS: Final[Mapping[str, tuple[Any, str]]] = {
    "uri": (str, "a URL as text"),
    "hash": (str, "a text"),
    "mode": (str, "input or output"),
    "content_size": (int, "a number of bytes"),
    "timestamp": (int, "a number of whole seconds"),
    "type_data": (Mapping, "an object"),
    "display_data": (list | tuple, "a list of pairs of texts"),
}
"""What the parts of an entry are, where they are given."""

Decoded: TypeAlias = Any
"""What an artifact is read back as: a dict, list, str, bytes, Path, or an object of a package that is not imported here."""


class ArtifactRecord(NamedTuple):
    """What a task knows about one artifact. Server: its identity is `(key, mode)`, and absent fields are omitted, not null.

    Attributes:
        key: The artifact's name.
        type: One of the type names; unknown ones are kept as they are.
        mode: `output` or `input`.
        uri: Where the file is; percent-quoted for http(s), raw otherwise.
        content_size: Bytes of the stored file.
        hash: SHA-256 of the stored file, in hex.
        timestamp: Seconds since the epoch.
        preview: Text shown in place of the content.
        content_type: The MIME type of the stored file.
        data_hash: SHA-256 of the content alone, for registered tables.
        metadata: The user's pairs; the server keeps strings only.
    """

    key: str
    type: str
    mode: str = "output"
    uri: str | None = None
    content_size: int | None = None
    hash: str | None = None
    timestamp: int | None = None
    preview: str | None = None
    content_type: str | None = None
    data_hash: str | None = None
    metadata: Mapping[str, str] = MappingProxyType({})

    @property
    def failure(self) -> str | None:
        """Why its file, or the one that was to replace it, could not be stored; None where nothing failed."""
        return self.metadata.get(FAILED)

    def to_wire(self) -> dict[str, Any]:
        """Return the entry of `execution.artifacts`."""
        type_data = _given(preview=self.preview, content_type=self.content_type, data_hash=self.data_hash)
        return _given(
            key=self.key,
            type=self.type,
            mode=self.mode,
            uri=self.uri,
            content_size=self.content_size,
            hash=self.hash,
            timestamp=self.timestamp,
            type_data=type_data or None,
            display_data=[[name, value] for name, value in self.metadata.items()] or None,
        )

    @classmethod
    def from_wire(cls, entry: Mapping[str, Any]) -> ArtifactRecord:
        """Read an entry of `execution.artifacts`; what is absent or null is None, unknown fields are ignored."""
        type_data: Mapping[str, Any] = entry.get("type_data") or {}
        pairs: Sequence[Sequence[object]] = entry.get("display_data") or ()
        return cls(
            key=entry["key"],
            type=entry.get("type") or FILE,
            mode=entry.get("mode") or "output",
            uri=entry.get("uri"),
            content_size=entry.get("content_size"),
            hash=entry.get("hash"),
            timestamp=entry.get("timestamp"),
            preview=type_data.get("preview"),
            content_type=type_data.get("content_type"),
            data_hash=type_data.get("data_hash"),
            # A pair of another length is not ours to repair: its first two strings are what every reader shows.
            metadata={str(pair[0]): str(pair[1]) for pair in pairs if len(pair) > 1},
        )


def resolve_url(url: str, home: Path) -> str:
    """Return the URL under which anybody finds a file; `home` is the local home."""
    return f"file://{home / url.removeprefix(HOME_URL)}" if url.startswith(HOME_URL) else url


def failed_entry(entry: Mapping[str, Any], held: Mapping[str, Any] | None, reason: str) -> dict[str, Any]:
    """The entry of an artifact that could not be stored: it has no URI, since there is nothing behind it, and says why.

    Args:
        entry: What would have been recorded.
        held: The entry that the task has under this name: where that has a file, it stays, and only the reason is added.
        reason: Why it failed.
    """
    kept = dict(held) if held is not None and held.get("uri") else {name: value for name, value in entry.items() if name not in _OF_A_FILE}
    pairs = [pair for pair in kept.get("display_data") or () if pair[0] != FAILED]
    failed = {**kept, "display_data": [*pairs, [FAILED, reason]]}
    if not failed.get("uri"):
        failed["type_data"] = {**(entry.get("type_data") or {}), "preview": f"{FAILED}: {reason}"}
    return failed


def check_name(name: object) -> None:
    """Refuse what no home keeps as the name of an artifact.

    Raises:
        ValidationError: saying why.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValidationError(f"an artifact needs a name, not {name!r}; give a string that is not empty")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValidationError(f"the name {name!r} of an artifact cannot be written as UTF-8 ({error.reason}); choose another") from error
    if "\0" in name:
        raise ValidationError(f"the name {name!r} of an artifact holds a zero character, which no home keeps; choose another")


def check_entry(entry: Mapping[str, Any]) -> None:
    """Refuse an entry that has a name and a type, and that no home keeps, or no reader could read.

    Raises:
        ValidationError: saying why.
    """
    check_name(entry["key"])
    for part, (kind, words) in _KINDS.items():
        if not isinstance(entry.get(part), kind | None) or isinstance(entry.get(part), bool):
            raise ValidationError(f"the {part} of artifact {entry['key']!r} is {words}, not {entry[part]!r}")
    for pair in entry.get("display_data") or ():
        if not isinstance(pair, list | tuple) or not all(isinstance(text, str) for text in pair):
            raise ValidationError(f"the display_data of artifact {entry['key']!r} are pairs of texts, not {pair!r}")


def metadata_pairs(metadata: Mapping[str, object] | None) -> dict[str, str]:
    """The user's pairs as text, which is what servers keep.

    Raises:
        ValidationError: it is no dictionary, or nested too deep.
    """
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ValidationError(f"the metadata of an artifact must be a dictionary, not {type(metadata).__qualname__}")
    try:
        return {_plain(str(key)): _plain(str(value)) for key, value in (metadata or {}).items()}
    except RecursionError as error:
        raise ValidationError("the metadata of an artifact is nested too deep; give texts and numbers") from error


def _plain(text: str) -> str:
    """The text without lone surrogates (undecodable file names have them), which no transport could encode."""
    return text.encode(errors="replace").decode()


def cut_preview(text: str) -> str:
    """Return the preview, cut at `PREVIEW_LIMIT` characters behind a line that says so."""
    text = _plain(text)
    if len(text) <= PREVIEW_LIMIT:
        return text
    return f"(the first {PREVIEW_LIMIT:,} of {len(text):,} characters)\n{text[:PREVIEW_LIMIT]}"


def human_size(size: int) -> str:
    """Return a size for people: `27 bytes`, `1.50 MiB`."""
    if size < 1024:
        return f"{size} bytes"
    exponent = min(4, (size.bit_length() - 1) // 10)
    return f"{size / 1024**exponent:.2f} {'KMGT'[exponent - 1]}iB"


def _given(**fields: object) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
