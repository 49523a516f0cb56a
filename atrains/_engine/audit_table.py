"""Registered tables as files: how they are written, and what is said of their rows. Blocking work, for worker threads.

Whether one has changed is seen in `table_marks`; when they are looked at is in `lookout`, what is done then in `_async.registered`.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atrains._engine.artifact_codec.forms import EncodedArtifact, new_file, with_suffix, writing
from atrains._engine.artifact_codec.tables import write_csv
from atrains._engine.table_marks import Marks, Table, copied
from atrains._storage.copying import hash_file
from atrains._wire.artifacts import TABLE, cut_preview
from atrains.errors import UnsupportedTypeError

_SUFFIX: Final = ".csv.gz"
_log = logging.getLogger("atrains")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A table as it was at one look.

    Attributes:
        marks: What tells whether it changes from here on; None where nothing would tell.
        data_hash: SHA-256 of its CSV before compression, in hex.
        rows: What is known of its rows.
        encoded: The file to be stored; None where the same is stored already.
    """

    marks: Marks | None
    data_hash: str
    rows: Rows | None
    encoded: EncodedArtifact | None


def look(name: str, table: Table, folder: Path) -> Snapshot | None:
    """Look at a table, and write it to a file where it has changed.

    Args:
        name: What it is registered as.
        table: Which.
        folder: Where the file is made.

    Returns:
        What was found; None where it is as it was.

    Raises:
        StorageError: the folder cannot be written.
        UnsupportedTypeError: the table cannot be written as CSV.
    """
    frame, data_hash = table.frame, table.data_hash
    if table.marks is not None and table.marks.fit(frame):
        return None
    copy, marks = copied(frame)
    path = new_file(folder, _SUFFIX)
    with writing(name, path):
        try:
            write_csv(copy, path, index=False)
        except (ValueError, TypeError) as error:
            raise UnsupportedTypeError(f"the registered table {name!r} cannot be written as CSV ({error})") from error
        with gzip.open(path) as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found == data_hash:  # nothing that CSV shows has changed, or it was changed back
            path.unlink()
            return Snapshot(marks, found, table.rows, None)
        rows = rows_of(name, copy, table.columns)
        digest, size = hash_file(path)
        text = f"{copy!r}\n\n{statistics({name: rows})}" if rows is not None else repr(copy)
    encoded = EncodedArtifact(
        path=path,
        temporary=True,
        file_name=with_suffix(name, _SUFFIX),
        type=TABLE,
        content_type="text/csv",
        preview=cut_preview(text),
        hash=digest,
        size=size,
        metadata=table.metadata,
        data_hash=found,
    )
    return Snapshot(marks, found, rows, encoded)


# ---- what is in it


@dataclass(frozen=True, slots=True)
class Rows:
    """What is known of the rows of a table.

    Attributes:
        shape: Rows and columns.
        unique: A number for each distinct row, by the columns that tell them apart; sorted.
    """

    shape: tuple[int, int]
    unique: Any


def rows_of(name: str, frame: Any, columns: Sequence[Any] | None) -> Rows | None:
    """Find the distinct rows; None where none of the columns that tell them apart is there."""
    import numpy as np
    import pandas as pd

    chosen = frame
    if columns is not None:
        there = [column for column in columns if column in frame.columns]
        if missing := [column for column in columns if column not in frame.columns]:
            _log.warning("atrains: the registered table %r has no column %s", name, ", ".join(map(repr, missing)))
        if not there:
            return None
        chosen = frame[there]
    if not chosen.shape[1]:
        return Rows(frame.shape, np.empty(0, np.uint64))
    try:
        numbers = pd.util.hash_pandas_object(chosen, index=False)
    except (TypeError, ValueError):  # cells without a hash, such as lists: by what they look like
        numbers = pd.util.hash_pandas_object(chosen.astype(str), index=False)
    return Rows(frame.shape, np.unique(numbers.to_numpy()))


def statistics(tables: Mapping[str, Rows]) -> str:
    """What there is to say of tables: a line for each, and one below it for each other that shares rows with it."""
    lines = []
    for name, rows in tables.items():
        count, unique = rows.shape[0], len(rows.unique)
        share = 100 * unique / count if count else 0.0
        lines.append(f"[{name}]: shape={rows.shape}, {unique} unique rows, {share:.1f}% uniqueness")
        lines += [_intersection(rows, other, of) for other, of in tables.items() if other != name]
    return "\n".join(lines)


def _intersection(rows: Rows, other: str, of: Rows) -> str:
    import numpy as np

    common = len(np.intersect1d(rows.unique, of.unique, assume_unique=True))
    share = 100 * common / len(of.unique) if len(of.unique) else 0.0
    return f"\tIntersection with [{other}] {common} rows: {share:.1f}%"
