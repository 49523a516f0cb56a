"""Bad input, one case a line: every error says what happened, to what, and what to do; what is reported never raises, and is counted."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atrains import AsyncTask, Task, TaskTypes, _config, errors
from atrains.errors import (
    AtrainsError,
    ConfigurationError,
    HomeError,
    NotFoundError,
    ServerError,
    SyncInAsyncError,
    TaskClosedError,
    TaskFailedError,
    TaskStatusError,
    UnsupportedTypeError,
    UsageError,
    ValidationError,
    WaitTimeoutError,
)

NO_ID = "0" * 32


def run() -> Task:
    return Task.init("project", "a run")


def closed() -> Task:
    task = run()
    task.close()
    return task


def failed() -> Task:
    task = run()
    task.mark_failed(status_reason="no data")
    return task


def unwritable_home() -> None:
    home = _config.settings().home.path
    home.write_text("this is a file")  # root may write everywhere, but not below a file
    run()


def malformed_config() -> None:
    Path(os.environ["ATRAINS_CONFIG_FILE"]).write_text('api {\n  api_server: "http://localhost:8008\n}\n')
    _config.reset()
    run()


def unusable_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATRAINS_FLUSH_PERIOD", "often")
    _config.reset()
    run()


async def sync_in_async() -> None:
    async with Task.ainit("project", "service"):
        task = Task.current_task()
        assert task is not None
        task.flush()


Case = tuple[str, Callable[..., object], type[AtrainsError], tuple[str, ...]]
CASES: list[Case] = [
    # what is done, the error, and the words that its message must have: what, where, what to do
    ("short task name", lambda: Task.init("project", "ab"), ValidationError, ("task", "'ab'", "3 characters")),
    ("blank task name", lambda: Task.init("project", "     "), ValidationError, ("task", "3 characters")),
    ("short project name", lambda: Task.init("p", "a run"), ValidationError, ("project", "'p'", "3 characters")),
    ("short name of a draft", lambda: Task.create("project", "x"), ValidationError, ("task", "'x'", "3 characters")),
    ("short new name", lambda: run().set_name("x"), ValidationError, ("task", "'x'", "3 characters")),
    ("unknown type", lambda: Task.init("project", "a run", "trainig"), ValidationError, ("'trainig'", *TaskTypes)),
    ("unknown type of a draft", lambda: Task.create("project", "a draft", "x"), ValidationError, ("'x'", *TaskTypes)),
    ("unknown id", lambda: Task.get_task(NO_ID), NotFoundError, (NO_ID, "atrains ls")),
    ("no id", lambda: Task.get_task("not an id!"), ValidationError, ("'not an id!'", "task.id")),
    ("unknown project", lambda: Task.get_task(project_name="nowhere", task_name="a run"), NotFoundError, ("'nowhere'", "check the name")),
    ("nothing to get", Task.get_task, UsageError, ("task_id", "task_name")),
    (
        "going on with an unknown id",
        lambda: Task.init("project", "a run", continue_last_task=NO_ID),
        NotFoundError,
        (NO_ID, "continue_last_task"),
    ),
    ("draft without project", lambda: Task.create(task_name="a draft"), UsageError, ("project_name", "Task.init")),
    ("constructor", Task, UsageError, ("Task()", "Task.init", "Task.ainit", "Task.get_task")),
    ("constructor of the core", AsyncTask, UsageError, ("Task.ainit", "AsyncTask.get_task")),
    ("second init", lambda: (run(), Task.init("project", "another")), UsageError, ("task_name='another'", "'a run'", "close it first")),
    ("second project", lambda: (run(), Task.init("other", "a run")), UsageError, ("project_name='other'", "'project'", "Task.create")),
    ("second type", lambda: (run(), Task.init(task_type="qc")), UsageError, ("task_type='qc'", "'training'", "close it first")),
    ("credentials too late", lambda: (run(), Task.set_credentials(host="http://x")), UsageError, ("set_credentials", "before Task.init")),
    ("connect 42", lambda: run().connect(42), UnsupportedTypeError, ("int", "task", "dict")),
    ("connect an odd value", lambda: run().connect({"a": {"b": {1}}}), UnsupportedTypeError, ("General/a/b", "set", "str")),
    ("get_logger after close", lambda: closed().get_logger(), TaskClosedError, ("was closed", "Task.get_task(")),
    ("connect after close", lambda: closed().connect({"lr": 1}), TaskClosedError, ("was closed", "Task.get_task(")),
    ("rename after close", lambda: closed().set_name("a new name"), TaskClosedError, ("was closed", "Task.get_task(")),
    ("upload after close", lambda: closed().upload_artifact("a", {}), TaskClosedError, ("was closed", "Task.get_task(")),
    ("reset after close", lambda: closed().reset(), TaskClosedError, ("was closed", "Task.get_task(")),
    ("unknown status", lambda: run().wait_for_status("done"), ValidationError, ("'done'", "completed", "stopped", "failed")),
    ("wait too long", lambda: run().wait_for_status(timeout=0.1), WaitTimeoutError, ("in_progress", "0.1 s", "completed", "wait longer")),
    ("wait for a failed task", lambda: failed().wait_for_status(timeout=1), TaskFailedError, ("'a run'", "failed", "no data")),
    ("publish a running task", lambda: run().publish(), TaskStatusError, ("in_progress", "stopped or completed")),
    ("end a draft", lambda: Task.create("project", "a draft").completed(ignore_errors=False), TaskStatusError, ("created", "completed")),
    ("wrong x axis", lambda: run().get_reported_scalars(x_axis="time"), ValidationError, ("'time'", "iter", "timestamp", "iso_time")),  # type: ignore[arg-type]
    ("negative samples", lambda: run().get_reported_scalars(max_samples=-1), ValidationError, ("max_samples", "-1")),
    ("no reports", lambda: run().get_reported_console_output(0), ValidationError, ("number_of_reports", "0")),
    ("odd offset", lambda: run().set_initial_iteration("5"), ValidationError, ("initial iteration", "'5'", "integer")),  # type: ignore[arg-type]
    ("artifact of no kind", lambda: run().upload_artifact("odd", object()), UnsupportedTypeError, ("'odd'", "object", "dict")),
    ("artifact without name", lambda: run().upload_artifact(" ", {}), ValidationError, ("name", "' '")),
    ("remote destination", lambda: Task.init("project", "a run", output_uri="s3://x/y"), ConfigurationError, ("s3://x/y", "file://")),
    ("unwritable home", unwritable_home, HomeError, ("atrains", "ATRAINS_HOME")),
    ("malformed configuration", malformed_config, ConfigurationError, ("atrains.conf", "line 2")),
    ("unusable variable", unusable_variable, ConfigurationError, ("ATRAINS_FLUSH_PERIOD", "'often'", "seconds")),
    ("blocking call on its own loop", sync_in_async, SyncInAsyncError, ("flush", "await")),
]


@pytest.mark.parametrize(("act", "error", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_an_error_says_what_where_and_what_to_do(
    act: Callable[..., Any], error: type[AtrainsError], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (monkeypatch,) if act is unusable_variable else ()
    with pytest.raises(error) as raised:  # noqa: PT012  # one call, in either world
        result = act(*arguments)
        if act is sync_in_async:
            await result
    message = str(raised.value)
    assert type(raised.value) is error
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message
    assert len(message) < 500


def test_old_code_catches_our_errors_by_the_builtins_it_knows() -> None:
    known = {
        UsageError: ValueError,
        ValidationError: ValueError,
        NotFoundError: ValueError,
        TaskStatusError: ValueError,
        TaskFailedError: RuntimeError,
        WaitTimeoutError: TimeoutError,
        HomeError: OSError,
        errors.TransportError: ConnectionError,
        UnsupportedTypeError: TypeError,
    }
    for ours, builtin in known.items():
        assert issubclass(ours, builtin)
        assert issubclass(ours, AtrainsError)


def test_every_error_survives_a_process_pool() -> None:
    for kind in (each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, AtrainsError)):
        error = kind("what", code=400, subcode=1, endpoint="tasks.edit") if issubclass(kind, ServerError) else kind("what")
        copied = pickle.loads(pickle.dumps(error))
        assert (type(copied), str(copied), vars(copied)) == (kind, "what", vars(error))


# ---- reporting


class Hostile:
    """Its conversion raises, and so does printing it."""

    def __float__(self) -> float:
        raise RuntimeError("no number today")

    def __repr__(self) -> str:
        raise RuntimeError("no text either")


def array(shape: tuple[int, ...], **values: float) -> Any:
    """An array of ones, some of them replaced: `v1=float("nan")`."""
    np = pytest.importorskip("numpy")
    made = np.ones(shape)
    for place, value in values.items():
        made[int(place[1:])] = value
    return made


def hiding(values: Any, *places: int) -> Any:
    """A masked array."""
    np = pytest.importorskip("numpy")
    return np.ma.array(values, mask=[place in places for place in range(len(values))])


def several(values: Any, iterations: Any) -> Callable[[Any], None]:
    return lambda log: log.report_scalars("bad", "curve", values=values, iterations=iterations)


def single(value: Any, iteration: Any = 1) -> Callable[[Any], None]:
    return lambda log: log.report_scalar("bad", "curve", value, iteration)


DROPS: dict[str, tuple[Callable[[Any], None], str, int]] = {
    # how it is reported, the reason under which it is counted, how many events that is
    "a text": (single("abc"), "not a number", 1),
    "None": (single(None), "not a number", 1),
    "an integer of 5,000 digits": (single(10**5000), "not a number", 1),
    "a complex number": (single(1j), "not a number", 1),
    "an integer beyond floats": (single(10**400), "not a number", 1),
    "an object whose __float__ raises": (single(Hostile()), "not a number", 1),
    "NaN": (single(float("nan")), "not finite", 1),
    "infinity": (single(float("inf")), "not finite", 1),
    "an iteration of 2**63": (single(1.0, 2**63), "iteration out of range", 1),
    "an iteration below -2**63": (single(1.0, -(2**63) - 1), "iteration out of range", 1),
    "an iteration that is no number": (single(1.0, "x"), "not reportable", 1),
    "an iteration of 5,000 digits": (single(1.0, 10**5000), "iteration out of range", 1),
    "an infinite iteration": (single(1.0, float("inf")), "iteration out of range", 1),
    "a title that cannot be printed": (lambda log: log.report_scalar(Hostile(), "curve", 1.0, 1), "not reportable", 1),
    "arrays of two lengths": (several([1, 2, 3], [1, 2]), "not reportable", 3),
    "an array of two dimensions": (several(array((2, 3)), range(6)), "not reportable", 6),
    "a text among the values": (several([1.0, "x"], [1, 2]), "not reportable", 2),
    "NaN among the values": (several([1.0, float("nan"), 2.0, float("inf")], range(4)), "not finite", 2),
    "NaN in a numpy array": (several(array((2,), v1=float("nan")), range(2)), "not finite", 1),
    "an iteration of 2**63 among others": (several([1.0, 2.0], [1, 2**63]), "not reportable", 2),
    "an array with NaN among the iterations": (several([1.0, 2.0], array((2,), v1=float("nan"))), "not reportable", 2),
    "an array with 2**63 among the iterations": (several([1.0, 2.0], array((2,), v1=2.0**63)), "not reportable", 2),
    "an array of complex numbers": (several(array((2,)) * 1j, range(2)), "not reportable", 2),
    "what an array hides": (several(hiding(array((3,)), 1, 2), range(3)), "not finite", 2),
    "iterations that an array hides": (several([1.0, 2.0], hiding(array((2,)), 1)), "not reportable", 2),
    "values that are no sequence": (several(42, range(1)), "not reportable", 1),
    "a single value that is none": (lambda log: log.report_single_value("curve", "x"), "not a number", 1),
}


@pytest.mark.parametrize(("report", "reason", "count"), DROPS.values(), ids=DROPS)
def test_what_cannot_be_reported_is_counted_and_named_and_costs_nothing_else(
    report: Callable[[Any], None], reason: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    task = run()
    log = task.get_logger()
    log.report_scalar("good", "curve", 1.5, 1)
    with caplog.at_level(logging.WARNING, logger="atrains"):
        assert report(log) is None  # type: ignore[func-returns-value]  # that it does not raise is the point
        report(log)
        log.report_scalar("good", "curve", 2.5, 2)
        receipt = task.flush()
    assert not receipt
    assert receipt.error is None
    stats = task.stats()
    assert stats.scalars.dropped == {reason: 2 * count}
    assert stats.scalars.pending == 0
    assert stats.scalars.reported == stats.scalars.acknowledged + 2 * count
    assert task.get_reported_scalars()["good"]["curve"] == {"x": [1, 2], "y": [1.5, 2.5]}
    said = [record.getMessage() for record in caplog.records if record.name == "atrains"]
    assert len(said) == 1, said
    assert reason in said[0]
    assert "curve" in said[0]


class Tensor:
    """What is known of tensors: a shape, `detach().cpu()`, then an array of numpy, `item()`; `float` is not for all of them."""

    def __init__(self, values: Any) -> None:
        np = pytest.importorskip("numpy")
        self._values = np.asarray(values)
        self.shape = self._values.shape

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def __array__(self, *_: object, **__: object) -> Any:
        return self._values

    def item(self) -> Any:
        return self._values.item()


def test_scalars_from_what_people_compute_with() -> None:
    np, pd, pl = (pytest.importorskip(name) for name in ("numpy", "pandas", "polars"))
    task = run()
    log = task.get_logger()
    columns = {
        "list": [1, 2], "iterator": iter([1, 2]), "pandas": pd.Series([1, 2]), "pandas, missing": pd.Series([1, 2, None], dtype="Int64"),
        "polars": pl.Series([1, 2]), "tensor": Tensor([1, 2]), "float16": np.array([1, 2], dtype="f2"),
        "objects": np.array([1, 2], dtype=object),
        "every second": np.array([1, 0, 2, 0])[::2],
        "other byte order": np.array([1, 2], dtype=">i4"), "nothing": np.array([]),
    }  # fmt: skip
    for name, values in columns.items():
        steps = values if isinstance(values, pl.Series | Tensor) else np.array([1.0, 2.0, 3.0])[: 3 if "missing" in name else 2]
        log.report_scalars("columns", name, values=values, iterations=steps if name != "nothing" else values)
    for name, value in {"array of one": np.array([1.5]), "tensor of one": Tensor([[1.5]]), "text": "1.5", "0-d": np.array(1.5)}.items():
        log.report_scalar("values", name, value, 1)
    dropped = task.flush().scalars.dropped
    found = task.get_reported_scalars()
    assert dropped == {"not finite": 1}, "what is missing"
    assert found["columns"] == {name: {"x": [1, 2], "y": [1.0, 2.0]} for name in columns if name != "nothing"}
    assert found["values"] == {name: {"x": [1], "y": [1.5]} for name in ("array of one", "tensor of one", "text", "0-d")}


def test_text_that_does_not_fit_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    task = run()
    log = task.get_logger()
    log.report_text("%d apples", "info", True, "many")
    log.report_text("lone surrogate \ud800", print_console=False)
    log.report_text("an odd level", level="shout", print_console=False)
    log.report_text(42, print_console=False)  # type: ignore[arg-type]
    assert task.get_reported_console_output(9) == ["%d apples", "lone surrogate ?", "an odd level", "42"]
    assert "apples" in capsys.readouterr().out


def test_a_report_after_close_says_so_and_loses_nothing() -> None:
    task = run()
    log = task.get_logger()
    log.report_scalar("a", "b", 1, 1)
    task.close()
    for report in (
        lambda: log.report_scalar("a", "b", 2, 2),
        lambda: log.report_scalar("a", "new", 2, 2),
        lambda: log.report_scalars("a", "b", values=[2], iterations=[2]),
        lambda: log.report_single_value("a", 2),
        lambda: log.report_text("late"),
    ):
        with pytest.raises(TaskClosedError, match=task.id):
            report()
    assert task.get_reported_scalars() == {"a": {"b": {"x": [1], "y": [1.0]}}}
