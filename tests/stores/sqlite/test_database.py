"""A store's file: what was written is there again, whole or not at all; and what cannot be used is refused."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest

from pexecutor import Ending, Finished, Outcome, Pending, Record, Running, StoreUnavailableError, Task
from pexecutor.errors import UnusableStoreError
from pexecutor.stores.sqlite import schema
from pexecutor.stores.sqlite.database import Database, write_again

from ...simulation.connection import connected
from ...simulation.disk import FakeDisk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "down" / "pexecutor.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(path)
    database.open()
    yield database
    database.close()


def pending(serial: int, name: str = "", **fields: object) -> Pending:
    return Pending(serial, Task(name or f"task-{serial}", **fields), 0.5, ())  # type: ignore[arg-type]


def everything(database: Database) -> list[Record]:
    return [record for some in database.records() for record in some]


@contextmanager
def opened_on(disk: FakeDisk) -> Iterator[Database]:
    database = Database(Path("/tasks.db"), connected=partial(connected, disk))
    try:
        database.open()
        yield database
    finally:
        database.close()


def test_what_was_written_is_there_again(path: Path) -> None:
    first = Database(path)
    tag = first.open().tag
    first.write([pending(2), pending(1)], [], 2)
    first.write([Running(1, pending(1).task, 0.5, (), 7.0)], [], 2)
    first.close()

    second = Database(path)
    assert second.open() == (tag, 2)
    assert everything(second) == [Running(1, pending(1).task, 0.5, (), 7.0), pending(2)]
    second.close()


def test_what_is_forgotten_is_gone(database: Database) -> None:
    database.write([pending(1), Finished(2, Task("b"), 0.5, (), 1.0, Ending(Outcome.SUCCEEDED))], [], 2)
    database.write([], [2, 77], 2)
    assert everything(database) == [pending(1)]


def test_a_new_file_is_for_its_owner_alone(database: Database, path: Path) -> None:
    assert path.parent.stat().st_mode & 0o077 == 0


def test_every_commit_is_flushed_unless_that_is_declined(tmp_path: Path) -> None:
    for durability, level in (("full", 2), ("normal", 1)):
        database = Database(tmp_path / durability, durability=durability)  # type: ignore[arg-type]
        database.open()
        assert database._connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert database._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        database.close()


class TestTrouble:
    """Nothing of a transaction that failed is there, and the next one goes through."""

    def test_a_full_disk(self, database: Database) -> None:
        database.write([pending(1)], [], 1)
        pages = database._connection.execute("PRAGMA page_count").fetchone()[0]
        database._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreUnavailableError, match=r"^the store cannot be written: the disk is full$"):
            database.write([pending(serial, params={"x": "x" * 9000}) for serial in range(2, 20)], [1], 20)
        assert everything(database) == [pending(1)]
        database._connection.execute("PRAGMA max_page_count = 100000")
        database.write([pending(2)], [], 2)
        assert everything(database) == [pending(1), pending(2)]

    def test_another_program_that_holds_the_file(
        self, database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database._connection.execute("PRAGMA busy_timeout = 1")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match="another program holds the file"):
                database.write([pending(1)], [], 1)
        database.write([pending(1)], [], 1)
        assert everything(database) == [pending(1)]

    def test_a_file_that_may_not_be_written(self, database: Database) -> None:
        database._connection.execute("PRAGMA query_only = 1")
        with pytest.raises(StoreUnavailableError, match="the file cannot be written to"):
            database.write([pending(1)], [], 1)
        database._connection.execute("PRAGMA query_only = 0")
        database.write([pending(1)], [], 1)

    def test_a_disk_that_fails_is_not_taken_for_a_good_one_because_there_is_nothing_to_write(self) -> None:
        disk = FakeDisk(Random(0))
        with opened_on(disk) as database:
            disk.fail("failing")
            with pytest.raises(StoreUnavailableError, match="the disk failed"):
                database.write([], [], 0)
            disk.mend()
            database.write([], [], 0)

    @pytest.mark.parametrize("operation", range(24))
    def test_what_an_earlier_life_could_not_flush_is_written_again(self, operation: int) -> None:
        """It looks written, to the next process too, and a power cut would take that one's work with it."""
        disk = FakeDisk(Random(0))
        disk.fail("failing", after=operation)
        with pytest.raises((StoreUnavailableError, UnusableStoreError)), opened_on(disk) as database:
            database.write([pending(1)], [], 1)
        disk.mend()
        with opened_on(disk) as database:
            database.write([pending(2)], [], 2)
            disk = disk.after_crash("none")
            with opened_on(disk) as after:
                assert pending(2) in everything(after)

    def test_a_log_is_written_again_as_it_is(self, database: Database, path: Path) -> None:
        database.write([pending(serial, params={"x": "x" * 200}) for serial in range(1, 9000)], [], 9000)
        log = path.with_name(f"{path.name}-wal")
        before = log.read_bytes()
        assert len(before) > 1024 * 1024
        write_again(log)
        assert log.read_bytes() == before
        write_again(path.with_name("nothing"))


