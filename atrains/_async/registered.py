"""Registered artifacts: tables that are stored again whenever they have changed. A part of AsyncTask.

The dictionary of them is in `tables`; how a change is seen, and a table written, in `_engine.table_marks` and `_engine.audit_table`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, MutableMapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from atrains._async.artifact import import_codec
from atrains._async.artifacts import Artifacts
from atrains._async.tables import tables_of
from atrains._async.upload import AsyncUpload
from atrains._engine.channel import Channel
from atrains._engine.outlet import Outlet
from atrains._wire.artifacts import check_name, metadata_pairs
from atrains.errors import ValidationError
from atrains.types import UploadState

if TYPE_CHECKING:
    from atrains._engine.audit_table import Snapshot
    from atrains._engine.table_marks import Table
    from atrains._engine.upload import Handle

_PATIENCE: Final = 2.0
"""Seconds that a home may take to say whether the run is still open."""


class RegisteredArtifacts(Artifacts):
    """Tables that are watched while a run goes on."""

    def register_artifact(
        self,
        name: str,
        artifact: object,
        metadata: Mapping[str, object] | None = None,
        uniqueness_columns: bool | str | Sequence[object] = True,  # documented
    ) -> None:
        """Watch a table, and store it with the task whenever it has changed.

        It is stored soon after this call, then looked at every 30 seconds (`artifacts.watch_period`), and by `flush`, `close` and
        `unregister_artifact`. It may be changed by any thread at any time: a copy is stored that was the same for a moment.

        Args:
            name: The artifact's name; what was registered or uploaded under that name is replaced.
            artifact: A data frame of pandas.
            metadata: Pairs to show beside it, kept as text.
            uniqueness_columns: The columns that tell its rows apart, for the statistics in its preview; True for all.

        Raises:
            UnsupportedTypeError: it is no data frame of pandas.
            ValidationError: the name, the metadata or `uniqueness_columns` are not what they have to be.
            TaskStatusError: the run has ended.
            TaskClosedError: the task was closed.
        """
        from atrains._engine.table_marks import Table

        self._check_open()
        check_name(name)
        columns = _columns_of(name, uniqueness_columns)
        pairs = metadata_pairs(metadata)
        tables = tables_of(self)
        tables.check(name, artifact)
        tables.put(name, Table(artifact, pairs, columns))

    async def unregister_artifact(self, name: str) -> None:
        """Store a registered table as it is now, and watch it no more. What was stored stays with the task.

        Args:
            name: What it was registered as.

        Raises:
            ValidationError: nothing is registered under that name; lists what is.
            StorageError: it cannot be written to the disk; it stays registered.
            TaskStatusError: the run has ended.
            TaskClosedError: the task was closed.
        """
        self._check_open()
        tables = tables_of(self)
        if name not in tables:
            known = ", ".join(map(repr, tables)) or "nothing"
            raise ValidationError(f"{name!r} is not registered with task {self.id}, where {known} is; see get_registered_artifacts()")
        table = tables.table(name)
        if isinstance(self._channel, Channel):
            await self._channel.look(lambda: tables.look(name))
        tables.drop(name, table)

    def get_registered_artifacts(self) -> MutableMapping[str, Any]:
        """The tables that are registered here, by name: a live dictionary.

        Assigning a data frame to a name registers it, in place of the one that is there with its metadata and uniqueness columns. A name
        that is deleted is stored a last time at the next look, and watched no more.

        Returns:
            The dictionary: name to data frame.
        """
        return tables_of(self)

    async def _store_table(self, name: str, table: Table) -> None:
        """Upload a table if it has changed since it was stored last."""
        earlier = self._uploads.get(name)
        if earlier is None or earlier.state is UploadState.failed:
            table.forget()  # the task was reset, or its home did not take it
        await import_codec(self._channel)
        assert isinstance(self._channel, Channel)
        made: list[Snapshot | None] = []
        accepted: list[Handle] = []
        try:
            await self._channel.run_to_end(partial(self._write_table, name, table, made))
            snapshot = made[0]
            if snapshot is not None and snapshot.encoded is not None:
                with contextlib.suppress(TimeoutError):  # its home is slow: the upload waits for it, and a close must not
                    async with asyncio.timeout(_PATIENCE):
                        await self._require_open_run(name)
                upload = await self._upload_of(name, snapshot.encoded, time.time(), remove=())
                await self._channel.upload(upload, accepted=accepted)
            if snapshot is not None:
                table.note(snapshot)
        finally:
            if accepted:  # also where this was cancelled meanwhile: the file is needed
                self._uploads[name] = AsyncUpload(accepted[0], self._channel, self._runtime)
            else:
                await self._channel.run_to_end(partial(_discard, made))

    def _write_table(self, name: str, table: Table, made: list[Snapshot | None]) -> None:
        """Look at a table, here in a worker thread; into `made`, so that a look that is cancelled finds the file."""
        from atrains._engine import audit_table

        self.get_logger()  # opens the journal
        outlet = self._channel.outlet
        assert isinstance(outlet, Outlet)
        made.append(audit_table.look(name, table, outlet.upload_folder()))


def _columns_of(name: str, columns: bool | str | Sequence[object]) -> tuple[object, ...] | None:
    """The columns that tell rows apart; None for all."""
    if columns is True:
        return None
    if isinstance(columns, str):
        return (columns,)
    if isinstance(columns, Sequence) and not isinstance(columns, bytes):
        return tuple(columns)
    raise ValidationError(f"uniqueness_columns of {name!r} is True or a list of columns, not {columns!r}")


def _discard(made: list[Snapshot | None]) -> None:
    """Remove a file that was written in vain."""
    for snapshot in made:
        if snapshot is not None and snapshot.encoded is not None and snapshot.encoded.path is not None:
            snapshot.encoded.path.unlink(missing_ok=True)
