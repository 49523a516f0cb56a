"""Journals that a process left, what stands in them, and a home that they are for."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from atrains._engine import segments
from atrains._engine.frame_files import read_frames
from atrains._engine.journal import Journal
from atrains._engine.recovery import Recovered, recover
from atrains._engine.workers import DaemonExecutor
from atrains._local.streams import read_records
from atrains._local.transport import LocalTransport
from atrains._wire import endpoints
from atrains._wire.events import EventBlock, EventKind, RecordBlock

SOAK = os.environ.get("ATRAINS_SOAK") == "1"
TARGET = "local:/somewhere"

Event = tuple[Any, ...]


@dataclass
class Recorded:
    """A journal that a process left, and where in its files each event stands: file, first byte, byte behind the last, event."""

    folder: Path
    places: list[tuple[str, int, int, Event]] = field(default_factory=list)

    @property
    def events(self) -> list[Event]:
        return [event for *_, event in self.places]


def write_journal(parent: Path, *, target: str = TARGET, tasks: tuple[str, ...] = ("a" * 32, "b" * 32), rounds: int = 30) -> Path:
    """Report points, arrays, texts and plots to some tasks, and leave the journal as a process does that was killed."""
    workers = DaemonExecutor(1)
    journal = Journal(parent, target=target, worker="host", workers=workers)
    for task in tasks:
        journal.add_job("run", task, {"name": "n"})
    for number in range(rounds):
        for task in tasks:
            journal.scalars.append(journal.register_series(task, "title", f"series {number // 10}"), number, number / 2)
        task = tasks[number % len(tasks)]
        if number % 3 == 0:
            event = {"timestamp": number, "level": "info", "msg": f"line {number} ATF1", "worker": "host"}
            journal.records.append({"kind": "logs", "task": task, "event": event})
        if number % 5 == 0:
            header = {"kind": "scalars", "task": task, "title": "array", "series": str(number), "time": 1.5, "rows": 3}
            steps = array("q", range(number, number + 3))
            journal.records.append(header, [memoryview(steps), memoryview(array("d", [0.25] * 3))])
        if number % 7 == 0:
            plot = {"timestamp": number, "metric": "m", "variant": "v", "iter": number, "plot_str": "{}"}
            journal.records.append({"kind": "plots", "task": task, "event": plot})
    workers.shutdown()
    journal.records.release_files()
    journal._series_file.close()
    journal._jobs_file.close()
    journal._lock_file.release()
    return journal.folder


def event_of_header(header: Any, body: bytes) -> Event:
    if header["kind"] == "scalars":
        return ("array", header["task"], header["title"], header["series"], tuple(array("q", body[:24])), tuple(array("d", body[24:])))
    return (header["kind"], header["task"], orjson.dumps(header["event"], option=orjson.OPT_SORT_KEYS))


def look_up(folder: Path) -> Recorded:
    """Where everything stands, found without the code under test."""
    recorded = Recorded(folder)
    names = {frame.header["id"]: frame.header for frame in read_frames(folder / "series")[0]}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("scalars-"):
            for index, (iteration, _, value, _, series) in enumerate(segments.SLOT.iter_unpack(path.read_bytes())):
                if series:
                    name = names[series]
                    event = ("point", name["task"], name["title"], name["series"], iteration, value)
                    recorded.places.append((path.name, index * 32, index * 32 + 32, event))
        elif path.name.startswith("records-"):
            for frame in read_frames(path)[0]:
                recorded.places.append((path.name, frame.start, frame.end, event_of_header(frame.header, bytes(frame.body))))
    return recorded


def events_of_block(block: EventBlock) -> Iterator[Event]:
    if isinstance(block, RecordBlock):
        for record in block.events:
            yield (str(block.kind), block.task, orjson.dumps(record, option=orjson.OPT_SORT_KEYS))
        return
    series = block.series if block.series is not None else [0] * len(block)
    for number, iteration, value in zip(series, block.iterations, block.values, strict=True):
        yield ("point", block.task, *block.names[number], iteration, value)


def flat(events: list[Event]) -> Counter[Event]:
    """Arrays as their points: a reader may put several into one block."""
    found: Counter[Event] = Counter()
    for event in events:
        if event[0] == "array":
            found.update(("point", *event[1:4], step, value) for step, value in zip(event[4], event[5], strict=True))
        else:
            found[event] += 1
    return found


@dataclass
class Home:
    """A home with some tasks that run, and the journals beside it."""

    path: Path
    transport: LocalTransport
    workers: DaemonExecutor
    tasks: tuple[str, ...]

    @property
    def journals(self) -> Path:
        return self.path / "journals"

    @property
    def target(self) -> str:
        return self.transport.target

    async def recover(self) -> Recovered:
        return await recover(self.journals, self.transport, self.workers)

    def write(self, **options: Any) -> Path:
        return write_journal(self.journals, target=self.target, tasks=self.tasks, **options)

    def stored(self) -> Counter[Event]:
        """Every event of the home, those that stand there twice twice."""
        events: Counter[Event] = Counter()
        for task in self.tasks:
            for block in self.transport.store.read_scalars(task):
                events.update(events_of_block(block))
            for kind in (EventKind.LOGS, EventKind.PLOTS):
                lines = read_records(self.transport.store.task_folder(task), kind)
                events.update((str(kind), task, orjson.dumps(line, option=orjson.OPT_SORT_KEYS)) for line in lines)
        return events

    async def statuses(self) -> list[tuple[str, str]]:
        fields = ["status", "status_reason"]
        answer = await self.transport.call(
            endpoints.TASKS_GET_ALL, {"id": list(self.tasks), "only_fields": fields, "order_by": ["created"]}
        )
        return [(task["status"], task.get("status_reason", "")) for task in answer["tasks"]]


async def make_home(path: Path, workers: DaemonExecutor) -> Home:
    transport = LocalTransport(path, workers=workers)
    tasks = []
    for name in ("first", "second"):
        tasks.append((await transport.call(endpoints.TASKS_CREATE, {"name": name, "type": "training", "input": {"view": {}}}))["id"])
        await transport.call(endpoints.TASKS_STARTED, {"task": tasks[-1]})
    return Home(path, transport, workers, tuple(tasks))
