"""A registered table, and whether it has changed since it was stored. Blocking work, for worker threads.

A change is seen by the values, not by what was called: somebody may write to a table through any view of its memory. What was stored last
is kept, and compared byte by byte; of more than `KEPT_BYTES` only its SHA-256 is. Columns of Python objects are compared by the identity
of their objects, which are kept alive for that. Where that could miss something (objects that can change themselves, kinds of columns that
are not known here) the whole table is written at each look, and compared by the hash of its CSV. The labels of the rows are not looked
at: they are not stored.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from atrains._engine.audit_table import Rows, Snapshot

KEPT_BYTES: Final = 256 << 20
"""Up to which size the values that were stored are kept to compare with."""
_CHUNK: Final = 1 << 20
"""Bytes compared at once: what comes of it stays in the cache of the processor."""
_TRIES: Final = 5
"""How often a table that changes while it is copied is copied again."""
_PAUSE: Final = 0.05
"""Seconds between two of them."""


@dataclass(eq=False, slots=True)
class Table:
    """A registered table, and what was stored of it last.

    Attributes:
        frame: The user's.
        metadata: The user's pairs, as text.
        columns: Those that rows are told apart by; None for all.
        marks: How it looked when it was stored; None before that.
        data_hash: The hash of its content then.
        rows: What is known of its rows.
    """

    frame: Any
    metadata: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[Any, ...] | None = None
    marks: Marks | None = None
    data_hash: str | None = None
    rows: Rows | None = None

    def forget(self) -> None:
        """Have it stored again at the next look, whether it changes or not."""
        self.marks = self.data_hash = None

    def note(self, snapshot: Snapshot) -> None:
        """Take down what was stored."""
        self.marks, self.data_hash, self.rows = snapshot.marks, snapshot.data_hash, snapshot.rows


def is_frame(thing: object) -> bool:
    """Whether something is a data frame of pandas; does not import it."""
    known = getattr(sys.modules.get("pandas"), "DataFrame", None)
    return isinstance(known, type) and isinstance(thing, known)


def copied(frame: Any) -> tuple[Any, Marks | None]:
    """A copy of a table that another thread may be changing, as it was at one moment.

    A copy that differs from the table right after it was made may be half old and half new: it is made again, a few times. The last one
    stands, since a table that never rests has no better one.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            copy = frame.copy(deep=True)
            marks = Marks.of(copy)
            if tries_left == 0 or marks is None or marks.fit(frame):
                return copy, marks
        except Exception:  # pandas fails in many ways where columns come and go under it
            if tries_left == 0:
                raise
        time.sleep(_PAUSE)
    raise AssertionError


class Marks:
    """How a table looked.

    Args:
        columns: Its columns' labels, an index of pandas.
        rows: How many.
        kept: For each column what is compared.
    """

    __slots__ = ("_columns", "_kept", "_rows")

    def __init__(self, columns: Any, rows: int, kept: list[list[_Part]]) -> None:
        self._columns = columns
        self._rows = rows
        self._kept = kept

    @classmethod
    def of(cls, copy: Any) -> Marks | None:
        """Of a copy that nobody else has; None where they could not tell every change."""
        digested = int(copy.memory_usage(index=False).sum()) > KEPT_BYTES
        kept = []
        for number in range(copy.shape[1]):
            parts = _parts(copy.iloc[:, number].array)
            if parts is None or not all(map(_is_fixed, parts)):
                return None
            kept.append([_digested(part) if digested else part for part in parts])
        return cls(copy.columns, copy.shape[0], kept)

    def fit(self, frame: Any) -> bool:
        """Whether a table looks like that still."""
        try:
            columns = frame.columns
            if len(frame) != self._rows or not _same_labels(columns, self._columns):
                return False
            return all(_are_same(frame.iloc[:, number].array, kept) for number, kept in enumerate(self._kept))
        except (KeyError, IndexError, ValueError):  # it is being changed
            return False


@dataclass(frozen=True, slots=True)
class _Buffer:
    """Values that stand in memory as they are: an array of numpy."""

    array: Any


