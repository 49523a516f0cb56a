"""The scalars of many tasks as one table, for pandas, polars or Arrow.

The table is tidy: a row for each point, in the order of the tasks, then by title, series and iteration. Its columns are

- `task` (the id), `title` and `series`: text, of which each stands once (a category, a dictionary);
- `iteration`: a 64 bit integer;
- `timestamp`: when the point was reported, in UTC, to the microsecond;
- `value`: a double.

Of points that were reported again at one iteration the last is in it; single values are not, as in `Task.get_reported_scalars`. None of the
packages is required by atrains: install the one that you want.

Example:
    >>> frame = atrains.export.to_pandas(Task.get_tasks(project_name="project"), title="loss")
    >>> frame.pivot_table(values="value", index="iteration", columns=["task", "series"], observed=True).plot()
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from atrains._async.task import AsyncTask
from atrains._engine.process import WORKERS
from atrains._sync._base import unwrap, wrap
from atrains._sync.task import Task
from atrains._wire.table import Names, ScalarTable
from atrains.errors import MissingPackageError, UnsupportedTypeError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["to_arrow", "to_arrow_async", "to_pandas", "to_pandas_async", "to_polars", "to_polars_async"]

T = TypeVar("T")
AnyTask: TypeAlias = Task | AsyncTask | str
"""A task of either world, or its id."""


def to_pandas(tasks: AnyTask | Iterable[AnyTask], *, title: str | None = None, series: str | None = None) -> pd.DataFrame:
    """Read the scalars of tasks into a pandas data frame.

    Args:
        tasks: One task or several: `Task` objects, or their ids.
        title: Only this graph.
        series: Only curves of this name.

    Returns:
        The frame described above.

    Raises:
        MissingPackageError: pandas is not installed.
        NotFoundError: there is no task of one of the ids.
        TransportError: the home cannot be reached.
    """
    return _read("pandas", tasks, title, series, pandas_of)


async def to_pandas_async(tasks: AnyTask | Iterable[AnyTask], *, title: str | None = None, series: str | None = None) -> pd.DataFrame:
    """Read the scalars of tasks into a pandas data frame, in asyncio code; see `to_pandas`."""
    return await _read_async("pandas", tasks, title, series, pandas_of)


def to_polars(tasks: AnyTask | Iterable[AnyTask], *, title: str | None = None, series: str | None = None) -> pl.DataFrame:
    """Read the scalars of tasks into a polars data frame.

    Args:
        tasks: One task or several: `Task` objects, or their ids.
        title: Only this graph.
        series: Only curves of this name.

    Returns:
        The frame described above.

    Raises:
        MissingPackageError: polars is not installed.
        NotFoundError: there is no task of one of the ids.
        TransportError: the home cannot be reached.
    """
    return _read("polars", tasks, title, series, polars_of)


async def to_polars_async(tasks: AnyTask | Iterable[AnyTask], *, title: str | None = None, series: str | None = None) -> pl.DataFrame:
    """Read the scalars of tasks into a polars data frame, in asyncio code; see `to_polars`."""
    return await _read_async("polars", tasks, title, series, polars_of)


def to_arrow(tasks: AnyTask | Iterable[AnyTask], *, title: str | None = None, series: str | None = None) -> pa.Table:
    """Read the scalars of tasks into an Arrow table; the columns of numbers are not copied.

    Args:
        tasks: One task or several: `Task` objects, or their ids.
        title: Only this graph.
        series: Only curves of this name.

    Returns:
        The table described above.

    Raises:
        MissingPackageError: pyarrow is not installed.
        NotFoundError: there is no task of one of the ids.
        TransportError: the home cannot be reached.
    """
    return _read("pyarrow", tasks, title, series, arrow_of)


async def to_arrow_async(tasks: AnyTask | Iterable[AnyTask], *, title: str | None = None, series: str | None = None) -> pa.Table:
    """Read the scalars of tasks into an Arrow table, in asyncio code; see `to_arrow`."""
    return await _read_async("pyarrow", tasks, title, series, arrow_of)


# ---- from tasks to columns


def _read(
    package: str, tasks: AnyTask | Iterable[AnyTask], title: str | None, series: str | None, convert: Callable[[ScalarTable], T]
) -> T:
    require(package)
    table = ScalarTable()
    for given in _listed(tasks):
        task: Task = Task.get_tasks([given])[0] if isinstance(given, str) else wrap(given)
        table.add(task.id, deque(task.iter_reported_scalars(title, series)))
    return convert(table)


async def _read_async(
    package: str, tasks: AnyTask | Iterable[AnyTask], title: str | None, series: str | None, convert: Callable[[ScalarTable], T]
) -> T:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(WORKERS, require, package)
    table = ScalarTable()
    for given in _listed(tasks):
        task: AsyncTask = (await AsyncTask.get_tasks([given]))[0] if isinstance(given, str) else unwrap(given)
        async with aclosing(task.iter_reported_scalars(title, series)) as found:
            chunks = deque([chunk async for chunk in found])
        await loop.run_in_executor(WORKERS, table.add, task.id, chunks)
    return await loop.run_in_executor(WORKERS, convert, table)


def _listed(tasks: AnyTask | Iterable[AnyTask]) -> Iterator[AnyTask]:
    for task in tasks if isinstance(tasks, Iterable) and not isinstance(tasks, str) else [tasks]:
        if not isinstance(task, AnyTask):
            raise UnsupportedTypeError(f"a task or its id is needed, not {task!r}")
        yield task


# ---- from columns to tables


def require(package: str) -> Any:
    """Import what atrains does not depend on.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingPackageError(f"this needs {package}, which is not installed: pip install {package}") from error


