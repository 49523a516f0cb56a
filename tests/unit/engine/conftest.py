"""Journals to write to and to read from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atrains._engine.journal import Journal
from atrains._engine.reader import JournalReader
from atrains._engine.workers import DaemonExecutor
from atrains._wire.events import EventBlock


@pytest.fixture
def workers() -> Iterator[DaemonExecutor]:
    executor = DaemonExecutor()
    yield executor
    executor.shutdown()


@pytest.fixture
def journal(tmp_path: Path, workers: DaemonExecutor) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journals", target="local:/somewhere", worker="host", workers=workers)
    yield opened
    opened.close(delivered=True)


@pytest.fixture(scope="session")
def read_all() -> Callable[[JournalReader], list[EventBlock]]:
    """Read and move past everything that is there."""

    def read(reader: JournalReader) -> list[EventBlock]:
        found: list[EventBlock] = []
        while True:
            before, again = reader.position, reader.midway
            blocks = reader.read(large=False)
            found += blocks
            reader.advance(blocks)
            if not blocks and not again and reader.position == before:
                return found

    return read
