"""The scalars of many tasks as one table, in each of the three libraries: one body for both worlds and every home."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from atrains import AsyncTask, Task, export
from atrains.errors import MissingPackageError, NotFoundError, UnsupportedTypeError

World = Any
LIBRARIES: Final = ["pandas", "polars", "arrow"]
COLUMNS: Final = ["task", "title", "series", "iteration", "timestamp", "value"]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def exported(world: World, library: str, *arguments: Any, **options: Any) -> Any:
    """What the function of this world returns: a table, or a coroutine."""
    return getattr(export, f"to_{library}{'_async' if world.Task is AsyncTask else ''}")(*arguments, **options)


def rows(table: Any) -> list[dict[str, Any]]:
    """The rows of a table of any of the libraries."""
    for name, arguments in (("to_dicts", ()), ("to_pylist", ()), ("to_dict", ("records",))):  # polars, Arrow, pandas
        if hasattr(table, name):
            found: list[dict[str, Any]] = getattr(table, name)(*arguments)
            return found
    raise AssertionError(f"no table: {table!r}")


async def two_tasks(world: World) -> tuple[Any, Any]:
    first = await world(world.Task.init("project", "first"))
    for iteration in (5, 7, 5, 6):
        first.get_logger().report_scalar("loss", "train", value=iteration / 4, iteration=iteration)
    first.get_logger().report_scalar("loss", "train", value=99.5, iteration=5)
    first.get_logger().report_scalar("accuracy", "test", value=0.5, iteration=2**40)
    first.get_logger().report_single_value("best", 3.5)
    second = await world(world.Task.create("project", "second"))
    await world(second.mark_started())
    second.get_logger().report_scalars("loss", "test", values=[0.0, -1.5], iterations=[-3, 0])
    second.get_logger().report_scalar("loss", "train", value=1e30, iteration=1)
    await world(second.flush())
    return first, second


async def test_a_row_for_each_point(world: World, library: str) -> None:
    before = time.time()
    first, second = await two_tasks(world)
    table = await world(exported(world, library, [second, first.id, second]))
    found = rows(table)
    assert [list(row) for row in found] == [COLUMNS] * len(found)
    assert [tuple(row[name] for name in COLUMNS if name != "timestamp") for row in found] == [
        (second.id, "loss", "test", -3, 0.0),
        (second.id, "loss", "test", 0, -1.5),
        (second.id, "loss", "train", 1, 1e30),
        (first.id, "accuracy", "test", 2**40, 0.5),
        (first.id, "loss", "train", 5, 99.5),
        (first.id, "loss", "train", 6, 1.5),
        (first.id, "loss", "train", 7, 1.75),
    ]
    moments = [row["timestamp"] for row in found]
    assert all(moment.utcoffset() == UTC.utcoffset(None) for moment in moments)
    assert all(before - 0.01 <= moment.timestamp() <= time.time() + 0.01 for moment in moments)
    curves = await world(first.get_reported_scalars(x_axis="iso_time"))
    exact = [datetime.fromisoformat(moment) for moment in curves["loss"]["train"]["x"]]
    # A microsecond is about the last digit that a double has of the seconds since 1970.
    assert all(abs((row["timestamp"] - moment).total_seconds()) < 2e-6 for row, moment in zip(found[-3:], exact, strict=True))


async def test_only_what_was_asked_for(world: World, library: str) -> None:
    first, second = await two_tasks(world)
    names = [(row["title"], row["series"]) for row in rows(await world(exported(world, library, (first, second), title="loss")))]
    assert set(names) == {("loss", "train"), ("loss", "test")}
    names = [(row["title"], row["series"]) for row in rows(await world(exported(world, library, [first, second], series="test")))]
    assert names == [("accuracy", "test"), ("loss", "test"), ("loss", "test")]
    assert len(rows(await world(exported(world, library, first)))) == 4
    assert len(rows(await world(exported(world, library, first.id, title="loss", series="train")))) == 3


async def test_the_types_of_the_columns_do_not_depend_on_the_rows(world: World, library: str) -> None:
    first, _ = await two_tasks(world)
    empty = await world(world.Task.create("project", "empty"))
    kinds = []
    for tasks in (first, empty, []):
        table = await world(exported(world, library, tasks))
        types = table.schema.types if library == "arrow" else list(table.dtypes)
        kinds.append([str(kind).partition("(cat")[0] for kind in types])
    assert kinds[0] == kinds[1] == kinds[2]
    assert (
        kinds[0]
        == {
            "pandas": ["category"] * 3 + ["int64", "datetime64[us, UTC]", "float64"],
            "polars": ["Categorical"] * 3 + ["Int64", "Datetime(time_unit='us', time_zone='UTC')", "Float64"],
            "arrow": ["dictionary<values=string, indices=int32, ordered=0>"] * 3 + ["int64", "timestamp[us, tz=UTC]", "double"],
        }[library]
    )


async def test_a_task_of_the_other_world_will_do(world: World) -> None:
    first, _ = await two_tasks(world)
    await world(first.close())
    other = AsyncTask if world.Task is Task else Task
    if other is Task:
        assert len(await export.to_arrow_async(Task._of(first))) == 4
    else:
        assert len(export.to_arrow(first._core)) == 4


async def test_what_is_no_task_is_refused(world: World) -> None:
    for wrong in (42, [42], [None]):
        with pytest.raises(UnsupportedTypeError, match=r"42|None"):
            await world(exported(world, "arrow", wrong))
    with pytest.raises(NotFoundError, match="0" * 32):
        await world(exported(world, "arrow", ["0" * 32]))


async def test_a_frame_of_pandas_may_be_written_to(world: World) -> None:
    first, _ = await two_tasks(world)
    frame = await world(exported(world, "pandas", first))
    frame.loc[0, "value"] = -1.0
    frame["iteration"] += 1
    assert frame.loc[0, ["iteration", "value"]].tolist() == [2**40 + 1, -1.0]


@pytest.mark.parametrize("package", ["pandas", "polars", "pyarrow"])
async def test_a_package_that_is_missing_is_named(world: World, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = await two_tasks(world)
    monkeypatch.setitem(sys.modules, package, None)  # as an import finds a package that is not there
    with pytest.raises(MissingPackageError, match=f"pip install {package}"):
        await world(exported(world, package.removeprefix("py"), first))
    with pytest.raises(ImportError):
        await world(exported(world, package.removeprefix("py"), first))


def test_importing_it_imports_none_of_them() -> None:
    code = "import sys, atrains; atrains.export; print(*{'numpy', 'pandas', 'polars', 'pyarrow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