def pandas_of(table: ScalarTable) -> pd.DataFrame:
    """A table as a pandas data frame."""
    pandas, numpy = require("pandas"), require("numpy")

    def category(names: Names) -> Any:
        return pandas.Categorical.from_codes(numpy.frombuffer(names.codes, "i4"), categories=list(names.numbers))

    moments = (numpy.frombuffer(table.times, "f8") * 1e6).round().astype("i8").view("M8[us]")
    columns = {
        "task": category(table.tasks),
        "title": category(table.titles),
        "series": category(table.series),
        "iteration": numpy.frombuffer(table.iterations, "i8"),
        "timestamp": pandas.DatetimeIndex(moments, tz="UTC"),
        "value": numpy.frombuffer(table.values, "f8"),
    }
    frame: pd.DataFrame = pandas.DataFrame(columns)  # copies: what comes out is not tied to buffers that cannot be written
    return frame


def polars_of(table: ScalarTable) -> pl.DataFrame:
    """A table as a polars data frame."""
    library = require("polars")

    def category(names: Names) -> Any:
        texts = library.Series(list(names.numbers), dtype=library.String)
        return texts.cast(library.Categorical).gather(library.Series(names.codes, dtype=library.Int32))

    seconds = library.Series(table.times, dtype=library.Float64)
    columns = {
        "task": category(table.tasks),
        "title": category(table.titles),
        "series": category(table.series),
        "iteration": library.Series(table.iterations, dtype=library.Int64),
        "timestamp": (seconds * 1e6).round().cast(library.Int64).cast(library.Datetime("us", "UTC")),
        "value": library.Series(table.values, dtype=library.Float64),
    }
    frame: pl.DataFrame = library.DataFrame(columns)
    return frame


def arrow_of(table: ScalarTable) -> pa.Table:
    """A table as an Arrow table, over the same memory."""
    arrow, compute = require("pyarrow"), import_module("pyarrow.compute")

    def numbers(kind: Any, column: Any) -> Any:
        return arrow.Array.from_buffers(kind, len(column), [None, arrow.py_buffer(column)])

    def category(names: Names) -> Any:
        return arrow.DictionaryArray.from_arrays(numbers(arrow.int32(), names.codes), arrow.array(list(names.numbers), arrow.string()))

    moments = compute.round(compute.multiply(numbers(arrow.float64(), table.times), 1e6)).cast(arrow.int64())
    columns = {
        "task": category(table.tasks),
        "title": category(table.titles),
        "series": category(table.series),
        "iteration": numbers(arrow.int64(), table.iterations),
        "timestamp": moments.cast(arrow.timestamp("us", "UTC")),
        "value": numbers(arrow.float64(), table.values),
    }
    found: pa.Table = arrow.table(columns)
    return found
