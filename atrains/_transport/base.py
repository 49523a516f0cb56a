"""The Transport protocol: what a home must answer. Implementations: `LocalTransport` in `_local`, and the HTTP one beside this file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from atrains._wire.endpoints import Endpoint
from atrains._wire.events import EventBlock, ScalarBlock, Span


@dataclass(slots=True)
class Refusal:
    """What of a block a home does not take, for good.

    Attributes:
        reason: Why, in the home's words.
        count: How many of the block's events; the others were stored.
    """

    reason: str
    count: int


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

    @property
    def keeps_spans(self) -> bool:
        """Whether the home tells by its span that it has a block. If not, a console line that is sent twice is stored twice."""
        ...

    @property
    def batch_rows(self) -> int:
        """About how many events are best handed over in one call."""
        ...

    @property
    def retry_interval(self) -> float:
        """Seconds at most between two tries to reach a home that is away."""
        ...

    async def call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call an endpoint and return the `data` of its answer.

        Raises:
            ServerError: the home refused the request; with the server's code and sub-code, the same on every home.
            TransportError: the home could not be reached.
            HomeError: the local home could not be read or written.
        """
        ...

    async def keeps_task_ids(self) -> bool:
        """Whether the home gives a new task the id that `tasks.create` names, if no task has it; others make ids themselves.

        Raises:
            TransportError: the home could not be reached.
        """
        ...

    async def add_events(self, blocks: Sequence[EventBlock]) -> Mapping[Span, Refusal]:
        """Store blocks of events, of one task or several, in this order.

        A block that the home has already, by its span or by the identity of its events, changes nothing.

        Returns:
            What was refused for good, by the span of its block: the task was deleted or published, an event cannot be stored. Everything
            else was stored.

        Raises:
            TransportError: the home could not be reached or was not ready: to be tried again. `outcome_unknown` says whether some of it
                may have been stored.
            HomeError: the disk is full or not writable: to be tried again.
        """
        ...

    async def probe(self) -> None:
        """Find out in short time, and once, whether the home can be reached.

        Raises:
            TransportError: it cannot, or it is not ready.
        """
        ...

    async def stored_spans(self, journal: str) -> Collection[Span]:
        """Which spans of a journal the home has already, so that a recovery need not send them; neighbours may be merged.

        Empty where the home does not keep account of spans: there an event's identity tells.
        """
        ...

    def scalars(self, task: str) -> AsyncGenerator[ScalarBlock]:
        """Every stored point of a task, exactly as stored, in order; points that were overwritten included, where the home has them.

        To be closed by who leaves it early.
        """
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
