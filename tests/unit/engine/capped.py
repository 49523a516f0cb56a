"""Journals with a cap, for the tests of what happens at it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atrains._api.logger import Logger
from atrains._config.settings import JournalSettings, Overflow
from atrains._engine.journal import Journal
from atrains._engine.ledger import Counts, Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.workers import DaemonExecutor
from atrains._transport.base import Refusal
from atrains._wire.events import REPORTED, EventBlock, EventKind, ScalarBlock
from atrains.errors import JournalFullError

CAP = 16 << 10
POLICIES: tuple[Overflow, ...] = ("drop_oldest", "drop_new", "block", "raise")


@pytest.fixture(name="threads", scope="module")
def worker_threads() -> Iterator[DaemonExecutor]:
    executor = DaemonExecutor()
    yield executor
    executor.shutdown()


class Run:
    """A journal with a cap, a logger that reports to it for each of two tasks, and a home that takes what `deliver` brings."""

    def __init__(self, parent: Path, threads: Executor, **chosen: Any) -> None:
        self.settings = JournalSettings(**{"max_bytes": CAP, **chosen})
        self.parent = parent
        self.stopped = self.settings.overflow != "block"
        self.journal = Journal(parent, target="t", worker="w", workers=threads, settings=self.settings, on_roll=self.wake)
        self.ledger = Ledger()
        self.reader = JournalReader(self.journal, self.ledger)
        outlet: Any = SimpleNamespace(journal=self.journal, ledger=self.ledger)
        options: Any = {"worker": "w", "wake": lambda: None, "largest": 1 << 20, "files": None}
        self.loggers = {task: Logger(task, outlet, **options) for task in ("one", "two")}
        self.called = dict.fromkeys([(task, kind) for task in self.loggers for kind in REPORTED], 0)
        self.taken: list[EventBlock] = []
        self.number = 0

    def wake(self) -> None:
        """Somebody waits for room: deliver at once, unless the home is to stay down."""
        if not self.stopped and not self.journal.scalars.is_held() and not self.journal.records.is_held():
            self.deliver()

    def report(self, task: str, count: int, kind: str) -> None:
        logger = self.loggers[task]
        for _ in range(count):
            self.number += 1
            of = EventKind.LOGS if kind == "text" else EventKind.SCALARS
            rows = 7 if kind == "array" else 1
            self.called[task, of] += rows
            try:
                if kind == "text":
                    logger.report_text(f"line {self.number}", print_console=False)
                elif kind == "array":
                    logger.report_scalars("a", "b", values=[0.5] * 7, iterations=range(7))
                else:
                    logger.report_scalar("t", str(self.number % 3), 0.5, self.number)
            except JournalFullError:
                assert self.settings.overflow == "raise"

    def deliver(self, *, refused: bool = False) -> bool:
        blocks = self.reader.read(large=False)
        self.reader.advance(blocks, {block.span: Refusal("no", len(block)) for block in blocks} if refused else {})
        self.taken += blocks
        return bool(blocks)

    def counts(self, task: str | None = None) -> dict[EventKind, Counts]:
        return self.reader.counts(task)

    def check(self) -> None:
        for (task, kind), called in self.called.items():
            counts = self.counts(task)[kind]
            assert counts.reported == called, (task, kind, counts)
        self.journal.room.give(0)

    def disk(self) -> int:
        size = 0
        for path in self.journal.folder.glob("*-*"):
            with contextlib.suppress(FileNotFoundError):  # a worker thread has just dropped it
                size += path.stat().st_size
        return size

    def iterations(self) -> list[int]:
        return [number for block in self.taken if isinstance(block, ScalarBlock) for number in block.iterations]


@pytest.fixture(name="run")
def made_runs(tmp_path: Path, threads: DaemonExecutor) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def make(*, workers: Executor = threads, **chosen: Any) -> Run:
        runs.append(Run(tmp_path / "journals", workers, **chosen))
        return runs[-1]

    yield make
    for made in runs:
        made.journal.close(delivered=True)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