class TestOneServer:
    def test_a_second_one_is_refused_with_the_pid_of_the_first(self, database: Database, path: Path) -> None:
        with pytest.raises(UnusableStoreError, match=f"in use by the server with pid {os.getpid()}: stop that server"):
            Database(path).open()
        database.write([pending(1)], [], 1)

    def test_the_file_is_free_once_it_is_closed(self, path: Path) -> None:
        for _ in range(2):
            database = Database(path)
            database.open()
            database.close()

    def test_the_file_is_free_once_its_process_is_dead(self, path: Path) -> None:
        program = (
            "import sys, os, pathlib; from pexecutor.stores.sqlite.database import Database;"
            "Database(pathlib.Path(sys.argv[1])).open(); os.kill(os.getpid(), 9)"
        )
        run = subprocess.run([sys.executable, "-c", program, str(path)], timeout=60, check=False)
        assert run.returncode == -9
        database = Database(path)
        database.open()
        database.close()


class TestVersions:
    def test_a_newer_file_is_refused(self, path: Path) -> None:
        database = Database(path)
        database.open()
        database.close()
        with closing(sqlite3.connect(path)) as file:
            file.execute("PRAGMA user_version = 99")
        with pytest.raises(UnusableStoreError, match=r"written by a newer pexecutor \(format 99"):
            Database(path).open()

    def test_an_older_file_is_brought_forward(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        old = Database(path)
        tag = old.open().tag
        old.write([pending(1)], [], 1)
        old.close()
        further = ("CREATE TABLE more (x INT) STRICT", "INSERT INTO more SELECT serial FROM tasks")
        monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, further))
        new = Database(path)
        assert new.open() == (tag, 1)
        assert everything(new) == [pending(1)]
        assert new._connection.execute("SELECT x FROM more").fetchall() == [(1,)]
        new.close()

    def test_a_migration_that_fails_changes_nothing(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        old = Database(path)
        old.open()
        old.write([pending(1)], [], 1)
        old.close()
        broken = ("DELETE FROM tasks", "CREATE TABLE tasks (x)")
        with monkeypatch.context() as patch:
            patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
            with pytest.raises(UnusableStoreError):
                Database(path).open()
        new = Database(path)
        new.open()
        assert everything(new) == [pending(1)]
        new.close()

    def test_another_programs_file_is_refused(self, path: Path) -> None:
        path.parent.mkdir(parents=True)
        with closing(sqlite3.connect(path)) as file:
            file.execute("CREATE TABLE theirs (x)")
        with pytest.raises(UnusableStoreError, match="belongs to another program"):
            Database(path).open()
        with closing(sqlite3.connect(path)) as file:
            assert file.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


class TestDamage:
    ADVICE = "run `pexecutor db check` for details, `pexecutor db export` to save its tasks"

    def test_what_is_no_file_of_ours(self, path: Path) -> None:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"this is no database at all, " * 100)
        with pytest.raises(UnusableStoreError, match=self.ADVICE):
            Database(path).open()

    def test_a_page_that_was_overwritten(self, path: Path) -> None:
        database = Database(path)
        database.open()
        database.write([pending(serial) for serial in range(1, 2000)], [], 2000)
        database.close()
        with path.open("r+b") as file:
            file.seek(4096 * 20)
            file.write(b"\xff" * 4096)
        broken = Database(path)
        broken.open()
        with pytest.raises(UnusableStoreError, match=self.ADVICE):
            everything(broken)
        broken.close()


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableStoreError, match=r"cannot be used: (Not a directory|File exists)"):
        Database(tmp_path / "file" / "pexecutor.db").open()
