"""What is printed and logged while a run is open is read back from its console, on every home and in both worlds."""

# ruff: noqa: T201  # printing is what is tested

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from atrains.errors import NotFoundError, ValidationError
from tests.conformance.conftest import own


async def open_run(world: Any, name: str, **options: Any) -> Any:
    return await world(world.Task.init("console", name, reuse_last_task_id=False, auto_resource_monitoring=False, **options))


async def lines(world: Any, task: Any) -> list[str]:
    found: list[str] = []
    for text in await world(task.get_reported_console_output(100)):
        assert isinstance(text, str)
        found += text.split("\n")
    return found


async def test_what_is_printed_is_read_back(world: Any) -> None:
    before = sys.stdout, sys.stderr
    task = await open_run(world, "printed")
    print("printed", 1)
    print("to the other stream", file=sys.stderr)
    for number in range(200):
        print(f"\r{number} of 199", end="")
    print()
    task.get_logger().report_text("by hand", print_console=True)
    print("not ended", end="")
    await world(task.close())
    assert (sys.stdout, sys.stderr) == before
    assert await lines(world, task) == ["printed 1", "to the other stream", "199 of 199", "by hand", "not ended"]


async def test_lines_of_a_second_are_one_report(world: Any) -> None:
    task = await open_run(world, "joined")
    for number in range(100):
        print("line", number)
    reports = await world(task.get_reported_console_output(100))
    assert len(reports) <= 4  # as a rule one; more where a second or a delivery ends among them
    assert "\n".join(reports) == "\n".join(f"line {number}" for number in range(100))
    assert (await world(task.stats())).logs.acknowledged == 100
    await world(task.close())


async def test_lines_of_two_mebibytes_are_whole_in_several_reports(world: Any) -> None:
    task = await open_run(world, "large")
    printed, reported = "p" * (2 << 20) + " end", "r" * (2 << 20) + " end"
    print(printed, file=sys.stderr)
    task.get_logger().report_text(reported, print_console=False)
    found = await world(task.get_reported_console_output(100))
    assert max(map(len, found)) <= 1 << 20
    assert "".join(found) == printed + reported
    receipt = await world(task.flush())
    assert receipt
    assert receipt.logs.acknowledged == 6
    await world(task.close())


async def test_logging_with_its_levels(world: Any) -> None:
    task = await open_run(world, "logged", auto_connect_streams={"logging": True})
    log, handler = logging.getLogger("conformance.console"), logging.StreamHandler(sys.stdout)
    log.addHandler(handler)
    log.propagate = False
    try:
        log.warning("logged %d", 1)
        print("printed")
    finally:
        log.removeHandler(handler)
    (line,) = await lines(world, task)
    assert line.endswith("logged 1")  # formatted as the first handler does it, which is pytest's
    await world(task.close())


@pytest.mark.parametrize("wish", [False, {}, {"stdout": False, "stderr": False}])
async def test_nothing_is_captured_that_was_not_asked_for(world: Any, wish: Any) -> None:
    before = sys.stdout
    task = await open_run(world, "off", auto_connect_streams=wish)
    assert sys.stdout is before
    print("printed")
    assert await lines(world, task) == []
    await world(task.close())


async def test_a_wish_that_is_not_understood_opens_nothing(world: Any) -> None:
    project = own("console")
    for name, wish in (("auto_connect_streams", {"stdin": True}), ("auto_connect_streams", "yes"), ("auto_resource_monitoring", "yes")):
        with pytest.raises(ValidationError, match=name):
            await world(world.Task.init(project, "refused", **{name: wish}))
    with pytest.raises(NotFoundError, match="no project"):
        await world(world.Task.get_task(project_name=project, task_name="refused"))
