"""The Transport protocol: what a home must answer. Implementations: `LocalTransport` in `_local`, and the HTTP one beside this file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, Protocol

from atrains._wire.endpoints import Endpoint
from atrains._wire.events import EventBlock, ScalarBlock, Span


class Transport(Protocol):
    """One connection to one home. Every method may be called from any task of the loop it belongs to, many at once."""

    @property
    def target(self) -> str:
        """What names the home, stable between processes: `local:<absolute path>` or `<user>@<API host>`."""
        ...

    @property
    def status_poll_interval(self) -> float:
        """Seconds between two looks at a status that cost the home little."""
        ...

    async def call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call an endpoint and return the `data` of its answer.

        Raises:
            ServerError: the home refused the request; with the server's code and sub-code, the same on every home.
            TransportError: the home could not be reached.
            HomeError: the local home could not be read or written.
        """
        ...

    async def add_events(self, block: EventBlock) -> int:
        """Store a block of events; a span that is stored already is not stored again. Returns how many events were stored or already there.

        Raises:
            ServerError: code 400, sub-code 131 when the task takes no events (deleted, published): permanent.
            HomeError: the disk is full or not writable: to be tried again.
        """
        ...

    async def stored_spans(self, journal: str) -> Collection[Span]:
        """Which spans of a journal the home has already, so that a recovery need not send them; neighbours may be merged.

        Empty where the home does not keep account of spans: there an event's identity tells.
        """
        ...

    def scalars(self, task: str) -> AsyncIterator[ScalarBlock]:
        """Every stored point of a task, exactly as stored, in order; points that were overwritten included."""
        ...

    async def sync(self) -> None:
        """Wait until the events that were stored cannot be lost by a power cut, as far as that is up to this side.

        Raises:
            HomeError: the disk does not take them.
        """
        ...

    async def aclose(self) -> None:
        """Release what the connection holds."""
        ...