@dataclass(frozen=True, slots=True)
class _Digest:
    """The SHA-256 of such values."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class _Fixed:
    """An object that never changes: a dtype, labels of categories, values of Arrow."""

    thing: Any


_Part = _Buffer | _Digest | _Fixed


def _parts(column: Any) -> list[_Part] | None:
    """What a column is made of, by inner parts of pandas; None for kinds that are not known here, and where those are missing."""
    import numpy as np

    if hasattr(column, "_pa_array"):
        return _arrow_parts(column._pa_array)  # noqa: SLF001  # as said above
    fixed: list[_Part] = [_Fixed(column.dtype)]
    if hasattr(column, "categories"):
        fixed.append(_Fixed(column.categories))
    for names in (("_ndarray",), ("_data", "_mask")):
        found = [getattr(column, name, None) for name in names]
        if all(isinstance(values, np.ndarray) for values in found):
            return [*fixed, *map(_Buffer, found)]
    return None


def _arrow_parts(values: Any) -> list[_Part] | None:
    """Of values of Arrow: texts cannot be changed where they are; numbers may be somebody's array, so they are digested."""
    import pyarrow.types as kinds

    kind = values.type
    if kinds.is_string(kind) or kinds.is_large_string(kind):
        return [_Fixed(values)]
    if not kinds.is_primitive(kind):
        return None
    digest = hashlib.sha256()
    for chunk in values.chunks:
        digest.update(b"%d %d" % (chunk.offset, len(chunk)))
        for buffer in chunk.buffers():
            digest.update(b"none" if buffer is None else buffer)
    return [_Fixed(kind), _Digest(digest.digest())]


def _is_fixed(part: _Part) -> bool:
    """Whether the objects in a part, if there are any, cannot change themselves."""
    import numpy as np
    import pandas as pd

    if not isinstance(part, _Buffer) or part.array.dtype.kind != "O":
        return True
    plain = (str, bytes, int, float, complex, type(None), Decimal, date, time_of_day, timedelta, np.generic, type(pd.NA))
    return all(issubclass(kind, plain) and not issubclass(kind, np.void) for kind in set(map(type, part.array.flat)))


def _digested(part: _Part) -> _Part:
    """The same in few bytes. Objects are kept: another one may come to stand where one was that is gone."""
    if not isinstance(part, _Buffer) or part.array.dtype.kind == "O":
        return part
    return _Digest(hashlib.sha256(_bytes(part.array)).digest())


def _are_same(column: Any, kept: list[_Part]) -> bool:
    parts = _parts(column)
    return parts is not None and len(parts) == len(kept) and all(map(_is_same, parts, kept))


def _is_same(part: _Part, kept: _Part) -> bool:
    import numpy as np

    if isinstance(kept, _Fixed):
        return isinstance(part, _Fixed) and (part.thing is kept.thing or _is_equal(part.thing, kept.thing))
    if isinstance(kept, _Digest):
        part = _digested(part)
        return isinstance(part, _Digest) and part.digest == kept.digest
    if not isinstance(part, _Buffer) or part.array.dtype != kept.array.dtype or part.array.shape != kept.array.shape:
        return False
    new, old = _bytes(part.array), _bytes(kept.array)
    if len(new) % 8 == 0:
        new, old = new.view(np.uint64), old.view(np.uint64)
    step = _CHUNK // new.itemsize
    return all(np.array_equal(new[at : at + step], old[at : at + step]) for at in range(0, len(new), step))


def _is_equal(thing: Any, other: Any) -> bool:
    if type(thing) is not type(other):
        return False
    if hasattr(thing, "chunks"):
        return bool(thing.equals(other))
    return _same_labels(thing, other) if hasattr(thing, "nlevels") else bool(thing == other)


def _bytes(values: Any) -> Any:
    """The bytes of an array in their order; of objects those of their addresses."""
    import numpy as np

    values = np.ascontiguousarray(values)
    if values.dtype.kind != "O":
        return values.reshape(-1).view(np.uint8)
    address, _ = values.__array_interface__["data"]
    return np.asarray(_Memory(address, values.nbytes, values))


class _Memory:
    """Bytes at an address, for numpy; `owner` keeps them there."""

    def __init__(self, address: int, size: int, owner: Any) -> None:
        self.owner = owner
        self.__array_interface__ = {"data": (address, True), "shape": (size,), "typestr": "|u1", "version": 3}


def _same_labels(labels: Any, others: Any) -> bool:
    """Whether two indexes show the same: `1` and `True` are equal, and are not written the same."""
    return labels is others or (len(labels) == len(others) and all(map(_shows_as, labels, others)))


def _shows_as(label: object, other: object) -> bool:
    return label is other or repr(label) == repr(other)
