"""The index's tables and how they came to be: an ordered list of migrations, each run once, in one transaction with its version number."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

MIGRATIONS: Final[Sequence[Sequence[str]]] = (
    # 1: everything here but `projects` can be rebuilt from the task folders.
    (
        # `sequence` counts changes of task folders; compared with the `writing` mark it tells whether the index missed one.
        "CREATE TABLE state (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO state VALUES ('sequence', 0)",
        "CREATE TABLE projects (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record TEXT NOT NULL) WITHOUT ROWID",
        # `brief` is the record without its embedded documents: what lists, filters and status polls ask for.
        """CREATE TABLE tasks (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, project TEXT, status TEXT NOT NULL, type TEXT NOT NULL, parent TEXT, user TEXT,
            created TEXT NOT NULL, last_update TEXT NOT NULL, last_iteration INTEGER NOT NULL DEFAULT 0, brief TEXT NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX tasks_by_project ON tasks (project, created)",
        """CREATE TABLE metrics (
            task TEXT NOT NULL, title TEXT NOT NULL, series TEXT NOT NULL, count INTEGER NOT NULL,
            first REAL NOT NULL, first_iteration INTEGER NOT NULL, last REAL NOT NULL, last_iteration INTEGER NOT NULL,
            min REAL NOT NULL, min_iteration INTEGER NOT NULL, max REAL NOT NULL, max_iteration INTEGER NOT NULL,
            single REAL, single_time REAL,
            PRIMARY KEY (task, title, series)
        ) WITHOUT ROWID""",
        # `bytes`: how much of the chunk file is indexed.
        """CREATE TABLE streams (
            task TEXT NOT NULL, kind TEXT NOT NULL, bytes INTEGER NOT NULL, rows INTEGER NOT NULL,
            PRIMARY KEY (task, kind)
        ) WITHOUT ROWID""",
        # Neighbouring spans are kept as one row, so that a run of a million chunks has a handful.
        """CREATE TABLE spans (
            task TEXT NOT NULL, kind TEXT NOT NULL, journal TEXT NOT NULL, stream TEXT NOT NULL,
            first INTEGER NOT NULL, last INTEGER NOT NULL,
            PRIMARY KEY (task, kind, journal, stream, first)
        ) WITHOUT ROWID""",
    ),
    # 2: queues, which like projects are nowhere else. A task stands in one queue at most; `place` is its turn.
    (
        "CREATE TABLE queues (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record TEXT NOT NULL) WITHOUT ROWID",
        """CREATE TABLE entries (
            place INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, task TEXT NOT NULL UNIQUE, added TEXT NOT NULL
        )""",
    ),
    # 3: a queue to begin with, as every server has one.
    (
        "INSERT OR IGNORE INTO queues VALUES (lower(hex(randomblob(16))), 'default', '')",
        """UPDATE queues SET record = json_object(
            'id', id, 'name', name, 'user', 'local', 'company', 'local', 'tags', json_array(), 'system_tags', json_array('default'),
            'created', strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'), 'last_update', strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')
        ) WHERE record = ''""",
    ),
    # 4: models, which can be rebuilt from their folders.
    (
        "CREATE TABLE models (id TEXT PRIMARY KEY, task TEXT, uri TEXT, created TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID",
        "CREATE INDEX models_by_task ON models (task)",
        "CREATE INDEX models_by_uri ON models (uri)",
    ),
)


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of an index; 0 when it is new."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> int:
    """Bring the index to the newest version, inside the caller's transaction, and return the version it had."""
    found = version_of(connection)
    for version, statements in enumerate(migrations[found:], start=found + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version:d}")  # a pragma takes no parameters; part of the transaction all the same
    return found
