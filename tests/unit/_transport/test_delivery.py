"""Events on their way to a server: what stands in the requests, what is refused, and what a fault may cost."""

from __future__ import annotations

import asyncio
import json
import time
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atrains._config import Timeout
from atrains._transport.base import Refusal
from atrains._transport.bodies import Refused, pack, whole
from atrains._transport.http import HttpTransport
from atrains._wire.events import EventBlock, EventKind, RecordBlock, ScalarBlock, Span
from atrains.errors import AccessError, ServerError, TransportError
from tests.api_server import ApiServer, envelope, reset
from tests.fault_proxy import refused_port

Make = Callable[..., HttpTransport]


def curve(task: str, first: int, count: int, *, names: int = 1) -> ScalarBlock:
    places = [(f"title {number}", "series") for number in range(names)]
    series = array("I", [row % names for row in range(count)])
    iterations, values = array("q", range(first, first + count)), array("d", [row / 7 for row in range(count)])
    return ScalarBlock(task, Span("j", f"{task}/s", first, first + count), places, series, iterations, 1_700_000_000.0, values)


def lines(task: str, first: int, count: int, size: int = 10) -> RecordBlock:
    events = [{"timestamp": first + row, "level": "info", "msg": f"line {first + row:{size}}", "worker": "w"} for row in range(count)]
    return RecordBlock(task, Span("j", f"{task}/l", first, first + count), EventKind.LOGS, events)


def plot(task: str, first: int, text: str) -> RecordBlock:
    event = {"timestamp": 1, "metric": "roc", "variant": "val", "iter": first, "plot_str": text}
    return RecordBlock(task, Span("j", f"{task}/p", first, first + 1), EventKind.PLOTS, [event])


def batches(server: ApiServer) -> list[list[dict[str, Any]]]:
    return [[json.loads(line) for line in sent.body.split(b"\n")] for sent in server.sent if sent.path.endswith("events.add_batch")]


async def test_tasks_and_kinds_share_a_request_and_lines_have_their_own(server: ApiServer, transport: HttpTransport) -> None:
    blocks: list[EventBlock] = [lines("a", 0, 2), curve("a", 0, 3), plot("b", 0, "{}"), curve("b", 0, 2), lines("b", 0, 1)]
    assert await transport.add_events(blocks) == {}
    first, second = batches(server)
    assert Counter(event["type"] for event in first) == {"training_stats_scalar": 5, "plot": 1}
    assert [event["task"] for event in second] == ["a", "a", "b"]
    sent = [sent for sent in server.sent if "add_batch" in sent.path]
    assert {request.headers["Content-Type"] for request in sent} == {"application/json-lines"}
    assert {request.headers["Content-Length"] for request in sent} == {str(len(request.body)) for request in sent}
    assert not any("Transfer-Encoding" in request.headers or request.body.endswith(b"\n") for request in sent)
    assert first[0] == {
        "type": "training_stats_scalar", "task": "a", "metric": "title 0", "variant": "series", "timestamp": 1_700_000_000_000, "iter": 0,
        "value": 0.0,
    }  # fmt: skip
    assert second[0] == {"type": "log", "task": "a", "timestamp": 0, "level": "info", "msg": "line          0", "worker": "w"}


async def test_nothing_is_sent_for_nothing(server: ApiServer, transport: HttpTransport) -> None:
    assert await transport.add_events([]) == {}
    assert not server.sent


async def test_requests_are_as_large_as_allowed_and_cut_at_line_ends(server: ApiServer, connect: Make) -> None:
    limit = 50_000
    transport = connect(server.url, http={"max_req_size": limit})
    assert await transport.add_events([curve("a", 0, 4000, names=3), curve("b", 0, 100)]) == {}
    sizes = [len(sent.body) for sent in server.sent if "add_batch" in sent.path]
    assert all(limit - 200 < size <= limit for size in sizes[:-1])
    assert [event["iter"] for batch in batches(server) for event in batch if event["task"] == "a"] == list(range(4000))
    assert len(server.events("training_stats_scalar")) == 4100


async def test_an_event_that_is_larger_than_a_request_is_refused_alone(server: ApiServer, connect: Make) -> None:
    transport = connect(server.url, http={"max_req_size": 10_000})
    blocks = [plot("a", 0, "x" * 20_000), plot("a", 1, "x"), curve("a", 0, 5)]
    refused = await transport.add_events(blocks)
    assert list(refused) == [blocks[0].span]
    assert "larger than a request may be (10000 bytes)" in refused[blocks[0].span].reason
    assert refused[blocks[0].span].count == 1
    assert len(server.stored) == 6


