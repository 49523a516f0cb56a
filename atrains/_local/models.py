"""Models of a home: a folder each, whose `model.json` is the truth, and a row in the index. The endpoints are in `services.models`.

A model's file is where its `uri` says: below `home://` in the folder of the task that made it, or anywhere.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from atrains._local.projects import ensure_project
from atrains._local.records import Record, encode_record, read_record, write_record
from atrains._wire.artifacts import HOME_URL
from atrains._wire.names import TASK_ID
from atrains.errors import HomeError, ServerError

if TYPE_CHECKING:
    from atrains._local.store import Store

_logger = logging.getLogger("atrains")

FOLDER: Final = "models"
_FILE: Final = "model.json"
_MARK: Final = f"{FOLDER}/"
"""What the `writing` mark has before the id of a model; a task's id has no slash."""


def is_mark(marked: str) -> bool:
    """Whether the `writing` mark names a model."""
    return marked.startswith(_MARK)


def unknown_model(model_id: object) -> ServerError:
    """The error for a model that is not there. Server: 400/201, in its words."""
    return ServerError(f"Invalid model id: id={model_id}", code=400, subcode=201, endpoint="")


def read_model(store: Store, model_id: object) -> Record:
    """The record of a model as its folder has it.

    Raises:
        ServerError: 400/201, there is no such model.
        HomeError: the record is damaged.
    """
    if not isinstance(model_id, str) or not TASK_ID.fullmatch(model_id):
        raise unknown_model(model_id)
    folder = store.home / FOLDER / model_id
    try:
        return read_record(folder, _FILE)
    except FileNotFoundError as error:
        raise unknown_model(model_id) from error
    except ValueError as error:
        raise HomeError(f"{folder / _FILE} is damaged ({error}); put it back from a copy, or remove the folder") from error


def all_models(connection: sqlite3.Connection, *, task: str | None = None) -> list[Record]:
    """Every model, or those that a task made, oldest first."""
    where, values = ("WHERE task = ?", [task]) if task is not None else ("", [])
    rows = connection.execute(f"SELECT record FROM models {where} ORDER BY created, id", values)  # noqa: S608  # one of two constants
    return [orjson.loads(text) for (text,) in rows]


def save_model(store: Store, connection: sqlite3.Connection, record: Record) -> None:
    """Write a model's record and its row in the index, in `Store.change`; makes the folder of a new model.

    Raises:
        ServerError: 400/12, a field is no JSON.
    """
    try:
        text = encode_record(record)
    except TypeError as error:
        raise ServerError(
            f"Validation error: a field of model {record['id']} is no JSON ({error})", code=400, subcode=12, endpoint=""
        ) from error
    folder = store.home / FOLDER / record["id"]
    store.announce(connection, f"{_MARK}{record['id']}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_record(folder, text, _FILE)
    _index(connection, record)


def remove_model(store: Store, connection: sqlite3.Connection, model_id: str) -> None:
    """Delete a model's folder and its row, in `Store.change`. The file that its `uri` names stays."""
    import shutil

    folder = store.home / FOLDER / model_id
    store.announce(connection, f"{_MARK}{model_id}")
    (folder / _FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    connection.execute("DELETE FROM models WHERE id = ?", [model_id])


def file_in_home(store: Store, uri: object) -> Path | None:
    """The file of a model that stands in this home, in the folder of a task or beside all others; None for any other place."""
    if not isinstance(uri, str) or not uri.startswith(HOME_URL):
        return None
    path = (store.home / uri.removeprefix(HOME_URL)).resolve()  # a uri comes from clients: it must not lead elsewhere
    parts = path.relative_to(store.home).parts if path.is_relative_to(store.home) else ()
    is_file_of_task = len(parts) > 3 and parts[0] == "tasks" and parts[2] == "files"
    return path if is_file_of_task or (len(parts) > 1 and parts[0] == "files") else None


def remove_file(store: Store, connection: sqlite3.Connection, uri: object) -> None:
    """Remove the file of a model that is gone, if it stands in this home and no other model has it."""
    path = file_in_home(store, uri)
    if path is not None and connection.execute("SELECT 1 FROM models WHERE uri = ?", [uri]).fetchone() is None:
        path.unlink(missing_ok=True)


def index_again(connection: sqlite3.Connection, home: Path, marked: str) -> None:
    """Bring a model's row to what its folder says, after a process was killed while it changed it."""
    model_id = marked.removeprefix(_MARK)
    try:
        _index(connection, read_record(home / FOLDER / model_id, _FILE))
    except FileNotFoundError:
        connection.execute("DELETE FROM models WHERE id = ?", [model_id])


def index_all(connection: sqlite3.Connection, home: Path) -> None:
    """Index every model anew; one that cannot be read is left out and named."""
    connection.execute("DELETE FROM models")
    folders = sorted((home / FOLDER).iterdir()) if (home / FOLDER).is_dir() else []
    for folder in folders:
        try:
            record = read_record(folder, _FILE)
            if record["id"] != folder.name:
                raise ValueError(f"the record is of model {record['id']}")
            _settle_project(connection, folder, record)
            _index(connection, record)
        except (ValueError, KeyError, OSError, sqlite3.IntegrityError) as error:
            _logger.warning("%s is left out of the index, its model.json cannot be used: %s", folder, error)


def _settle_project(connection: sqlite3.Connection, folder: Path, record: Record) -> None:
    if not record.get("project"):
        return
    held = ensure_project(connection, record.get("project_name") or record["project"], record["project"])
    if held != record["project"]:  # a folder from another home: a project is known by its name
        record["project"] = held
        write_record(folder, encode_record(record), _FILE)


def _index(connection: sqlite3.Connection, record: Record) -> None:
    row: list[Any] = [record.get(key) for key in ("id", "task", "uri", "created")]
    connection.execute("INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?)", [*row, orjson.dumps(record).decode()])
