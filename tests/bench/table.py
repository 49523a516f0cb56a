"""The rows of the report: which figure stands beside which promise and which baseline. Rendering only; nothing is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Results = Mapping[str, Sequence[Mapping[str, float]]]
"""The figures of each round, by measurement."""


@dataclass(frozen=True)
class Row:
    """One line of the report.

    Attributes:
        what: What a reader sees.
        measurement: The name of the measurement.
        figure: The name of the figure in it.
        unit: `us`, `ms`, `s`, `MiB`, `M/s`, `s/M` (processor seconds per million points), `x` (times as good) or `B`.
        promise: The limit, in the unit; None when nothing is promised.
        bare: The figure of the same run without atrains, or that of the official client.
    """

    what: str
    measurement: str
    figure: str
    unit: str
    promise: float | None = None
    bare: str | None = None

    @property
    def more_is_better(self) -> bool:
        """Whether the promise is a floor rather than a ceiling."""
        return self.unit in {"M/s", "x"}


_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "MiB": 1.0, "M/s": 1e6, "s/M": 1.0, "x": 1.0, "B": 1.0}
_HEAD = "| what | promise | median | best to worst | {bare} | ratio |"
_RANKS = ("p50", "p99", "p99.9", "p99.99", "max")


def _distribution(
    what: str, measurement: str, figure: str, unit: str, promises: Mapping[str, float], ranks: Sequence[str] = _RANKS
) -> list[Row]:
    return [Row(f"{what}, {rank}", measurement, f"{figure} {rank}", unit, promises.get(rank), f"bare {rank}") for rank in ranks]


def _from_arrays(rows: int, promise: float | None) -> list[Row]:
    return [
        Row(f"points stored, from {kind} of {rows:,}", "arrays", f"{short} {rows} stored", "M/s", promise, f"write {rows}")
        for kind, short in (("`array.array`", "array"), ("numpy arrays", "numpy"))
    ]


SECTIONS: Mapping[str, Sequence[Row]] = {
    "A call of `report_scalar`": [
        *_distribution("at full speed", "latency", "call", "us", {"p50": 1, "p99": 20, "p99.99": 1000, "max": 20_000}),
        *_distribution("at 100,000 a second", "latency_paced", "call", "us", {"max": 5_000}),
    ],
    "Points a second, from one thread into the local home": [
        Row("reported one by one", "one_by_one", "call reported", "M/s", None, "bare reported"),
        Row("stored, reported one by one", "one_by_one", "call stored", "M/s", 0.5, "bare reported"),
        *_from_arrays(1_000, None),
        *_from_arrays(1_000_000, 5),
    ],
    "Processor time for a million points": [
        Row("one by one, the producer's loop included", "one_by_one", "call cpu", "s/M", None, "bare cpu"),
        Row("one by one, above the bare loop", "one_by_one", "cpu above bare", "s/M"),
        Row("from `array.array` of 1,000,000", "arrays", "array 1000000 cpu", "s/M"),
    ],
    "A 1 ms ticker's lateness beside 100,000 points a second": [
        *_distribution("reported from the same loop", "ticker_in_loop", "late", "ms", {"p99": 3}, ("p50", "p99", "max")),
        *_distribution("reported from a thread", "ticker_beside_thread", "late", "ms", {"p99": 3}, ("p50", "p99", "max")),
    ],
    "A registered table that did not change": [
        Row("a `flush()` that looks at a million rows of six columns", "registered_look", "look", "ms", 20, "bare"),
        Row("the longest of them", "registered_look", "look max", "ms", None, "bare max"),
    ],
    "The event loop over a task's whole life": [Row("longest callback", "longest_callback", "life", "ms", 20, "bare")],
    "A line of 60 characters, printed while a run captures the console": [
        row
        for where, short in (("to the null device", "null"), ("into a file", "file"))
        for row in (
            *(
                Row(f"{where}, {rank}", "printed_line", f"{short} line {rank}", "us", None, f"{short} bare {rank}")
                for rank in ("p50", "p99")
            ),
            Row(f"{where}, above the bare `print`, p50", "printed_line", f"{short} above p50", "us", 5),
            Row(f"{where}, above the bare `print`, p99", "printed_line", f"{short} above p99", "us"),
            Row(f"{where}, max", "printed_line", f"{short} line max", "us", None, f"{short} bare max"),
        )
    ],
    "With lines printed and the machine watched all the time": [
        *_distribution("a call of `report_scalar`", "watched_latency", "call", "us", {"p50": 1, "p99": 20, "p99.99": 1000, "max": 20_000}),
        *_distribution(
            "a 1 ms ticker's lateness in the loop that reports", "watched_ticker", "late", "ms", {"p99": 3}, ("p50", "p99", "max")
        ),
        Row("longest callback", "watched_callback", "life", "ms", 20, "bare"),
    ],
    "Memory": [
        Row("growth of resident memory over 10 million points, at its highest", "memory", "highest", "MiB", 20),
        Row("the same without the mapped pages of the journal", "memory", "private", "MiB", 20),
        Row("growth of resident memory, at the end", "memory", "end", "MiB", 20),
    ],
    "Start and end": [
        Row("`import asyncio`, in a fresh process", "startup", "asyncio inside", "ms"),
        Row("`from atrains import Task`", "startup", "import inside", "ms", None, "asyncio inside"),
        Row("the same and the first `Task.init`, in a new home", "startup", "init inside", "ms", 150, "asyncio inside"),
        Row("the whole process: start, import, init, close, exit", "startup", "init outside", "ms", None, "python outside"),
        Row("`close()` of a run that reported nothing", "closing", "empty", "ms"),
        Row("`close()` of a run that reported one point", "closing", "one point", "ms"),
    ],
}


def _over_http(
    what: str,
    measurement: str,
    figure: str,
    unit: str,
    promises: Mapping[str, float],
    ranks: Sequence[str] = ("p50", "p99", "p99.99", "max"),
) -> list[Row]:
    return [
        Row(f"{what}, {rank}", measurement, f"{figure} {rank}", unit, promises.get(rank), f"official {figure} {rank}") for rank in ranks
    ]


def _ticker(measurement: str) -> list[Row]:
    return [
        Row(f"a 1 ms ticker beside them, {rank}", measurement, f"late {rank}", "ms", promise)
        for rank, promise in (("p99", 5.0), ("max", None))
    ]


_CALL = {"p50": 1.0, "p99": 20.0, "p99.99": 1000.0, "max": 20_000.0}
HTTP_SECTIONS: Mapping[str, Sequence[Row]] = {
    "Over HTTP: points a second, from one thread until the server has the last one": [
        Row("one by one", "http_one_by_one", "delivered", "M/s", 0.5, "official delivered"),
        Row("one by one, times the official client's rate", "http_one_by_one", "times", "x", 20),
        Row("one by one, until the last call returned", "http_one_by_one", "reported", "M/s", None, "official reported"),
        Row("from arrays of 1,000", "http_arrays", "1000 delivered", "M/s"),
        Row("from arrays of 1,000,000", "http_arrays", "1000000 delivered", "M/s", 1.5),
        Row("bytes sent for a point", "http_one_by_one", "bytes", "B", None, "official bytes"),
    ],
    "Over HTTP: processor time for a million points": [
        Row("one by one", "http_one_by_one", "cpu", "s/M", None, "official cpu"),
        Row("from arrays of 1,000", "http_arrays", "1000 cpu", "s/M"),
        Row("from arrays of 1,000,000", "http_arrays", "1000000 cpu", "s/M"),
    ],
    "Over HTTP: a call of `report_scalar` at full speed": [
        *(Row(f"an empty function in its place, {rank}", "http_latency_up", f"bare {rank}", "us") for rank in ("p99.99", "max")),
        *_over_http("the server answers", "http_latency_up", "call", "us", _CALL),
        *_over_http("it answers after 2 s", "http_latency_slow", "call", "us", _CALL),
        *_over_http("it refuses connections", "http_latency_refusing", "call", "us", _CALL),
    ],
    "Over HTTP: a 1 ms ticker's lateness in a loop that reports 100,000 points a second": [
        *(Row(f"beside an empty function, {rank}", "http_ticker", f"bare {rank}", "ms") for rank in ("p50", "p99", "max")),
        *_over_http("beside reports", "http_ticker", "late", "ms", {"p99": 3.0}, ("p50", "p99", "max")),
        Row("points a second reported beside it", "http_ticker", "rate", "M/s", None, "official rate"),
        Row("longest callback of a task's whole life", "http_longest_callback", "life", "ms", 20),
        Row("longest callback of a loop that calls an empty function", "http_longest_callback", "bare", "ms"),
    ],
    "Over HTTP: memory while the server refuses": [
        Row("growth of resident memory over 10 million points, at its highest", "http_memory", "highest", "MiB", 20),
        Row("the same without the mapped pages of the journal", "http_memory", "private", "MiB", 20),
        Row("growth for each million points", "http_memory", "per million", "MiB", None, "official per million"),
    ],
    "Over HTTP: artifacts, 20 ms to each answer": [
        Row("64 files of 1 MiB, until the server has the last one", "http_artifacts_small", "uploaded", "s", None, "official uploaded"),
        Row("the same, times as fast as the official client", "http_artifacts_small", "times", "x", 8),
        Row("the same, as a part of the speed of aiohttp alone", "http_artifacts_small", "of plain", "x", 0.6),
        Row("the same, until all calls of `upload_artifact` had returned", "http_artifacts_small", "queued", "s", None, "official queued"),
        Row("the same, until `close()` returned", "http_artifacts_small", "closed", "s", None, "official closed"),
        Row("the same files, a coroutine for each", "http_artifacts_small", "together", "s"),
        *_ticker("http_artifacts_small"),
        Row("8 files of 32 MiB, until the server has the last one", "http_artifacts_large", "uploaded", "s", None, "official uploaded"),
        Row("the same, times as fast as the official client", "http_artifacts_large", "times", "x", 3),
        Row("the same, as a part of the speed of aiohttp alone", "http_artifacts_large", "of plain", "x", 0.6),
        Row("the same, until `close()` returned", "http_artifacts_large", "closed", "s", None, "official closed"),
        Row("the same files, a coroutine for each", "http_artifacts_large", "together", "s"),
        *_ticker("http_artifacts_large"),
        Row("10,000 files of 1 KiB, until the server has the last one", "http_artifacts_many", "uploaded", "s"),
        Row("the same, until `close()` returned", "http_artifacts_many", "closed", "s"),
        Row("the same, as a part of the speed of aiohttp alone", "http_artifacts_many", "of plain", "x"),
        Row("the same files, a coroutine for each, 64 at once", "http_artifacts_many", "together", "s"),
        *_ticker("http_artifacts_many"),
    ],
}


def render(results: Results) -> str:
    """The report as Markdown, one table for each section whose measurements were made."""
    parts = []
    for sections, bare in ((SECTIONS, "without atrains"), (HTTP_SECTIONS, "official client")):
        for title, rows in sections.items():
            lines = [_line(row, results[row.measurement]) for row in rows if results.get(row.measurement)]
            if lines:
                parts.append("\n".join([f"### {title}", "", _HEAD.format(bare=bare), "|---" * 6 + "|", *lines]))
    return "\n\n".join(parts) + "\n"


def missed(results: Results) -> list[str]:
    """The promises whose median does not hold, in words."""
    found = []
    for row in (row for rows in [*SECTIONS.values(), *HTTP_SECTIONS.values()] for row in rows if row.promise is not None):
        sample = _sample(row, results.get(row.measurement, []))
        if sample and not _holds(row, median(sample)):
            found.append(f"{row.measurement}: {row.what} is {_number(median(sample))} {row.unit}, the promise is {_promise(row)}")
    return found


def replace_between(text: str, marker: str, content: str) -> str:
    """Put content between `<!-- marker -->` and `<!-- /marker -->`.

    Raises:
        ValueError: the markers are not there.
    """
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    head, found_begin, rest = text.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the lines {begin} and {end} must both be there")
    return f"{head}{begin}\n\n{content}\n{end}{tail}"


def _line(row: Row, rounds: Sequence[Mapping[str, float]]) -> str:
    sample = _sample(row, rounds)
    if not sample:
        return f"| {row.what} | {_promise(row)} | not measured | | | |"
    middle = median(sample)
    ordered = sorted(sample, reverse=row.more_is_better)
    spread = f"{_number(ordered[0])} to {_number(ordered[-1])}"
    beside = [figures[row.bare] / _UNITS[row.unit] for figures in rounds if row.bare in figures]
    bare = median(beside) if beside else None
    # Beside a lateness or a loop that is nearly nothing a ratio says little, but it says it for every row alike.
    ratio = _number(middle / bare) if bare else ""
    shown = f"{_number(middle)} {row.unit}"
    if not _holds(row, middle):
        shown = f"**{shown}**"
    return f"| {row.what} | {_promise(row)} | {shown} | {spread} | {_number(bare) if bare is not None else ''} | {ratio} |"


def _sample(row: Row, rounds: Sequence[Mapping[str, float]]) -> list[float]:
    return [figures[row.figure] / _UNITS[row.unit] for figures in rounds if row.figure in figures]


def _holds(row: Row, value: float) -> bool:
    return row.promise is None or (value >= row.promise if row.more_is_better else value <= row.promise)


def _promise(row: Row) -> str:
    if row.promise is None:
        return ""
    return f"{'>=' if row.more_is_better else '<='} {row.promise:g} {row.unit}"


def _number(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
