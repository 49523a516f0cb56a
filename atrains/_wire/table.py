"""A table of the points of many tasks, as columns: what `atrains.export` and `atrains export` write out; pure."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from atrains._wire.curves import CurveBuilder
from atrains.types import ScalarChunk

COLUMNS: Final = ("task", "title", "series", "iteration", "timestamp", "value")
Row = tuple[str, str, str, int, float, float]


@dataclass(slots=True)
class Names:
    """A column of few different texts: each stands once, and the rows hold its number."""

    numbers: dict[str, int] = field(default_factory=dict)
    codes: array[int] = field(default_factory=lambda: array("i"))

    def extend(self, name: str, count: int) -> None:
        """Add rows of one text."""
        self.codes.extend(array("i", [self.numbers.setdefault(name, len(self.numbers))]) * count)


@dataclass(slots=True)
class ScalarTable:
    """Columns of equal length: 36 bytes a point, whatever its names."""

    tasks: Names = field(default_factory=Names)
    titles: Names = field(default_factory=Names)
    series: Names = field(default_factory=Names)
    iterations: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.values)

    def add(self, task: str, chunks: deque[ScalarChunk]) -> None:
        """Add the points of a task, by title, series and iteration; of those reported again at one iteration the last.

        A task whose points are there already, since it was named twice, adds none.

        Args:
            task: Its id.
            chunks: What it reported, in that order; emptied on the way, so that no point is held twice for long.
        """
        if task in self.tasks.numbers:
            return
        builder = CurveBuilder()
        while chunks:
            builder.extend(chunks.popleft())
        for curve in builder.columns():
            count = len(curve)
            for names, name in ((self.tasks, task), (self.titles, curve.title), (self.series, curve.series)):
                names.extend(name, count)
            self.iterations.extend(curve.iterations)
            self.times.extend(curve.times)
            self.values.extend(curve.values)

    def rows(self) -> Iterator[Row]:
        """Yield the points one by one; times in seconds since the epoch."""
        tasks, titles, series = (list(names.numbers) for names in (self.tasks, self.titles, self.series))
        columns = (self.tasks.codes, self.titles.codes, self.series.codes, self.iterations, self.times, self.values)
        for task, title, name, iteration, moment, value in zip(*columns, strict=True):
            yield tasks[task], titles[title], series[name], iteration, moment, value