async def test_a_long_console_line_is_sent_in_parts(server: ApiServer, transport: HttpTransport) -> None:
    block = RecordBlock(
        "a", Span("j", "l", 0, 1), EventKind.LOGS, [{"timestamp": 1, "level": "WARNING", "msg": "ä\b" * 1_200_000, "worker": "w"}]
    )
    assert await transport.add_events([block]) == {}
    parts = server.events("log")
    assert [len(part["msg"]) for part in parts] == [1 << 20, 1_200_000 - (1 << 20)]
    assert {part["level"] for part in parts} == {"warning"}
    assert "".join(part["msg"] for part in parts) == "ä" * 1_200_000


async def test_a_deleted_task_costs_its_own_events_and_no_others(server: ApiServer, transport: HttpTransport) -> None:
    server.deleted.add("gone")
    blocks: list[EventBlock] = [curve("gone", 0, 3), curve("here", 0, 2), lines("gone", 0, 4), lines("here", 0, 1), plot("gone", 0, "{}")]
    refused = await transport.add_events(blocks)
    assert refused == {
        blocks[0].span: Refusal("Invalid task id gone", 3),
        blocks[2].span: Refusal("Invalid task id gone", 4),
        blocks[4].span: Refusal("Invalid task id gone", 1),
    }
    assert len(server.stored) == 3


async def test_where_nothing_is_stored_all_of_it_is_refused(server: ApiServer, transport: HttpTransport) -> None:
    server.deleted |= {"gone", "too"}
    blocks = [curve("gone", 0, 3), curve("too", 0, 2)]
    refused = await transport.add_events(blocks)
    assert [refused[block.span].count for block in blocks] == [3, 2]
    assert "Events not added" in refused[blocks[0].span].reason
    assert len(batches(server)) == 1


@pytest.mark.parametrize("bad", [{0}, {4999}, {17, 2048, 2049}, set(range(100, 140))])
async def test_an_event_that_fails_a_whole_request_is_found(
    server: ApiServer, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch, bad: set[int]
) -> None:
    monkeypatch.setattr("atrains._transport.delivery._SECOND_LOOK", 0.01)
    server.is_poison = lambda event: event.get("iter") in bad and event["task"] == "a"
    block = curve("a", 0, 5000)
    refused = await transport.add_events([curve("b", 0, 3), block, lines("a", 0, 2)])
    assert refused == {block.span: Refusal("General data error (mapper_parsing_exception)", len(bad))}
    assert {event["iter"] for event in server.events("training_stats_scalar") if event["task"] == "a"} == set(range(5000)) - bad
    assert len(server.events("log")) == 2


@pytest.mark.parametrize("rows", [1, 2, 3000])
async def test_a_server_that_fails_for_everything_costs_nothing(server: ApiServer, transport: HttpTransport, rows: int) -> None:
    server.is_poison = lambda _: True
    block = curve("a", 0, rows)
    with pytest.raises(ServerError, match="General data error"):
        await transport.add_events([block])
    assert len(batches(server)) < 80
    server.is_poison = lambda _: False
    assert await transport.add_events([block]) == {}
    assert len(server.stored) == rows


async def test_a_full_disk_of_the_server_is_no_fault_of_an_event(server: ApiServer, transport: HttpTransport) -> None:
    server.next["events.add_batch"] = [envelope(code=500, subcode=4, message="low disk space")]
    with pytest.raises(ServerError, match="low disk"):
        await transport.add_events([curve("a", 0, 10)])
    assert len(batches(server)) == 1


async def test_a_request_that_is_refused_in_words_is_searched_too(server: ApiServer, transport: HttpTransport) -> None:
    def refuse(request: web.Request, _: Any = None) -> web.StreamResponse:
        bad = b'"iter":3,' in server.sent[-1].body or b'"msg":"line          1"' in server.sent[-1].body
        answer = envelope(code=400, subcode=12, message="Validation error") if bad else envelope({"added": 1, "errors": 0})
        server.next["events.add_batch"].append(refuse)
        return answer

    server.next["events.add_batch"] = [refuse]
    points, console = curve("a", 0, 8), lines("a", 0, 4)
    refused = await transport.add_events([points, console])
    assert {span: refusal.count for span, refusal in refused.items()} == {points.span: 1, console.span: 1}


