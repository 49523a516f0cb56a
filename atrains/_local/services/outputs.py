"""What becomes of the models that a task made when the task is published, reset or deleted."""

from __future__ import annotations

import sqlite3

from atrains._local import models, query
from atrains._local.records import Record, now
from atrains._local.store import Store
from atrains.errors import ServerError


def publish_model(store: Store, connection: sqlite3.Connection, record: Record) -> None:
    """Make a model ready."""
    record |= {"ready": True, "last_update": now()}
    models.save_model(store, connection, record)


def publish_last(store: Store, connection: sqlite3.Connection, task: Record) -> None:
    """Publish the output model of a task that is published. Server: the last one, if it is there and not ready."""
    held = (task.get("models") or {}).get("output") or []
    if not held:
        return
    try:
        record = models.read_model(store, held[-1].get("model"))
    except ServerError:  # Server: the id of a task's model is not checked
        return
    if not record.get("ready"):
        publish_model(store, connection, record)


def check_removable(connection: sqlite3.Connection, task: str, *, force: bool) -> None:
    """Refuse to reset or delete a task that made models which are published. Server: unless it is forced.

    Raises:
        ServerError: 400/123.
    """
    published = [str(record["id"]) for record in models.all_models(connection, task=task) if record.get("ready")]
    if published and not force:
        raise query.refuse(
            123, f"Task cannot be deleted or reset: task={task}, it has published models: {', '.join(published)}; use force to do so"
        )


def check_files(store: Store, connection: sqlite3.Connection, task: str, *, drafts_go: bool) -> None:
    """Refuse to delete a task whose folder has the file of a model that is to stay.

    Raises:
        ServerError: 400/123.
    """
    folder = store.task_folder(task)
    for record in models.all_models(connection):
        stays = record.get("ready") or record.get("task") != task or not drafts_go
        path = models.file_in_home(store, record.get("uri"))
        if stays and path is not None and path.is_relative_to(folder) and path.exists():
            raise query.refuse(
                123, f"Task cannot be deleted: task={task}, the file of model {record['id']} is in its folder; delete that model first"
            )


def remove_drafts(store: Store, connection: sqlite3.Connection, task: str) -> list[str]:
    """Delete the models of a task that are not published, and return where their files are; those in this home go with them."""
    uris: list[str] = []
    for record in models.all_models(connection, task=task):
        if not record.get("ready"):
            models.remove_model(store, connection, record["id"])
            models.remove_file(store, connection, record.get("uri"))
            uris += [record["uri"]] if record.get("uri") else []
    return uris


def let_go(store: Store, connection: sqlite3.Connection, task: str) -> int:
    """Take a task that is deleted from the models that it made and that stay; returns how many."""
    kept = models.all_models(connection, task=task)
    for record in kept:
        record.pop("task")
        models.save_model(store, connection, record)
    return len(kept)
