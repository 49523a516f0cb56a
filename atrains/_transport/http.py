"""The transport to a Trains or ClearML server: what is asked for. Connections and login are in `client`, events in `delivery`."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, TypeVar

from tenacity import AsyncRetrying, RetryCallState

from atrains._config import Settings, Timeout
from atrains._transport import legacy
from atrains._transport.answers import encode_request, requested_version
from atrains._transport.base import Refusal
from atrains._transport.client import HttpClient
from atrains._transport.delivery import Delivery
from atrains._transport.failures import UnavailableError
from atrains._wire.endpoints import Endpoint
from atrains._wire.events import EventBlock, ScalarBlock, Span
from atrains.errors import ServerError, TransportError

T = TypeVar("T")

BURST: Final = 10.0
"""Seconds that a call is tried again at most; then whoever called decides."""
FIRST_BURST: Final = 2.0
"""The same for a server that was never reached: whoever waits for the first call waits for a program to begin."""
PATIENCE: Final = 30.0
"""Seconds that are waited at most because a server asks for it in `Retry-After`."""
PROBE: Final = Timeout(1.0, 2.0)
_PAGE: Final = 5_000
"""Events of one page. Server: it fails above 10,000."""
_GET_TASK_EVENTS: Final = Endpoint("events.get_task_events")


class HttpTransport:
    """A `Transport` to an API server. Making one sends nothing. May be used from several event loops of the process.

    Args:
        settings: With an API host, and a key pair or a token.
        workers: Where bodies are encoded and names looked up.

    Raises:
        ConfigurationError: nothing tells who we are to the server.
    """

    status_poll_interval = 2.0
    keeps_spans = False  # Server: an event is known by (task, iteration, metric, variant, key)
    batch_rows = 65_536  # about 10 MB
    retry_interval = 0.75

    def __init__(self, settings: Settings, *, workers: Executor) -> None:
        self.client = HttpClient(settings, workers=workers)
        self._http = settings.api.http
        self._delivery = Delivery(self.client)

    @property
    def target(self) -> str:
        """What names the home: `<who>@<API host>`, where who is a digest of the access key or of the token's user."""
        return f"{self.client.user}@{self.client.host}"

    async def call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call an endpoint and return the `data` of its answer.

        What passes (no connection, 429, 502, 503, 504, 509) is tried again for about 10 s, unless the server may have done what must not be
        done twice. A server that was never reached is tried once.

        Raises:
            ServerError: the server refused the request; with its code, its sub-code and its words.
            AccessError: wrong credentials, TLS, or no API server at this address.
            TransportError: the server could not be reached.
        """
        version = await self._in_burst(self.client.version, repeatable=True)
        if (fallback := legacy.fallback(endpoint, request, version)) is not None:
            return await fallback(self, request)
        if (since := legacy.since(endpoint, request)) > version:
            raise ServerError(
                f"the server {self.client.host} has no {endpoint.name}: it speaks API {version[0]}.{version[1]}, the call came with "
                f"{since[0]}.{since[1]}",
                code=404, subcode=0, endpoint=endpoint.name,
            )  # fmt: skip
        asked = requested_version(version, since)
        body = encode_request(request)
        work = partial(self._call, endpoint, f"v{asked[0]}.{asked[1]}/{endpoint.name}", body)
        return legacy.modern(await self._in_burst(work, repeatable=endpoint.idempotent), version)

    async def keeps_task_ids(self) -> bool:
        """Whether the server says of itself that it does, as `atrains serve` does in its tokens; logs in where that was not done yet."""
        return (await self._in_burst(self.client.claims, repeatable=True)).keeps_task_ids

    async def add_events(self, blocks: Sequence[EventBlock]) -> Mapping[Span, Refusal]:
        """Store blocks of events, in as few requests as fit; see `Transport.add_events`.

        Points, plots and images go first and console lines last, in requests of their own, so that a failure of one does not touch the
        other. Nothing is tried again here, except at once where a kept connection was closed.

        Raises:
            TransportError: to be tried again. `outcome_unknown` is about console lines alone: Server: everything else has an identity by
                which it replaces its copy.
        """
        try:
            return await self._delivery.add(blocks)
        except UnavailableError as error:
            raise TransportError(str(error), outcome_unknown=error.outcome_unknown) from error

    async def probe(self) -> None:
        """Find out within three seconds, by one request, whether an API server answers.

        Raises:
            TransportError: none does.
        """
        try:
            await self.client.probe(PROBE)
        except UnavailableError as error:
            raise TransportError(str(error)) from error

    async def stored_spans(self, journal: str) -> Collection[Span]:
        """Nothing: a server keeps no account of spans."""
        del journal
        return ()

    async def scalars(self, task: str) -> AsyncGenerator[ScalarBlock]:
        """Yield every stored point of a task, a page at a time, in the order of times. Server: a point that was overwritten is gone."""
        request: dict[str, Any] = {"task": task, "event_type": "training_stats_scalar", "order": "asc", "batch_size": _PAGE}
        while True:
            answer = await self.call(_GET_TASK_EVENTS, request)
            events = [event for event in answer.get("events") or () if isinstance(event.get("value"), int | float)]
            if events:
                yield _block(task, events)
            scroll = answer.get("scroll_id")
            if not answer.get("events") or not scroll:
                return
            request["scroll_id"] = scroll

    async def sync(self) -> None:
        """Do nothing: what a server has answered for is its own to keep."""

    async def aclose(self) -> None:
        """Close the connections. A second call does nothing."""
        await self.client.aclose()

    async def _call(self, endpoint: Endpoint, path: str, body: bytes) -> dict[str, Any]:
        answer = await self.client.post(path, body, repeatable=endpoint.idempotent)
        if answer.code == 200:
            return answer.data
        raise ServerError(
            answer.message, code=answer.code, subcode=answer.subcode, endpoint=endpoint.name, outcome_unknown=answer.code >= 500
        )

    async def _in_burst(self, work: Callable[[], Awaitable[T]], *, repeatable: bool) -> T:
        """Do something that asks the server, again where it failed in passing."""

        def again(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            if not isinstance(error, UnavailableError) or (error.outcome_unknown and not repeatable):
                return False
            return self.client.reached or error.connected

        retrying = AsyncRetrying(retry=again, stop=self._is_over, wait=self._pause, sleep=asyncio.sleep, reraise=True)
        try:
            return await retrying(work)
        except UnavailableError as error:
            raise TransportError(str(error), outcome_unknown=error.outcome_unknown) from error

    def _pause(self, state: RetryCallState) -> float:
        """Seconds before the next try: none before the first, unless the server names a time."""
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, UnavailableError) and error.retry_after is not None:
            return error.retry_after
        number = state.attempt_number
        return 0.0 if number == 1 else min(2.0, self._http.backoff_max, self._http.backoff_factor * 0.1 * 2.0 ** (number - 2))

    def _is_over(self, state: RetryCallState) -> bool:
        if state.attempt_number > self._http.retries:
            return True
        error = state.outcome.exception() if state.outcome else None
        asked = isinstance(error, UnavailableError) and error.retry_after is not None
        return (state.seconds_since_start or 0.0) + self._pause(state) > (
            PATIENCE if asked else BURST if self.client.reached else FIRST_BURST
        )


def _block(task: str, events: Sequence[Mapping[str, Any]]) -> ScalarBlock:
    places: dict[tuple[str, str], int] = {}
    series = array("I", [places.setdefault((event.get("metric") or "", event.get("variant") or ""), len(places)) for event in events])
    return ScalarBlock(
        task,
        Span("", "", 0, len(events)),
        list(places),
        series,
        array("q", [int(event.get("iter") or 0) for event in events]),
        array("d", [event["timestamp"] / 1000 for event in events]),
        array("d", [event["value"] for event in events]),
    )