async def test_errors_that_name_no_task_are_traced_to_their_events(server: ApiServer, transport: HttpTransport) -> None:
    def answer(_: web.Request) -> web.StreamResponse:
        count = sum(b'"iter":3,' in line for line in server.sent[-1].body.split(b"\n"))
        server.next["events.add_batch"].append(answer)
        return envelope({"added": 9, "errors": count, "errors_info": {"Value out of range": count} if count else {}})

    server.next["events.add_batch"] = [answer]
    block = curve("a", 0, 8)
    refused = await transport.add_events([block])
    assert {span: refusal.count for span, refusal in refused.items()} == {block.span: 1}
    assert "Value out of range" in refused[block.span].reason


async def test_a_proxy_that_takes_only_small_bodies(server: ApiServer, transport: HttpTransport) -> None:
    most = 200_000

    def limited(request: web.Request) -> web.StreamResponse:
        server.next["events.add_batch"].append(limited)
        body = server.sent[-1].body
        return web.Response(status=413, text="<html>") if len(body) > most else server._add(request, body)

    server.next["events.add_batch"] = [limited]
    block = curve("a", 0, 10_000)
    assert await transport.add_events([block]) == {}
    assert len(server.stored) == 10_000
    before = len(server.sent)
    assert await transport.add_events([replace(block, task="b")]) == {}
    assert all(len(sent.body) <= most for sent in server.sent[before:])  # it is remembered


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_server_that_is_not_ready_is_left_to_who_calls(server: ApiServer, transport: HttpTransport, status: int) -> None:
    server.next["events.add_batch"] = [web.Response(status=status)]
    with pytest.raises(TransportError) as caught:
        await transport.add_events([curve("a", 0, 10)])
    assert type(caught.value) is TransportError
    assert not caught.value.outcome_unknown
    assert len(batches(server)) == 1


async def test_a_lost_answer_leaves_only_lines_in_doubt(server: ApiServer, connect: Make) -> None:
    """Points, plots and images may be sent again whatever happened; a line may not."""

    def lose(request: web.Request) -> web.StreamResponse:
        server._add(request, server.sent[-1].body)
        return reset(request)

    both = [curve("a", 0, 10), lines("a", 0, 2)]
    server.next["events.add_batch"] = [lose, lose]
    with pytest.raises(TransportError) as caught:
        await connect(server.url).add_events(both)
    assert not caught.value.outcome_unknown
    assert not server.events("log")
    server.next["events.add_batch"] = [lambda request: server._add(request, server.sent[-1].body), lose]
    with pytest.raises(TransportError) as caught:
        await connect(server.url).add_events(both)
    assert caught.value.outcome_unknown
    assert len(server.events("log")) == 2


async def test_lines_that_were_sent_before_a_later_request_failed_are_in_doubt(server: ApiServer, connect: Make) -> None:
    transport = connect(server.url, http={"max_req_size": 500})
    server.next["events.add_batch"] = [lambda request: server._add(request, server.sent[-1].body), web.Response(status=503)]
    with pytest.raises(TransportError) as caught:
        await transport.add_events([lines("a", 0, 20)])
    assert caught.value.outcome_unknown


async def test_what_never_left_is_not_in_doubt(connect: Make) -> None:
    with pytest.raises(TransportError) as caught:
        await connect(f"http://127.0.0.1:{refused_port()}").add_events([lines("a", 0, 20)])
    assert not caught.value.outcome_unknown


