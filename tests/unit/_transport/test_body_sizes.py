"""Bodies are of a moderate size, and a large event still gets through."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import orjson

from atrains._transport.bodies import SIZE, Body, Part, Refused, pack
from atrains._wire.events import EventBlock, EventKind, RecordBlock, ScalarBlock, Span

LIMIT = 15 << 20


def points(rows: int) -> ScalarBlock:
    return ScalarBlock(
        "a" * 32, Span("j", "s", 0, rows), [("train", "loss")], None, array("q", range(rows)), 1.0, array("d", bytes(8 * rows))
    )


def plots(*sizes: int) -> RecordBlock:
    events = [{"metric": "m", "variant": "v", "iter": place, "plot_str": "x" * size} for place, size in enumerate(sizes)]
    return RecordBlock("a" * 32, Span("j", "p", 0, len(sizes)), EventKind.PLOTS, events)


def packed(*blocks: EventBlock) -> tuple[list[Body], Refused]:
    refused = Refused()
    return list(pack([Part(block, 0, len(block)) for block in blocks], LIMIT, refused)), refused


def iterations(bodies: Sequence[Body]) -> list[int]:
    return [orjson.loads(line)["iter"] for body in bodies for line in body.data.split(b"\n")]


def test_many_points_become_bodies_of_a_moderate_size_and_each_point_is_in_one() -> None:
    bodies, refused = packed(points(100_000))
    assert iterations(bodies) == list(range(100_000))
    assert all(SIZE - 300 < len(body.data) <= SIZE for body in bodies[:-1])
    assert [part[1:] for body in bodies for part in body.parts] == [
        (first, first + body.rows)
        for body, first in zip(bodies, [sum(b.rows for b in bodies[:place]) for place in range(len(bodies))], strict=True)
    ]
    assert not refused.by_span


def test_a_plot_beyond_that_size_goes_alone_and_one_beyond_the_limit_is_refused() -> None:
    block = plots(10, SIZE + 10, 20, LIMIT, 30)
    bodies, refused = packed(block)
    assert iterations(bodies) == [0, 1, 2, 4]
    assert [body.rows for body in bodies] == [1, 1, 1, 1]
    assert refused.by_span[block.span].count == 1
