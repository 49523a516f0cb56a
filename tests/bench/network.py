"""What reporting to a server costs, measured in the process of one client beside the sink: `python network.py MEASUREMENT --peer NAME ...`.

The same code for each peer. A rate is that at which the sink took points, the last one included, whatever a client says of itself.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import sys
import time
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, cast

from figures import RATE, Figures, Report, empty, percentiles, processor_seconds, produce, resident, tick, time_calls
from peers import PEERS, Atrains, Peer

MILLION = 1_000_000
MIB = 1 << 20


class Control:
    """The sink, from the side of whoever measures."""

    def __init__(self, url: str) -> None:
        self._address = url.removeprefix("http://")

    def set(self, **wanted: Any) -> dict[str, float]:
        """Set something, and return the counts."""
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            connection.request("POST", "/", json.dumps(wanted))
            counts: dict[str, float] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return counts

    def wait_for(self, name: str, number: int, seconds: float, *, again: bool = False) -> dict[str, float]:
        """Wait until the sink has counted something that often; the counts.

        Args:
            name: What.
            number: How often.
            seconds: To wait.
            again: Whether more may come: after a request was broken off it is sent again, and the sink knows no point by its identity.

        Raises:
            SystemExit: it did not, or it counted more, or what came was broken: a rate of lost points would be no rate.
        """
        end = time.monotonic() + seconds
        while (counts := self.set())[name] < number and time.monotonic() < end:
            time.sleep(0.01)
        if counts[name] < number or (counts[name] > number and not again) or counts["broken"]:
            raise SystemExit(f"{number} {name} were sent, and the sink has {counts}")
        return counts


Measurement = Callable[[Peer, Control, float], Figures]


def http_one_by_one(peer: Peer, sink: Control, scale: float) -> Figures:
    """Points a second until the sink had the last one, and the processor time they took."""
    count = max(int(3 * MILLION * scale * peer.share), 1000)
    peer.start()
    used, begin = processor_seconds(), time.monotonic()
    for i in range(count):
        peer.report("train", "loss", i * 0.7, i)
    reported = time.monotonic()
    peer.flush()
    counts = sink.wait_for("scalars", count, 120)
    used = processor_seconds() - used
    figures = {
        "reported": count / (reported - begin),
        "delivered": count / (counts["last event"] - begin),
        "cpu": used * MILLION / count,
        "bytes": counts["event bytes"] / count,
    }
    peer.close()
    return figures


def http_arrays(peer: Peer, sink: Control, scale: float) -> Figures:
    """The same from arrays, where a client has them."""
    assert isinstance(peer, Atrains)
    figures: Figures = {}
    peer.start()
    points = 0
    for rows in (1_000, MILLION):
        size = rows if rows < MILLION else max(int(rows * min(scale * 5, 1)), 10)
        repeats = max(int(4 * MILLION * scale) // size, 2)
        values, iterations = array("d", (0.7 * i for i in range(size))), array("q", range(size))
        used, begin = processor_seconds(), time.monotonic()
        for _ in range(repeats):
            peer.report_many(f"of {rows}", values, iterations)
        points += size * repeats
        peer.flush()
        counts = sink.wait_for("scalars", points, 120)
        figures[f"{rows} delivered"] = size * repeats / (counts["last event"] - begin)
        figures[f"{rows} cpu"] = (processor_seconds() - used) * MILLION / (size * repeats)
    peer.close()
    return figures


def _latency(**state: Any) -> Measurement:
    def measure(peer: Peer, sink: Control, scale: float) -> Figures:
        count = max(int(MILLION * scale * max(peer.share, 0.1)), 1000)
        bare = time_calls(empty, count)
        peer.start()
        sink.set(**state)
        took = time_calls(peer.report, count)
        sink.set(delay=0, refuse=False)
        if isinstance(peer, Atrains):  # none may be lost by it; how the other one fares is not the question, and takes minutes
            peer.flush()
            sink.wait_for("scalars", count, 120, again=True)
        return percentiles(bare, "bare", 1e-9) | percentiles(took, "call", 1e-9)

    return measure


def http_ticker(peer: Peer, sink: Control, scale: float) -> Figures:
    """A 1 ms ticker in a loop that also reports up to 100,000 points a second, and how many it came to."""
    del sink
    seconds = max(6 * scale, 0.1)

    async def beside(report: Report) -> tuple[list[float], int]:
        late, count = await asyncio.gather(tick(seconds), produce(report, int(seconds * RATE), seconds))
        return late, count

    async def main() -> Figures:
        bare, _ = await beside(empty)
        if not isinstance(peer, Atrains):
            late, count = await beside(peer.report)
        else:
            from atrains import Task

            async with Task.ainit("benchmark", "ticker") as task:
                late, count = await beside(task.get_logger().report_scalar)
        return percentiles(bare, "bare") | percentiles(late, "late") | {"rate": count / seconds}

    if not isinstance(peer, Atrains):
        peer.start()
    return asyncio.run(main())


def http_longest_callback(peer: Peer, sink: Control, scale: float) -> Figures:
    """The longest callback of the loop while a task is opened, reports in every way, is flushed and closed."""
    assert isinstance(peer, Atrains)
    from loops import timed_callbacks

    from atrains import Task

    count = max(int(400_000 * scale), 1000)
    values, iterations = array("d", bytes(8 * count)), array("q", range(count))

    async def bare() -> None:
        await produce(empty, count)

    async def life() -> None:
        async with Task.ainit("benchmark", "a whole life") as task:
            log = task.get_logger()
            await produce(log.report_scalar, count)
            await asyncio.to_thread(log.report_scalars, "train", "arrays", values=values, iterations=iterations)
            for i in range(1000):
                log.report_text(f"line {i}", print_console=False)
                await asyncio.sleep(0)
            await task.flush(timeout=60)
            await task.reload()

    with timed_callbacks() as alone:
        asyncio.run(bare())
    with timed_callbacks() as seen:
        asyncio.run(life())
    sink.wait_for("scalars", 2 * count, 60)
    print(f"longest of {seen.count} callbacks: {seen.longest * 1e3:.2f} ms in {seen.name}")
    return {"bare": alone.longest, "life": seen.longest}


def http_memory(peer: Peer, sink: Control, scale: float) -> Figures:
    """How far the resident memory grows over many points while the server refuses; counted from a run that has reported a little."""
    count, warm = max(int(10 * MILLION * scale * peer.share), 20_000), 2_000
    peer.start()
    for i in range(warm):
        peer.report("train", "loss", 0.25, i)
    peer.flush()
    sink.set(refuse=True)
    before, private_before = highest, private = resident()
    for first in range(warm, count + warm, 2_000):
        for i in range(first, first + 2_000):
            peer.report("train", "loss", 0.25, i)
        highest, private = map(max, (highest, private), resident())
    figures = {"highest": highest - before, "private": private - private_before, "per million": (highest - before) * MILLION / count}
    sink.set(refuse=False)
    if isinstance(peer, Atrains):
        peer.flush()
        sink.wait_for("scalars", count + warm, 120, again=True)
    return figures


async def _together(paths: Sequence[Path], sink: Control, at_once: int = 64) -> Figures:
    """The same from a coroutine for each file, as a service does it; beside it a 1 ms ticker in the same loop.

    Few files are uploaded several times, so that there are enough ticks to speak of the hundredth part of them.
    """
    from atrains import Task

    limit, times = asyncio.Semaphore(at_once), 1 if len(paths) > at_once else 6
    bare = await tick(0.5)

    async def upload(task: Any, name: str, path: Path) -> None:
        async with limit:
            await task.upload_artifact(name, path)

    async def all_of(task: Any) -> Figures:
        took = []
        for number in range(1, times + 1):
            begin = time.monotonic()
            await asyncio.gather(*(upload(task, f"{number} {path.name}", path) for path in paths))
            await task.flush(wait_for_uploads=True, timeout=300)
            counts = await asyncio.to_thread(sink.wait_for, "uploads", number * len(paths), 120)
            took.append(counts["last upload"] - begin)
        return {"together": median(took)}

    async with Task.ainit("benchmark", "together") as task:
        sink.set(clear=True)
        uploading = asyncio.create_task(all_of(task))
        late = await tick(float("inf"), beside=uploading)
        return (await uploading) | percentiles(late, "late") | percentiles(bare, "bare")


async def _plain(paths: Sequence[Path], sink: Control, at_once: int = 8) -> Figures:
    """The same files by aiohttp alone, as many at once: what there is to gain. Nothing is hashed, checked, recorded or kept."""
    import aiohttp

    limit = asyncio.Semaphore(at_once)

    async def pieces(path: Path, head: bytes, tail: bytes) -> AsyncIterator[bytes]:
        yield head
        with path.open("rb") as file:
            while block := await asyncio.to_thread(file.read, MIB):
                yield block
        yield tail

    async def post(session: aiohttp.ClientSession, path: Path) -> None:
        async with limit:
            boundary = os.urandom(16).hex()
            names = f'name="plain/{path.name}"; filename="{path.name}"'
            head = f"--{boundary}\r\nContent-Disposition: form-data; {names}\r\n\r\n".encode()
            tail, size = f"\r\n--{boundary}--\r\n".encode(), (await asyncio.to_thread(path.stat)).st_size
            headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(len(head) + size + len(tail))}
            small = b"".join((head, await asyncio.to_thread(path.read_bytes), tail)) if size <= MIB else None
            async with session.post(os.environ["ATRAINS_FILES_HOST"], data=small or pieces(path, head, tail), headers=headers) as answer:
                await answer.read()

    async with aiohttp.ClientSession() as session:
        sink.set(clear=True)
        begin = time.monotonic()
        await asyncio.gather(*(post(session, path) for path in paths))
        counts = await asyncio.to_thread(sink.wait_for, "uploads", len(paths), 120)
    return {"plain": counts["last upload"] - begin}


def _artifacts(files: int, size: int) -> Measurement:
    def measure(peer: Peer, sink: Control, scale: float) -> Figures:
        number, length = max(int(files * min(scale, 1)), 2), max(int(size * min(scale, 1)), 1024)
        paths = []
        for place in range(number):
            path = Path(os.environ["BENCH_FOLDER"], f"artifact {place}.bin")
            path.write_bytes(os.urandom(length))
            paths.append(path)
        os.environ["ATRAINS_CAPTURE"] = "no"  # what is not committed here may be an artifact itself
        peer.start()
        sink.set(delay=0.02, clear=True)
        begin = time.monotonic()
        peer.upload(paths)
        queued = time.monotonic()
        peer.flush()
        counts = sink.wait_for("uploads", number, 300)
        if counts["upload bytes"] < number * length:
            raise SystemExit(f"{number * length} bytes were uploaded, and the sink has {counts}")
        peer.close()
        figures = {"queued": queued - begin, "uploaded": counts["last upload"] - begin, "closed": time.monotonic() - begin}
        if isinstance(peer, Atrains):
            figures |= asyncio.run(_together(paths, sink)) | asyncio.run(_plain(paths, sink))
            figures["of plain"] = figures["plain"] / figures["uploaded"]
        return figures

    return measure


MEASUREMENTS: dict[str, Measurement] = {
    "http_one_by_one": http_one_by_one,
    "http_arrays": http_arrays,
    "http_latency_up": _latency(),
    "http_latency_slow": _latency(delay=2.0),
    "http_latency_refusing": _latency(refuse=True),
    "http_ticker": http_ticker,
    "http_longest_callback": http_longest_callback,
    "http_memory": http_memory,
    "http_artifacts_small": _artifacts(64, MIB),
    "http_artifacts_large": _artifacts(8, 32 * MIB),
    "http_artifacts_many": _artifacts(10_000, 1024),
}


def main() -> None:
    """Measure, write the figures to a file, and leave at once: what a client still wants to do at its end is not measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("measurement", choices=MEASUREMENTS)
    parser.add_argument("--peer", choices=PEERS, required=True)
    parser.add_argument("--scale", type=float, required=True)
    parser.add_argument("--control", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sink = Control(arguments.control)
    sink.set(delay=0, refuse=False, clear=True)
    peer = cast("Peer", PEERS[arguments.peer]())
    try:
        result: dict[str, Any] = {"figures": MEASUREMENTS[arguments.measurement](peer, sink, arguments.scale)}
    except NotImplementedError as error:
        result = {"figures": {}, "skipped": str(error)}
    arguments.out.write_text(json.dumps(result), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