@asynccontextmanager
async def raw_server(transport: HttpTransport, answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[None]:
    """Have the transport, which has logged in, talk to something that is no server."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer)
        writer.close()

    opened = await asyncio.start_server(serve, "127.0.0.1", 0)
    transport.client.host = f"http://127.0.0.1:{opened.sockets[0].getsockname()[1]}"
    yield
    opened.close()


async def test_a_reset_in_the_middle_of_a_body_is_no_doubt(transport: HttpTransport) -> None:
    """A server cannot have acted on a request of which it got a part."""
    await transport.client.version()

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.transport.abort()

    async with raw_server(transport, break_off):
        with pytest.raises(TransportError, match="broke") as caught:
            await transport.client.post("v2.13/events.add_batch", bytearray(14_000_000), repeatable=False)
    assert not caught.value.outcome_unknown


async def test_a_server_that_never_reads_a_large_body_is_given_up(transport: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atrains._transport.client._SLOWEST", 14_000_000)
    await transport.client.version()
    monkeypatch.setattr(transport.client, "_timeout", lambda _: Timeout(0.2, 0.3))
    done = asyncio.Event()

    async def look_away(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await done.wait()

    begun = time.monotonic()
    async with raw_server(transport, look_away):
        with pytest.raises(TransportError, match="did not answer in time") as caught:
            await transport.client.post("v2.13/events.add_batch", bytearray(14_000_000), repeatable=False)
        done.set()
    assert time.monotonic() - begun < 5
    assert not caught.value.outcome_unknown


async def test_a_stale_connection_is_replaced_at_once_for_points_and_not_for_lines(server: ApiServer, transport: HttpTransport) -> None:
    await transport.add_events([curve("a", 0, 1)])
    server.next["events.add_batch"] = [reset]
    assert await transport.add_events([curve("a", 1, 1)]) == {}
    server.next["events.add_batch"] = [reset]
    with pytest.raises(TransportError) as caught:
        await transport.add_events([lines("a", 1, 1)])
    assert caught.value.outcome_unknown


async def test_a_token_that_ends_in_between_is_renewed(server: ApiServer, transport: HttpTransport) -> None:
    await transport.add_events([curve("a", 0, 1)])
    server.valid.clear()
    assert await transport.add_events([curve("a", 1, 5), lines("a", 0, 1)]) == {}
    assert (len(server.stored), server.logins) == (7, 2)


async def test_wrong_keys_keep_the_events(server: ApiServer, connect: Make) -> None:
    with pytest.raises(AccessError):
        await connect(server.url, ATRAINS_API_ACCESS_KEY="x", ATRAINS_API_SECRET_KEY="y").add_events([curve("a", 0, 1)])


async def test_an_old_server_is_sent_to_by_its_own_version(server: ApiServer, transport: HttpTransport) -> None:
    server.api_version = "2.8"
    await transport.add_events([curve("a", 0, 1)])
    assert server.paths()[-1] == "/v2.8/events.add_batch"


async def test_a_value_that_cannot_be_encoded_is_refused_and_the_rest_sent(server: ApiServer, transport: HttpTransport) -> None:
    block = RecordBlock("a", Span("j", "x", 0, 2), EventKind.PLOTS, [{"plot_str": "{}", "iter": 0}, {"plot_str": {1, 2}, "iter": 1}])
    refused = await transport.add_events([block])
    assert refused[block.span].count == 1
    assert "cannot be encoded" in refused[block.span].reason
    assert len(server.stored) == 1


names = st.text(max_size=12)
points = st.tuples(names, names, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.lists(points, min_size=1, max_size=30)), max_size=4),
    st.lists(st.tuples(st.sampled_from("ab"), st.lists(st.text(max_size=40), min_size=1, max_size=10)), max_size=3),
    st.integers(250, 2_000),
)
def test_bodies_hold_every_event_once_and_in_order(
    curves: list[tuple[str, list[tuple[str, str, int, float]]]], consoles: list[tuple[str, list[str]]], limit: int
) -> None:
    blocks: list[EventBlock] = []
    for number, (task, rows) in enumerate(curves):
        places = list(dict.fromkeys((title, series) for title, series, _, _ in rows))
        series = array("I", [places.index((title, name)) for title, name, _, _ in rows])
        columns = array("q", [row[2] for row in rows]), array("d", [row[3] for row in rows])
        blocks.append(ScalarBlock(task, Span("j", f"s{number}", 0, len(rows)), places, series, columns[0], 1.5, columns[1]))
    for number, (task, texts) in enumerate(consoles):
        events = [{"timestamp": 1, "level": "info", "msg": text, "worker": "w"} for text in texts]
        blocks.append(RecordBlock(task, Span("j", f"l{number}", 0, len(texts)), EventKind.LOGS, events))
    refused = Refused()
    others, console = whole(blocks)
    bodies = [*pack(others, limit, refused), *pack(console, limit, refused)]
    assert all(len(body.data) <= limit for body in bodies)
    parsed = [json.loads(line) for body in bodies for line in bytes(body.data).split(b"\n")]
    assert sum(body.rows for body in bodies) == len(parsed)
    assert sum(map(len, blocks)) == len(parsed) + sum(refusal.count for refusal in refused.by_span.values())
    taken = [(part.block.span, row) for body in bodies for part in body.parts for row in range(part.first, part.last)]
    assert len(set(taken)) == len(taken)
    assert taken == sorted(taken, key=lambda place: [block.span for block in blocks].index(place[0]))
