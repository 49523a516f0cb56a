"""The registered tables of a task: the dictionary that users see, and what is looked at. When, is in `_engine.lookout`."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from atrains._async.base import TaskPart
from atrains._engine.channel import Channel
from atrains._engine.notices import say
from atrains._engine.runtime import Runtime
from atrains._wire.artifacts import check_name
from atrains.errors import AtrainsError, TaskStatusError, UnsupportedTypeError
from atrains.types import TaskStatusEnum

if TYPE_CHECKING:
    from atrains._async.registered import RegisteredArtifacts
    from atrains._engine.table_marks import Table

NOT_THE_LAST: Final = "a registered artifact was not stored as it was in the end"
_log = logging.getLogger("atrains")


class Tables(MutableMapping[str, Any]):
    """The registered tables of one task object in one process, as the dictionary that users see. Used from any thread.

    Args:
        task: Whose.
    """

    def __init__(self, task: RegisteredArtifacts) -> None:
        self.pid = os.getpid()
        self._task = task
        self._tables: dict[str, Table] = {}
        self._leaving: dict[str, Table] = {}
        self._lock = threading.Lock()
        self._said: set[str] = set()

    __hash__ = object.__hash__  # one of these is like no other, whatever is in it

    def __eq__(self, other: object) -> bool:
        return self is other

    # ---- the dictionary

    def __getitem__(self, name: str) -> Any:
        return self._tables[name].frame

    def __setitem__(self, name: str, frame: Any) -> None:
        from atrains._engine.table_marks import Table

        self._task._check_open()  # noqa: SLF001  # one module
        check_name(name)
        self.check(name, frame)
        held = self._tables.get(name)
        self.put(name, Table(frame) if held is None else Table(frame, held.metadata, held.columns, None, held.data_hash, held.rows))

    def __delitem__(self, name: str) -> None:
        with self._lock:
            self._leaving[name] = self._tables.pop(name)
        self._look_soon()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._tables))

    def __len__(self) -> int:
        return len(self._tables)

    def __repr__(self) -> str:
        return f"<registered artifacts of task {self._task.id}: {', '.join(map(repr, self)) or 'none'}>"

    # ---- what is behind it

    def check(self, name: str, thing: object) -> None:
        """Refuse what cannot be registered.

        Raises:
            UnsupportedTypeError: it is no data frame.
            TaskStatusError: the run has ended.
        """
        from atrains._engine.table_marks import is_frame

        if not is_frame(thing):
            kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
            raise UnsupportedTypeError(
                f"{name!r} cannot be registered with task {self._task.id}: it is a {kind}, and only data frames of pandas "
                "(pandas.DataFrame) are watched; upload_artifact stores other things once"
            )
        status = self._task.data.get("status")
        if status not in {TaskStatusEnum.created, TaskStatusEnum.in_progress}:
            raise TaskStatusError(
                f"cannot register {name!r} with task {self._task.id}: its status is {status}; register before it ends, or clone it"
            )

    def put(self, name: str, table: Table) -> None:
        """Watch a table from now on, in place of that of its name."""
        with self._lock:
            self._leaving.pop(name, None)
            self._tables[name] = table
        self._look_soon()

    def table(self, name: str) -> Table:
        """What is known of one."""
        return self._tables[name]

    def drop(self, name: str, table: Table) -> None:
        """Watch one no more, unless another one took its place."""
        with self._lock:
            if self._tables.get(name) is table:
                del self._tables[name]

    def statistics(self) -> str:
        """What there is to say of all of them as they were stored last; empty where there are none."""
        from atrains._engine.audit_table import statistics

        return statistics({name: table.rows for name, table in list(self._tables.items()) if table.rows is not None})

    @property
    def period(self) -> float:
        """Seconds between two looks."""
        return self._task._settings.artifacts.watch_period  # noqa: SLF001

    async def look(self, only: str | None = None) -> None:
        """Store those that have changed, or one if it has; on the loop that delivers, one look after the other.

        Raises:
            AtrainsError: of the first that could not be stored; the others were.
        """
        failure: AtrainsError | None = None
        async with Runtime.current().lock(("registered", id(self))):
            for name, table in [*list(self._leaving.items()), *list(self._tables.items())]:
                if only not in {None, name}:
                    continue
                leaves = self._leaving.get(name) is table  # of one that leaves while we look, this look may not have seen the end
                try:
                    await self._task._store_table(name, table)  # noqa: SLF001
                except AtrainsError as error:
                    failure = failure or error
                else:
                    with self._lock:
                        if leaves and self._leaving.get(name) is table:
                            del self._leaving[name]
        if failure is not None:
            raise failure

    async def look_quietly(self) -> None:
        """The same, where nobody waits for it: what fails is logged, once."""
        try:
            await self.look()
        except AtrainsError as error:
            if str(error) not in self._said:
                self._said.add(str(error))
                _log.warning("atrains: a registered artifact could not be stored, and is looked at again: %s", error)

    def _look_soon(self) -> None:
        channel = self._task._channel  # noqa: SLF001
        if isinstance(channel, Channel):
            self._task.get_logger()  # opens the journal, and with it what delivers
            channel.look_out(self)


def tables_of(task: RegisteredArtifacts) -> Tables:
    """The registered tables of a task; in a forked child its own, since those of its parent are watched there."""
    tables = task._tables  # noqa: SLF001  # one module
    if tables is None or tables.pid != os.getpid():
        tables = task._tables = Tables(task)  # noqa: SLF001
    assert isinstance(tables, Tables)
    return tables


async def look(task: TaskPart) -> str | None:
    """Store the registered tables that have changed; returns what could not be done, in words."""
    tables, channel = task._tables, task._channel  # noqa: SLF001
    if tables is None or tables.pid != os.getpid() or not isinstance(channel, Channel):
        return None
    try:
        await channel.look(tables.look)
    except AtrainsError as error:
        return str(error)
    return None


async def end(task: TaskPart) -> None:
    """Store them a last time, put their statistics on the console of the task, and watch them no more."""
    failure = await look(task)
    if failure is not None:
        say(task._settings, f"task {task.id}: {NOT_THE_LAST}: {failure}")  # noqa: SLF001
    tables, channel = task._tables, task._channel  # noqa: SLF001
    if tables is None or tables.pid != os.getpid() or not isinstance(channel, Channel):
        return
    channel.look_no_more(tables)
    if text := await channel.run(tables.statistics):
        task.get_logger().report_text(text, print_console=False)
