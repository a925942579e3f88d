"""The tables of a store's file, and the migration of a file of an older version.

``MIGRATIONS`` is the whole history: the statements of entry *n* take a file from version *n* to *n + 1*; an empty file
has version 0. A released entry is never changed; every change is a new entry. A file of a newer version is refused,
because the meaning of its columns is not known here.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from ...errors import UnusableStoreError

APPLICATION_ID: Final = 0x70657865
"""``pexe``, in the header of the file: distinguishes it from other programs' SQLite files."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
        CREATE TABLE tasks (
            serial       INTEGER PRIMARY KEY,
            state        TEXT NOT NULL,
            submitted_at REAL NOT NULL,
            at           REAL,
            task         TEXT NOT NULL,
            attempts     TEXT,
            follows      INTEGER,
            supersedes   INTEGER,
            ending       TEXT,
            result       BLOB,
            output       BLOB
        ) STRICT
        """,
        """
        CREATE TABLE store (
            tag          INTEGER NOT NULL,
            acceptances  INTEGER NOT NULL,
            transactions INTEGER NOT NULL
        ) STRICT
        """,
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
    (
        """
        CREATE TABLE moves (
            move         TEXT PRIMARY KEY,
            role         TEXT NOT NULL,
            other        TEXT NOT NULL,
            history      INTEGER NOT NULL
        ) STRICT
        """,
    ),
    (
        "ALTER TABLE tasks ADD COLUMN rare TEXT",
        "ALTER TABLE store ADD COLUMN in_use INTEGER NOT NULL DEFAULT 0",
        """
        CREATE TABLE damaged (
            found_at REAL, reason TEXT,
            serial, state, submitted_at, at, task, attempts, follows, supersedes, ending, result, output, rare
        )
        """,
    ),
    (
        """
        CREATE TABLE schedules (
            name         TEXT PRIMARY KEY,
            definition   TEXT NOT NULL,
            owner        TEXT NOT NULL,
            paused       INTEGER NOT NULL,
            generation   INTEGER NOT NULL,
            next_at      REAL,
            next_due_at  REAL,
            occurrences  TEXT NOT NULL
        ) STRICT
        """,
        "ALTER TABLE store ADD COLUMN generations INTEGER NOT NULL DEFAULT 0",
        """
        CREATE TABLE damaged_schedules (
            found_at REAL, reason TEXT,
            name, definition, owner, paused, generation, next_at, next_due_at, occurrences
        )
        """,
        """
        CREATE TABLE answers (
            kind         TEXT NOT NULL,
            scope        TEXT NOT NULL,
            key          TEXT NOT NULL,
            digest       BLOB NOT NULL,
            at           REAL NOT NULL,
            verdicts     BLOB NOT NULL,
            PRIMARY KEY (kind, scope, key)
        ) STRICT
        """,
        """
        CREATE TABLE damaged_answers (
            found_at REAL, reason TEXT,
            kind, scope, key, digest, at, verdicts
        )
        """,
    ),
    (
        """
        CREATE TABLE deliveries (
            serial       INTEGER PRIMARY KEY,
            target       TEXT NOT NULL,
            made_at      REAL NOT NULL,
            due_at       REAL NOT NULL,
            attempts     INTEGER NOT NULL,
            notice       TEXT NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE damaged_deliveries (
            found_at REAL, reason TEXT,
            serial, target, made_at, due_at, attempts, notice
        )
        """,
    ),
    (
        """
        CREATE TABLE limits (
            kind         TEXT NOT NULL,
            name         TEXT NOT NULL,
            number       INTEGER,
            since        REAL,
            by           TEXT,
            PRIMARY KEY (kind, name)
        ) STRICT
        """,
        """
        CREATE TABLE damaged_limits (
            found_at REAL, reason TEXT,
            kind, name, number, since, by
        )
        """,
    ),
)

_MARKS_VERSION: Final = 2
_RARE_VERSION: Final = 3


class SqliteConnection(Protocol):
    """The used part of a ``sqlite3.Connection`` in autocommit mode."""

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, sql: str, parameters: Any = (), /) -> Any: ...

    def executemany(self, sql: str, parameters: Any, /) -> Any: ...

    def close(self) -> None: ...


def migrate(connection: SqliteConnection, name: str) -> None:
    """Bring a file to the version of this program, each version in its own transaction.

    Parameters:
        connection: the file, in autocommit mode.
        name: the name of the file in messages.

    Raises:
        UnusableStoreError: the file has a newer version, or belongs to another program.
    """
    check_version(connection, name)
    for version in range(_pragma(connection, "user_version"), len(MIGRATIONS)):
        connection.execute("BEGIN IMMEDIATE")
        for statement in MIGRATIONS[version]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")


def check_version(connection: SqliteConnection, name: str) -> None:
    """Raise ``UnusableStoreError`` if a file has a newer version, or belongs to another program."""
    version = _pragma(connection, "user_version")
    is_empty = not version and not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not is_empty and _pragma(connection, "application_id") != APPLICATION_ID:
        raise UnusableStoreError(f"{name} belongs to another program: use another --data-dir or --store")
    if version > len(MIGRATIONS):
        raise UnusableStoreError(
            f"{name} was written by a newer pexecutor (format {version}; this one reads formats up to "
            f"{len(MIGRATIONS)}): start the newer pexecutor"
        )


def has_marks(connection: SqliteConnection) -> bool:
    """Return whether a file has the table that records moves."""
    return _pragma(connection, "user_version") >= _MARKS_VERSION


def has_rare(connection: SqliteConnection) -> bool:
    """Return whether a file has the column for the rare facts of tasks."""
    return _pragma(connection, "user_version") >= _RARE_VERSION


def version_of(connection: SqliteConnection) -> int:
    """Return the version of a file."""
    return _pragma(connection, "user_version")


def _pragma(connection: SqliteConnection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
