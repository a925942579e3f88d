"""The fake disk under a real SQLite: what was acknowledged is there after any crash, and of the rest nothing but whole
transactions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from .connection import connect
from .disk import SURVIVES, Crash, Failure, FakeDisk, Survives

PATH = "/tasks.db"
TRANSACTIONS = 12
ROWS = 3


class Writer:
    """Commits one transaction after the other, and knows which ones were acknowledged."""

    def __init__(self, disk: FakeDisk) -> None:
        self.disk = disk
        self.acknowledged: list[int] = []
        self.in_doubt: set[int] = set()  # failed, and nothing was acknowledged since

    def run(self) -> None:
        self.database = connect(self.disk, PATH)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = FULL")
        self.database.execute("PRAGMA wal_autocheckpoint = 8")
        self.database.execute("CREATE TABLE IF NOT EXISTS rows (txn INTEGER, row INTEGER, fill TEXT) STRICT")
        for number in range(TRANSACTIONS):
            self.in_doubt.add(number)
            try:
                self.commit(number)
            except sqlite3.OperationalError:
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")
            else:
                self.acknowledged.append(number)
                self.in_doubt.clear()
        self.database.close()

    def commit(self, number: int) -> None:
        self.database.execute("BEGIN IMMEDIATE")
        rows = [(number, row, f"{number}" * 1500) for row in range(ROWS)]
        self.database.executemany("INSERT INTO rows VALUES (?, ?, ?)", rows)
        self.database.execute("COMMIT")


def found_on(disk: FakeDisk) -> list[int]:
    """The transactions on a disk; each is there whole."""
    database = connect(disk, PATH)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    if not database.execute("SELECT * FROM sqlite_schema").fetchone():
        return []
    found = database.execute("SELECT txn, count(*) FROM rows GROUP BY txn ORDER BY txn").fetchall()
    assert {rows for _, rows in found} <= {ROWS}, "a transaction is there whole or not at all"
    database.close()
    return [number for number, _ in found]


def assert_kept(writer: Writer, disk: FakeDisk) -> None:
    more = set(found_on(disk)) - set(writer.acknowledged)
    assert set(found_on(disk)) >= set(writer.acknowledged), "what was acknowledged is there"
    assert len(more) <= 1
    assert more <= writer.in_doubt, "of the rest, only what was under way"


def operations_of_a_run() -> int:
    disk = FakeDisk(Random(0))
    writer = Writer(disk)
    writer.run()
    operations = disk.operations
    assert writer.acknowledged == found_on(disk) == list(range(TRANSACTIONS))
    return operations


@pytest.mark.parametrize("survives", SURVIVES)
def test_a_crash_at_any_write_or_sync_keeps_what_was_acknowledged(survives: Survives) -> None:
    operations = operations_of_a_run()
    assert operations > 100
    kept = set()
    for operation in range(1, operations + 1):
        for seed in range(5 if survives == "some" else 1):
            disk = FakeDisk(Random(seed))
            disk.crash_at(operation)
            writer = Writer(disk)
            with suppress(Crash):
                writer.run()
            assert disk.crashed
            after = disk.after_crash(survives)
            assert_kept(writer, after)
            kept.add(len(writer.acknowledged))
    assert kept == set(range(TRANSACTIONS + 1)), "the crashes met every transaction"


@pytest.mark.parametrize("survives", SURVIVES)
@pytest.mark.parametrize("failure", ["full", "failing"])
def test_failures_cost_whole_transactions_and_no_acknowledged_one(failure: Failure, survives: Survives) -> None:
    met = 0
    for operation in range(20, operations_of_a_run()):
        for failures in (1, 2, 9):
            disk = FakeDisk(Random(operation))
            disk.fail(failure, after=operation, operations=failures)
            disk.crash_at(operation + failures + Random(operation).randint(1, 12))
            writer = Writer(disk)
            with suppress(Crash):
                writer.run()
            met += bool(writer.acknowledged) and len(writer.acknowledged) <= max(writer.acknowledged)
            assert_kept(writer, disk.after_crash(survives))
    assert met >= 5, "there were transactions that failed and later ones that did not"


def test_a_disk_that_is_mended_takes_what_it_refused() -> None:
    disk = FakeDisk(Random(0))
    database = connect(disk, PATH)
    database.execute("CREATE TABLE t (a)")
    disk.fail("full")
    with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
        database.execute("INSERT INTO t VALUES (1)")
    disk.mend()
    database.execute("INSERT INTO t VALUES (2)")
    assert database.execute("SELECT a FROM t").fetchall() == [(2,)]


def test_what_was_not_synced_is_kept_lost_or_torn() -> None:
    found: set[tuple[Survives, int]] = set()
    for seed, survives in enumerate(SURVIVES * 30):
        disk = FakeDisk(Random(seed))
        database = connect(disk, PATH)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE rows (txn INTEGER, row INTEGER, fill TEXT)")
        database.execute("PRAGMA synchronous = NORMAL")
        for number in range(3):
            database.execute("BEGIN")
            database.executemany("INSERT INTO rows VALUES (?, ?, 'x')", [(number, row) for row in range(ROWS)])
            database.execute("COMMIT")
        found.add((survives, len(found_on(disk.after_crash(survives)))))
    assert {("all", 3), ("none", 0)} <= found
    assert len(found) > 3, "something between the two"


def test_the_same_seed_leaves_the_same_disk() -> None:
    contents = set()
    for _ in range(3):
        disk = FakeDisk(Random(5))
        database = connect(disk, PATH)
        database.execute("CREATE TABLE t (a)")
        disk.fail("failing", after=6, operations=2)
        with pytest.raises(sqlite3.OperationalError):
            database.execute("INSERT INTO t VALUES (zeroblob(20000))")
        contents.add(disk.after_crash("some").content(PATH))
    assert len(contents) == 1


Break = Callable[[sqlite3.Connection], object]
ERRORS: dict[str, Break] = {
    "no such table": lambda database: database.execute("SELECT * FROM nowhere"),
    "a syntax error": lambda database: database.execute("SELEKT"),
    "not unique": lambda database: database.executemany("INSERT INTO t VALUES (?)", [(1,), (1,)]),
    "empty": lambda database: database.execute("INSERT INTO t VALUES (NULL)"),
    "nested": lambda database: database.execute("BEGIN").execute("BEGIN"),
}


@pytest.mark.parametrize("what", ERRORS)
def test_errors_are_those_of_the_standard_library(what: str) -> None:
    raised = []
    for database in (connect(FakeDisk(Random(0)), PATH), sqlite3.connect(":memory:", isolation_level=None)):
        database.execute("CREATE TABLE t (a INT NOT NULL, UNIQUE (a))")
        with pytest.raises(sqlite3.Error) as caught:
            ERRORS[what](database)
        error = caught.value
        raised.append((type(error), error.sqlite_errorcode, error.sqlite_errorname, str(error)))
        database.close()
    assert raised[0] == raised[1]


def test_what_is_no_database_is_told_as_by_the_standard_library() -> None:
    disk = FakeDisk(Random(0))
    disk.overwrite(PATH, b"this is not what it should be" * 500)
    with pytest.raises(sqlite3.DatabaseError, match="file is not a database") as caught:
        connect(disk, PATH).execute("SELECT * FROM sqlite_schema")
    assert caught.value.sqlite_errorname == "SQLITE_NOTADB"


def test_rows_are_read_as_from_the_standard_library() -> None:
    read = []
    for database in (connect(FakeDisk(Random(0)), PATH), sqlite3.connect(":memory:", isolation_level=None)):
        database.execute("BEGIN")
        database.execute("CREATE TABLE t (a, b)")
        written = database.executemany("INSERT INTO t VALUES (?, ?)", [(number, f"{number}") for number in range(10)])
        rows = database.execute("SELECT a, b FROM t WHERE a > :least", {"least": 1})
        read.append([written.rowcount, database.in_transaction, rows.fetchone(), rows.fetchmany(3), list(rows)])
        database.execute("COMMIT")
        read[-1] += [database.in_transaction, database.total_changes, rows.fetchone(), rows.fetchall()]
        read[-1].append(database.execute("DELETE FROM t WHERE a < 4").rowcount)
        database.close()
    assert read[0] == read[1]
