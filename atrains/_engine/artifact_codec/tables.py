"""Data frames: pandas as compressed CSV or Parquet, polars as Parquet."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from atrains._engine.artifact_codec.forms import Form, Options, choose, new_file, open_gzip, with_suffix, writing
from atrains._wire.artifacts import PANDAS, POLARS
from atrains.errors import MissingPackageError, StorageError, UnsupportedTypeError

if TYPE_CHECKING:
    from gzip import GzipFile

    from _typeshed import ReadableBuffer

_PARQUET: Final = "application/parquet"
_PANDAS_FORMS: Final = {".csv.gz": "text/csv", ".csv": "text/csv", ".parquet": _PARQUET, ".feather": "application/feather"}
_POLARS_FORMS: Final = {".parquet": _PARQUET, ".csv": "text/csv"}
_NUMBERED: Final = re.compile(r".*\.\d+")


def encode_pandas(name: str, frame: Any, folder: Path, options: Options) -> Form:
    """A data frame of pandas, with its index; CSV is written so that equal frames give equal files."""
    levels = max(frame.index.nlevels, frame.columns.nlevels)
    usual = ".csv.gz" if levels == 1 else ".parquet"  # CSV would come back flat
    suffix, content_type = choose(name, "a data frame of pandas", options.extension, _PANDAS_FORMS, usual)
    path = new_file(folder, suffix)
    with writing(name, path):
        try:
            if suffix in {".csv.gz", ".csv"}:
                write_csv(frame, path)
            elif suffix == ".parquet":
                frame.to_parquet(path)
            else:
                frame.to_feather(path)
        except ImportError as error:
            advice = "pip install pyarrow, or give extension_name='.csv.gz'"
            raise MissingPackageError(f"artifact {name!r}: {suffix} needs pyarrow: {advice}") from error
        except (ValueError, TypeError) as error:  # a form cannot hold every frame
            raise _unfit(name, suffix, error) from error
    return Form(path, True, with_suffix(name, suffix), PANDAS, content_type, repr(frame))


def encode_polars(name: str, frame: Any, folder: Path, options: Options) -> Form:
    """A data frame of polars."""
    suffix, content_type = choose(name, "a data frame of polars", options.extension, _POLARS_FORMS, ".parquet")
    path = new_file(folder, suffix)
    with writing(name, path):
        try:
            frame.write_parquet(path) if suffix == ".parquet" else frame.write_csv(path)
        except Exception as error:  # polars has errors of its own, which are no subclasses of anything
            if isinstance(error, OSError):
                raise
            raise _unfit(name, suffix, error) from error
    return Form(path, True, with_suffix(name, suffix), POLARS, content_type, repr(frame))


def write_csv(frame: Any, path: Path, *, index: bool = True) -> None:
    """Write a data frame as CSV, compressed where the path says so.

    Raises:
        OSError: there is no room.
        ValueError, TypeError: it cannot be written so.
    """
    # Before Python 3.13 `csv` quotes a carriage return in a text only where lines end in one: a bare one would begin a row of its own.
    for ends in ({}, {"lineterminator": "\r\n"}):
        with open_gzip(path) if path.suffix == ".gz" else path.open("wb") as file:
            watched = _Watched(file)
            frame.to_csv(watched, mode="wb", index=index, **ends)
        if not watched.holds_return:
            break


class _Watched(io.BufferedIOBase):
    """Passes on what is written, and notes whether a carriage return was in it."""

    def __init__(self, file: BinaryIO | GzipFile) -> None:
        self._file, self.holds_return = file, False

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        self.holds_return = self.holds_return or b"\r" in memoryview(data).tobytes()
        return self._file.write(data)


def decode_pandas(name: str, path: Path, content_type: str | None, *, index: bool) -> Any:
    """The data frame in a file, by its MIME type; what cannot be told from it is CSV."""
    pandas = _imported("pandas", name)
    if content_type in {_PARQUET, "application/feather"}:
        try:
            return pandas.read_parquet(path) if content_type == _PARQUET else pandas.read_feather(path)
        except ImportError as error:
            raise MissingPackageError(f"artifact {name!r} is {content_type}, which needs pyarrow: pip install pyarrow") from error
    compression = "gzip" if _is_gzip(path) else None
    frame = pandas.read_csv(path, index_col=[0] if index else None, compression=compression)
    if any(_NUMBERED.fullmatch(str(column)) for column in frame.columns):  # pandas numbers columns of one name
        header = pandas.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, compression=compression).iloc[
            0, int(index) :
        ]
        if header.duplicated().any() or frame.index.name in set(header):
            frame.columns = header.to_list()
    return frame


def decode_polars(name: str, path: Path, content_type: str | None) -> Any:
    """The data frame in a file."""
    polars = _imported("polars", name)
    try:
        return polars.read_parquet(path) if content_type == _PARQUET else polars.read_csv(path)
    except Exception as error:  # as above
        raise StorageError(f"artifact {name!r}: {path} does not hold a data frame ({error})") from error


def _unfit(name: str, suffix: str, error: Exception) -> UnsupportedTypeError:
    return UnsupportedTypeError(f"artifact {name!r}: this data frame cannot be stored as {suffix} ({error}); give another extension_name")


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _imported(package: str, name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as error:
        what = f"artifact {name!r} is a data frame of {package}"
        raise MissingPackageError(f"{what}: pip install {package}; get_local_copy() gives its file") from error
