"""The home on disk: opening it, its writer lock, its task folders, and keeping the index true to them. Endpoints are in `services`."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson

from atrains._local import chunks, models, schema, streams
from atrains._local.connections import BUSY_SECONDS, Connections, home_errors
from atrains._local.disk import sync_file
from atrains._local.projects import ensure_project
from atrains._local.records import Record, encode_record, index_record, now, read_record, write_record
from atrains._local.workers import Workers
from atrains._wire.events import EventBlock, EventKind, ScalarBlock, Span
from atrains._wire.names import TASK_ID
from atrains.errors import HomeError, ServerError, ValidationError

_logger = logging.getLogger("atrains")

FORMAT: Final = 1
"""The version of the home's layout, in `home.json`."""
INDEX: Final = "index.db"
LOCKED: Final = frozenset({"published", "publishing"})
"""A task with one of these statuses takes no events."""
_MARK: Final = re.compile(rb"(\d{20}) (\S{1,64}) *\n")


def open_home(path: Path, *, durable: bool = False) -> Store:
    """Open the home at `path`, and make it if there is none.

    Args:
        path: The folder.
        durable: Whether somebody will ask for `Store.sync`.

    Raises:
        HomeError: the folder cannot be made or written, or it was made by a newer atrains.
    """
    home = path.resolve()
    with home_errors(home, "open or create what is needed"):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "tasks").mkdir(mode=0o700, exist_ok=True)
        if not (home / "home.json").exists():
            _write_home_file(home)
        _check_format(home)
        if not (home / INDEX).exists():
            (home / INDEX).touch()
        store = Store(home, durable=durable)
        try:
            # With the connection that is used from then on: closing the last one has SQLite wait for the disk.
            with store._connections.use() as connection:  # noqa: SLF001  # one module
                _bring_up(home, connection)
            if store.index_is_behind():
                with store.change():
                    pass  # taking the lock is what repairs the index
        except BaseException:  # whatever it was, nobody gets the store that its connections belong to
            store.close()
            raise
    return store


