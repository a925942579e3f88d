"""What an operator does with a file, also with one that is in use, and with one that is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pexecutor import Ending, Finished, Outcome, Pending, Task
from pexecutor.errors import UnusableStoreError
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.inspection import Findings, back_up, check, save

TASKS = 3000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pexecutor.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(path)
    database.open()
    database.write([Pending(serial, Task(f"task-{serial}"), 0.5, ()) for serial in range(1, TASKS)], [], TASKS)
    database.write([Finished(TASKS, Task("ended"), 0.5, (), 1.0, Ending(Outcome.SUCCEEDED))], [], TASKS)
    yield database
    database.close()


@pytest.fixture
def damaged(database: Database, path: Path) -> Path:
    """A file with a page in its middle that makes no sense."""
    database.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)
    return path


def names(path: Path, findings: Findings) -> list[str]:
    return [record.task.name for record in save(path, findings)]


def test_a_file_that_is_whole(database: Database, path: Path) -> None:
    assert check(path) == Findings(TASKS - 1, 1, [])
    database.close()
    assert check(path) == Findings(TASKS - 1, 1, [])


def test_tasks_in_flight_are_saved_in_order(database: Database, path: Path) -> None:
    findings = Findings()
    assert names(path, findings) == [f"task-{serial}" for serial in range(1, TASKS)]
    assert not findings.faults


def test_damage_is_found(damaged: Path) -> None:
    assert check(damaged).faults


def test_what_lies_before_and_behind_the_damage_is_saved(damaged: Path) -> None:
    findings = Findings()
    saved = names(damaged, findings)
    assert saved[0] == "task-1"
    assert saved[-1] == f"task-{TASKS - 1}"
    assert TASKS * 0.9 < len(saved) < TASKS - 1
    assert sorted(saved, key=lambda name: int(name.split("-")[1])) == saved
    assert len(findings.faults) == 2


def test_a_row_that_makes_no_sense_is_passed_over(database: Database, path: Path) -> None:
    database._connection.execute("UPDATE tasks SET task = '{}' WHERE serial = 5")
    findings = Findings()
    assert len(names(path, findings)) == TASKS - 2
    assert findings.faults == ["task number 5 cannot be read: `name` is required"]
    assert check(path).faults == findings.faults


def test_a_copy_is_a_file_to_go_on_with(database: Database, path: Path, tmp_path: Path) -> None:
    back_up(path, tmp_path / "copy.db")
    database.write([Pending(TASKS + 1, Task("later"), 0.5, ())], [], TASKS + 1)
    copy = Database(tmp_path / "copy.db")
    assert copy.open().acceptances == TASKS
    assert sum(len(some) for some in copy.records()) == TASKS
    copy.close()


def test_a_copy_takes_the_place_of_nothing(database: Database, path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("mine")
    with pytest.raises(UnusableStoreError, match="exists already"):
        back_up(path, copy)
    assert copy.read_text() == "mine"


def test_a_copy_that_cannot_be_written_leaves_nothing(database: Database, path: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableStoreError, match=r"copy\.db cannot be written: No such file or directory"):
        back_up(path, tmp_path / "nowhere" / "copy.db")
    assert sorted(file.name for file in tmp_path.iterdir() if "copy" in file.name) == []


def test_a_copy_can_be_made_while_somebody_writes(database: Database, path: Path, tmp_path: Path) -> None:
    database._connection.execute("BEGIN IMMEDIATE")
    database._connection.execute("DELETE FROM tasks")
    back_up(path, tmp_path / "copy.db")
    database._connection.execute("ROLLBACK")
    assert check(tmp_path / "copy.db") == Findings(TASKS - 1, 1, [])


Act = Callable[[Path], object]

ACTS: list[Act] = [
    check,
    lambda path: list(save(path, Findings())),
    lambda path: back_up(path, path.with_name("copy.db")),
]


@pytest.mark.parametrize("act", ACTS, ids=["check", "save", "back_up"])
class TestNoFileOfOurs:
    def test_there_is_none(self, path: Path, act: Act) -> None:
        with pytest.raises(UnusableStoreError, match=r"there is no file .*: name the directory with --data-dir"):
            act(path)
        assert not path.exists()

    def test_it_is_no_database(self, path: Path, act: Act) -> None:
        path.write_bytes(b"this is no database at all, " * 100)
        with pytest.raises(UnusableStoreError, match="cannot be read: it is damaged from its first page on"):
            act(path)

    def test_it_is_another_programs(self, path: Path, act: Act) -> None:
        with closing(sqlite3.connect(path)) as file:
            file.execute("CREATE TABLE theirs (x)")
        with pytest.raises(UnusableStoreError, match="belongs to another program"):
            act(path)
