"""The ledger: reported = acknowledged + pending + dropped, for a task and for all."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains._engine.ledger import Counts, Ledger, Receipt
from atrains._wire.events import EventKind

REASONS = st.none() | st.sampled_from(["a", "b"])
STEPS = st.lists(st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(EventKind), REASONS, st.integers(0, 9)))


@given(steps=STEPS, pending=st.integers(0, 5))
def test_the_ledger_adds_up(steps: list[tuple[str, EventKind, str | None, int]], pending: int) -> None:
    ledger = Ledger()
    for task, kind, reason, count in steps:
        if reason is None:
            ledger.acknowledge(task, kind, count)
        else:
            ledger.drop(task, kind, reason, count)
    for kind in EventKind:
        for wanted in ("x", "y", "nobody", None):
            own = [step for step in steps if step[1] == kind and wanted in {None, step[0]}]
            counts = ledger.counts(wanted, kind, pending)
            assert counts.acknowledged == sum(count for *_, reason, count in own if reason is None)
            dropped = {reason: sum(step[3] for step in own if step[2] == reason) for reason in ("a", "b")}
            assert counts.dropped == {reason: count for reason, count in dropped.items() if count}
            assert counts.reported == sum(step[3] for step in own) + pending


def test_a_closed_task_counts_for_all_of_the_journal_still() -> None:
    ledger = Ledger()
    for task in ("closed", "open"):
        ledger.acknowledge(task, EventKind.SCALARS, 3)
    ledger.forget("closed")
    assert [ledger.counts(task, EventKind.SCALARS, 0).acknowledged for task in ("closed", "open", None)] == [0, 3, 6]
    assert len(ledger._acknowledged) == 2
    ledger.forget("open")
    assert len(ledger._acknowledged) == 1


def test_each_drop_is_said_once_by_reason_and_name(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger()
    for _ in range(5):
        ledger.drop("task", EventKind.SCALARS, "not finite", 2, name="loss/train", detail="NaN")
        ledger.drop("task", EventKind.SCALARS, "not finite", name="loss/val")
    assert [record.getMessage().split(": ", 1)[1].split(" (said")[0] for record in caplog.records] == [
        "dropped 2 of scalars in 'loss/train': not finite (NaN)",
        "dropped 1 of scalars in 'loss/val': not finite",
    ]
    assert ledger.counts("task", EventKind.SCALARS, 0).dropped == {"not finite": 15}


def test_drops_from_many_threads_are_all_counted() -> None:
    ledger = Ledger()

    def drop() -> None:
        for _ in range(5000):
            ledger.drop("t", EventKind.LOGS, "r")

    threads = [threading.Thread(target=drop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.counts(None, EventKind.LOGS, 0).reported == 40_000


@pytest.mark.parametrize(
    ("counts", "error", "good"),
    [
        (Counts(5), None, True),
        (Counts(), None, True),
        (Counts(5, 1), None, False),
        (Counts(5, 0, {"r": 1}), None, False),
        (Counts(5), "why", False),
    ],
)
def test_a_receipt_is_true_when_everything_arrived(counts: Counts, error: str | None, good: bool) -> None:
    assert bool(Receipt(counts, Counts(), Counts(), error)) == good
    assert bool(Receipt(Counts(), Counts(), counts, error)) == good