def _write_home_file(home: Path) -> None:
    temporary = home / f"home.json.{os.getpid()}.tmp"
    temporary.write_bytes(orjson.dumps({"format": FORMAT, "created": now()}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    os.replace(temporary, home / "home.json")


def _check_format(home: Path) -> None:
    try:
        found = orjson.loads((home / "home.json").read_bytes())["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise HomeError(
            f'{home / "home.json"} cannot be read ({error}); if {home} is a home, write {{"format": {FORMAT}}} into that file, '
            "else set ATRAINS_HOME to another folder"
        ) from error
    if found != FORMAT:
        raise HomeError(
            f"the home {home} has format version {found!r}, this atrains reads {FORMAT}; "
            "install a newer atrains, or point ATRAINS_HOME at another folder"
        )


def _bring_up(home: Path, connection: sqlite3.Connection) -> None:
    """Make the tables of the index where they are missing; a new index beside old task folders is built from them."""
    _switch_to_wal(connection)
    newest = len(schema.MIGRATIONS)
    if schema.version_of(connection) == newest:
        return
    connection.execute("BEGIN IMMEDIATE")
    found = schema.version_of(connection)
    if found > newest:
        raise HomeError(
            f"the index of the home {home} has version {found}, this atrains knows {newest}; "
            "install a newer atrains, or point ATRAINS_HOME at another folder"
        )
    if schema.migrate(connection) == 0:
        _index_folders(connection, home / "tasks")
        models.index_all(connection, home)
        mark = _read_mark(home)
        if mark is not None:
            connection.execute("UPDATE state SET value = ? WHERE key = 'sequence'", [mark[0]])
    connection.execute("COMMIT")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for other openers here, whatever its timeout: several processes may make the home at once.
    deadline = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _index_folders(connection: sqlite3.Connection, tasks: Path) -> int:
    """Index every task folder and return how many there are; one that cannot be read is left out and named."""
    count = 0
    for folder in sorted(tasks.iterdir()):
        try:
            record = read_record(folder)
            if record["id"] != folder.name:
                raise ValueError(f"the record is of task {record['id']}")
            _settle_project(connection, folder, record)
            index_record(connection, record)
        except (ValueError, KeyError, OSError, sqlite3.IntegrityError) as error:
            _logger.warning("%s is left out of the index, its task.json cannot be used: %s", folder, error)
            continue
        streams.reindex(connection, folder, folder.name)
        count += 1
    return count


def _settle_project(connection: sqlite3.Connection, folder: Path, record: Record) -> None:
    if not record.get("project"):
        return
    held = ensure_project(connection, record.get("project_name") or record["project"], record["project"])
    if held != record["project"]:  # a folder from another home: a project is known by its name
        record["project"] = held
        write_record(folder, encode_record(record))


def _read_mark(home: Path) -> tuple[int, str] | None:
    """The last change that a process began: its number and its task."""
    try:
        found = _MARK.fullmatch((home / "writing").read_bytes())
    except FileNotFoundError:
        return None
    return (int(found[1]), found[2].decode()) if found else None


def _sequence(connection: sqlite3.Connection) -> int:
    (value,) = connection.execute("SELECT value FROM state WHERE key = 'sequence'").fetchone()
    return int(value)


class Store:
    """An open home. Every method may be called from any thread; processes may have the same home open.

    A change takes three steps under the writer lock: the `writing` mark says which task is about to change, the task's folder is
    changed, the index is committed with the mark's number. Whoever takes the lock next sees by the two numbers whether the last one got
    to its end, and indexes that task again if it did not; if more than one commit is missing (a power cut), everything.

    Args:
        home: The folder.
        durable: Whether `sync` is going to be called; what it has to wait for is noted only then, or the notes would pile up.
    """

    def __init__(self, home: Path, *, durable: bool = False) -> None:
        self.home = home
        self._tasks = home / "tasks"
        self._connections = Connections(home / INDEX)
        self._durable = durable
        self._unsynced: set[Path] = set()
        self.workers = Workers()

    def task_folder(self, task_id: str) -> Path:
        """The folder of a task; files of the task may be put into its `files` folder.

        Raises:
            ValidationError: this cannot be a task's id.
        """
        if not TASK_ID.fullmatch(task_id):
            raise ValidationError(f"{task_id!r} is no task id: up to 64 letters, digits, '_' and '-', which is not the first")
        return self._tasks / task_id

    def has_record(self, task_id: str) -> bool:
        """Whether there is a task of this id, by its folder alone."""
        return (self.task_folder(task_id) / "task.json").exists()

    def has_files(self, task_id: str) -> bool:
        """Whether there are files, such as artifacts, in a task's folder."""
        return any(path.is_file() for path in (self.task_folder(task_id) / "files").rglob("*"))

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Lend the index for reading."""
        with home_errors(self.home, "read"), self._connections.use() as connection:
            yield connection

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Hold the writer lock of the home; what is done to the index is committed at the end, or undone by an exception."""
        with home_errors(self.home, "write"), self._connections.writing, self._connections.use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                if self._repair(connection):
                    connection.execute("COMMIT")
                    connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def announce(self, connection: sqlite3.Connection, task_id: str) -> None:
        """Write the mark that a task (or `models/<id>`) is about to change; for `change`, before the first write to its folder."""
        connection.execute("UPDATE state SET value = value + 1 WHERE key = 'sequence'")
        sequence = _sequence(connection)
        descriptor = os.open(self.home / "writing", os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            os.write(
                descriptor, b"%020d %-64b\n" % (sequence, task_id.encode())
            )  # in place and of one length: takes no room on a full disk
        finally:
            os.close(descriptor)

    def index_is_behind(self) -> bool:
        """Whether a change of a task folder began of which the index does not know (or that is still going on)."""
        with self.read() as connection:
            return self._missed(connection) is not None

    def _missed(self, connection: sqlite3.Connection) -> tuple[int, str, int] | None:
        mark = _read_mark(self.home)
        sequence = _sequence(connection)
        return None if mark is None or mark[0] <= sequence else (*mark, sequence)

    def _repair(self, connection: sqlite3.Connection) -> bool:
        missed = self._missed(connection)
        if missed is None:
            return False
        began, task_id, sequence = missed
        if began > sequence + 1:
            self._rebuild(connection)
        elif models.is_mark(task_id):
            models.index_again(connection, self.home, task_id)
        else:
            self._index_again(connection, task_id)
        connection.execute("UPDATE state SET value = ? WHERE key = 'sequence'", [began])
        return True

    def _index_again(self, connection: sqlite3.Connection, task_id: str) -> None:
        folder = self.task_folder(task_id)
        try:
            record = read_record(folder)
        except FileNotFoundError:  # killed before the record of a new task was there, or while a task was removed
            self._forget(connection, task_id)
            return
        index_record(connection, record)
        for kind in EventKind:
            streams.catch_up(connection, folder, task_id, kind)
        streams.settle_iteration(connection, folder, record)

    def rebuild(self) -> int:
        """Build the index of tasks and events anew from the task folders; returns how many tasks there are. Projects without tasks stay."""
        with self.change() as connection:
            return self._rebuild(connection)

    def _rebuild(self, connection: sqlite3.Connection) -> int:
        for table in ("tasks", "metrics", "streams", "spans"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608  # the names stand in the line above
        models.index_all(connection, self.home)
        return _index_folders(connection, self._tasks)

    def record(self, task_id: str) -> Record:
        """The record of a task as its folder has it.

        Raises:
            ServerError: 400/101, there is no such task.
            HomeError: the record is damaged.
        """
        if not isinstance(task_id, str) or not TASK_ID.fullmatch(task_id):
            raise unknown_task(task_id)
        try:
            return read_record(self._tasks / task_id)
        except FileNotFoundError as error:
            raise unknown_task(task_id) from error
        except ValueError as error:
            raise HomeError(
                f"{self._tasks / task_id / 'task.json'} is damaged ({error}); put it back from a copy, or remove the folder"
            ) from error

    def save(self, connection: sqlite3.Connection, record: Record) -> None:
        """Write a task's record and its row in the index, in `change`; makes the folder of a new task."""
        try:
            text = encode_record(record)
        except TypeError as error:
            raise ServerError(
                f"Validation error: a field of task {record['id']} is no JSON ({error})", code=400, subcode=12, endpoint=""
            ) from error
        folder = self.task_folder(record["id"])
        self.announce(connection, record["id"])
        if not folder.exists():
            for place in (folder, folder / "events", folder / "files"):
                place.mkdir(mode=0o700)
        write_record(folder, text)
        index_record(connection, record)

    def remove(self, connection: sqlite3.Connection, task_id: str) -> None:
        """Delete a task's folder, with its files, and what the index has of it, in `change`."""
        import shutil

        folder = self.task_folder(task_id)
        self.announce(connection, task_id)
        (folder / "task.json").unlink(missing_ok=True)  # without it the folder is no task any more, whatever happens next
        shutil.rmtree(folder, ignore_errors=True)
        self._forget(connection, task_id)

    @staticmethod
    def _forget(connection: sqlite3.Connection, task_id: str) -> None:
        streams.forget(connection, task_id)
        connection.execute("DELETE FROM tasks WHERE id = ?", [task_id])

    def add_events(self, block: EventBlock) -> int:
        """Store a block of events once, however often it is sent, and return how many events it holds.

        Raises:
            ServerError: 400/131, the task takes no events: it is unknown or published.
            ValueError: a part of the block's span is stored already, or a value cannot be stored.
            HomeError: the disk is full or cannot be written; nothing of the block was stored.
        """
        if not len(block):
            return 0
        if block.span.first >= block.span.last:
            raise ValueError(
                f"a block of {len(block)} events of task {block.task} has an empty span ({block.span}): "
                "it could not be told from its repetition"
            )
        header, buffers = chunks.encode_block(block, now())  # the long part, before the lock is taken
        kind = chunks.kind_of(block)
        with self.change() as connection:
            row = connection.execute("SELECT status FROM tasks WHERE id = ?", [block.task]).fetchone()
            if row is None or row[0] in LOCKED:
                raise _takes_no_events(block.task)
            folder = self.task_folder(block.task)
            end = streams.catch_up(connection, folder, block.task, kind)
            if not streams.is_stored(connection, block.task, kind, block.span):
                self.announce(connection, block.task)
                try:
                    end = chunks.append(streams.chunk_file(folder, kind), buffers, end)
                except FileNotFoundError as error:
                    if not self._tasks.is_dir():
                        raise
                    raise _takes_no_events(block.task) from error  # somebody removed the folder of this task by hand
                if self._durable:
                    self._unsynced.add(streams.chunk_file(folder, kind))
                streams.register(connection, block.task, kind, header, end)
        return len(block)

    def sync(self) -> None:
        """Wait until the events that were stored here are on the disk, and the records of their tasks. The index can be rebuilt from them.

        Does nothing unless the home was opened as `durable`.

        Raises:
            HomeError: the disk does not take them.
        """
        with home_errors(self.home, "write"):
            while self._unsynced:
                events = self._unsynced.pop()
                folder = events.parent.parent
                try:
                    for path in (events, folder / "task.json", events.parent, folder, self._tasks):
                        sync_file(path)
                except FileNotFoundError:  # the task was deleted, or reset
                    continue
                except BaseException:  # whatever it was, these files are still to be synced
                    self._unsynced.add(events)
                    raise

    def stored_spans(self, journal: str) -> list[Span]:
        """Which spans of a journal are stored, of all tasks.

        Raises:
            HomeError: the index cannot be read.
        """
        with self.change() as connection:  # the lock brings in what a process appended and did not live to index
            rows = connection.execute(
                "SELECT stream, first, last FROM spans WHERE journal = ? ORDER BY stream, first", [journal]
            ).fetchall()
        return [Span(journal, stream, first, last) for stream, first, last in rows]

    def read_scalars(self, task_id: str, wanted: set[tuple[str, str]] | None = None) -> Generator[ScalarBlock]:
        """Yield every stored point of a task, as stored, in order; with `wanted` only the blocks that have one of these series.

        Raises:
            ServerError: 400/101, there is no such task.
            HomeError: the files cannot be read.
        """
        self.require_task(task_id)
        with home_errors(self.home, "read the scalars"):
            yield from streams.read_scalars(self.task_folder(task_id), task_id, wanted)

    def require_task(self, task_id: str) -> None:
        """Raise unless there is such a task.

        Raises:
            ServerError: 400/101.
        """
        with self.read() as connection:
            if connection.execute("SELECT 1 FROM tasks WHERE id = ?", [task_id]).fetchone() is None:
                raise unknown_task(task_id)

    def close(self) -> None:
        """Close the index; calls under way end first. A second call does nothing."""
        self._connections.close()


def unknown_task(task_id: object) -> ServerError:
    """The error for a task that is not there. Server: 400/101, in its words."""
    return ServerError(f"Invalid task id: id={task_id}", code=400, subcode=101, endpoint="")


def _takes_no_events(task_id: str) -> ServerError:
    return ServerError(
        f"Events not added: Invalid task id {task_id} (there is no such task in this home, or it is published)",
        code=400,
        subcode=131,
        endpoint="events.add_batch",
    )
