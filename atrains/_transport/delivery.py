"""Events on their way to a server: bodies sent one after the other, and the event found that makes a server fail a whole body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

from atrains._transport.answers import requested_version
from atrains._transport.base import Refusal
from atrains._transport.bodies import Body, Part, Refused, halves, note_refusals, pack, whole
from atrains._transport.client import BodyTooLargeError, HttpClient
from atrains._transport.pace import rest
from atrains._wire.events import EventBlock, Span
from atrains.errors import ServerError, TransportError

ADD_BATCH: Final = "events.add_batch"
CONTENT_TYPE: Final = "application/json-lines"
"""Server: compared for equality, so no parameter may follow it."""
READ_TIMEOUT: Final = 60.0
"""Seconds to wait for the answer to a body."""
_NONE_STORED: Final = 131
_LOW_DISK: Final = 4
_SEARCH_LIMIT: Final = 200
"""Requests that are spent on finding single events; then whole bodies are given up that fail beside others that do not."""
_SMALLEST: Final = 64 * 1024
"""Bytes of a body that is not made smaller where a server takes no large ones."""
_SECOND_LOOK: Final = 0.5
"""Seconds between two looks at an event that a server failed for."""


class Delivery:
    """Sends events through one client."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.limit = client.settings.api.http.max_req_size

    async def add(self, blocks: Sequence[EventBlock]) -> Mapping[Span, Refusal]:
        """Store blocks; return what was refused.

        Raises:
            TransportError: to be tried again; `outcome_unknown` is about console lines alone.
        """
        refused = Refused()
        others, lines = whole(blocks)
        try:
            await self._send(others, refused)
        except TransportError as error:
            error.outcome_unknown = False  # no line was sent yet, and the others replace their copies
            raise
        await self._send_lines(lines, refused)
        return refused.by_span

    async def _send(self, parts: Sequence[Part], refused: Refused) -> None:
        async with aclosing(self._bodies(parts, refused)) as bodies:
            async for body in bodies:
                failure = await self.attempt(body, refused)
                if failure is not None:
                    await _Search(self, refused).run(body, failure)

    async def _send_lines(self, parts: Sequence[Part], refused: Refused) -> None:
        sent = False
        async with aclosing(self._bodies(parts, refused)) as bodies:
            async for body in bodies:
                try:
                    failure = await self.attempt(body, refused)
                    if failure is not None:
                        if failure.outcome_unknown:
                            raise failure
                        await _Search(self, refused).run(body, failure)  # a refusal in words: nothing was stored
                except TransportError as error:
                    error.outcome_unknown |= sent
                    raise
                sent = True

    async def _bodies(self, parts: Sequence[Part], refused: Refused) -> AsyncGenerator[Body]:
        """Bodies, each encoded in a worker thread while the one before is on its way."""
        if not parts:
            return
        packing = pack(parts, self.limit, refused, rest=rest)
        encode = partial(asyncio.get_running_loop().run_in_executor, self._client.workers, _next, packing)
        ahead = encode()
        try:
            while (body := await ahead) is not None:
                ahead = encode()
                yield body
        finally:
            ahead.cancel()

    async def attempt(self, body: Body, refused: Refused) -> TransportError | None:
        """Send one body; return the failure that lies in what it holds, if there is one.

        Raises:
            TransportError: a failure of another kind.
        """
        version = requested_version(await self._client.version(), (2, 1))
        path = f"v{version[0]}.{version[1]}/{ADD_BATCH}"
        try:
            answer = await self._client.post(path, body.data, kind=CONTENT_TYPE, read=READ_TIMEOUT, repeatable=not body.holds_logs)
        except BodyTooLargeError as error:
            if len(body.data) <= _SMALLEST:
                raise  # no server takes so little: something else is wrong, and passes
            self.limit = max(_SMALLEST, min(self.limit, len(body.data) // 2))
            return error
        if answer.code == 200:
            left = note_refusals(body, answer, refused)
            if left and (body.rows == 1 or body.holds_logs):
                refused.add(body.parts[0].block, _unexplained(answer.data), min(left, body.rows))
            elif left:
                return ServerError(_unexplained(answer.data), code=400, subcode=0, endpoint=ADD_BATCH)
            return None
        failure = ServerError(
            answer.message, code=answer.code, subcode=answer.subcode, endpoint=ADD_BATCH, outcome_unknown=answer.code >= 500
        )
        if (answer.code, answer.subcode) == (400, _NONE_STORED):
            refused.add_parts(body.parts, answer.message)
            return None
        if answer.code == 400 or (answer.code == 500 and answer.subcode != _LOW_DISK):
            return failure
        raise failure


class _Search:
    """Finds the events of a body that a server fails for, by halves, and has everything else stored.

    Server: one event that it cannot store fails the whole request with a 500, after some of it was stored. A server that is in trouble
    answers the same. So an event is given up only beside another one that the same server stores at the same time; where it stores none,
    nothing is given up.
    """

    def __init__(self, delivery: Delivery, refused: Refused) -> None:
        self._delivery = delivery
        self._refused = refused
        self._good: Body | None = None
        self._suspects: list[tuple[Body, TransportError]] = []
        self._left = _SEARCH_LIMIT

    async def run(self, body: Body, failure: TransportError) -> None:
        """Search one body that failed.

        Raises:
            TransportError: nothing of it was stored; to be tried again.
        """
        tries = body.rows.bit_length() + 4
        stack = [*reversed(halves(body))] if body.rows > 1 else []
        if not stack:
            await self._suspect(body, failure)
        while stack:
            # Depth first and from the left: of two values of a series the server takes the later request's for the last one.
            pieces = list(pack(stack.pop(), self._delivery.limit, self._refused))
            if len(pieces) > 1:
                stack += [piece.parts for piece in reversed(pieces)]
            elif pieces and (failed := await self._send(pieces[0])) is not None:
                if self._good is None and _is_fault(failed) and (tries := tries - 1) < 0:
                    raise failed
                if pieces[0].rows > 1 and self._left > 0:
                    stack += reversed(halves(pieces[0]))
                else:
                    await self._suspect(pieces[0], failed)
        await self._settle()

    async def _send(self, body: Body) -> TransportError | None:
        self._left -= 1
        failed = await self._delivery.attempt(body, self._refused)
        if failed is not None and failed.outcome_unknown and body.holds_logs:
            raise failed  # some of its lines may be stored
        if failed is None and (self._good is None or body.rows < self._good.rows):
            self._good = body
        return failed

    async def _suspect(self, body: Body, failure: TransportError) -> None:
        if _is_fault(failure):
            self._suspects.append((body, failure))
            return
        if isinstance(failure, BodyTooLargeError):  # said by something in between, so it is asked twice
            await asyncio.sleep(_SECOND_LOOK)
            if await self._send(body) is None:
                return
        self._refused.add_parts(body.parts, str(failure))

    async def _settle(self) -> None:
        """Give up the suspects if the server stores another event before and after it fails for them once more."""
        if not self._suspects:
            return
        if self._good is None:
            raise self._suspects[0][1]
        await asyncio.sleep(_SECOND_LOOK)
        for body, failure in self._suspects:
            failed = await self._send(body) if self._left > 0 else failure
            if failed is None:
                continue
            if (trouble := await self._delivery.attempt(self._good, self._refused)) is not None:
                raise trouble
            self._refused.add_parts(body.parts, str(failed))


def _is_fault(failure: TransportError) -> bool:
    """Whether a failure may be the server's own: it says so, or says nothing."""
    return isinstance(failure, ServerError) and failure.code >= 500


def _unexplained(data: Mapping[str, object]) -> str:
    return f"not stored: {data.get('errors_info') or 'the server does not say why'}"


def _next(packing: Iterator[Body]) -> Body | None:
    return next(packing, None)
