"""A store's file under its server: locked by any of its names, missed when it is gone, and private."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from pexecutor import LocalStore, Pending, StoreUnavailableError, Task
from pexecutor.errors import UnusableStoreError
from pexecutor.stores.local.recovery import Recovered
from pexecutor.stores.moves.sqlite_side import FileSide
from pexecutor.stores.sqlite import inspection
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.file_lock import lock_file_of
from pexecutor.stores.sqlite.journal import SqliteJournal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    return directory / "pexecutor.db"


def pending(serial: int) -> Pending:
    return Pending(serial, Task(f"task-{serial}"), 0.5, ())


def symbolic_link(path: Path, other: Path) -> None:
    other.symlink_to(path)


def relative_link(path: Path, other: Path) -> None:
    other.symlink_to(Path(os.path.relpath(path, other.parent)))


def link_to_the_directory(path: Path, other: Path) -> None:
    other.parent.rmdir()
    other.parent.symlink_to(path.parent)


def hard_link(path: Path, other: Path) -> None:
    other.hardlink_to(path)


LINKS = [symbolic_link, relative_link, link_to_the_directory, hard_link]
Link = Callable[[Path, Path], None]


@pytest.mark.parametrize("link", LINKS)
async def test_a_file_has_one_user_whatever_it_is_called(path: Path, tmp_path: Path, link: Link) -> None:
    first = Database(path)
    first.open()
    other = tmp_path / "elsewhere" / path.name
    other.parent.mkdir()
    link(path, other)
    with pytest.raises(UnusableStoreError, match="is in use by"):
        Database(other).open()
    with pytest.raises(UnusableStoreError, match="is in use by"):
        inspection.vacuum(other)
    with pytest.raises(UnusableStoreError, match="is in use by"):
        async with FileSide(other, must_exist=True).opened():
            pass
    assert inspection.check(path).faults == []
    first.write([pending(1)], [], 1)
    first.close()
    second = Database(other)
    second.open()
    with pytest.raises(UnusableStoreError, match="is in use by"):
        first.open()
    second.close()


def test_the_lock_does_not_end_with_a_look_into_the_file(path: Path, tmp_path: Path) -> None:
    first = Database(path)
    first.open()
    inspection.back_up(path, tmp_path / "copy.db")
    with pytest.raises(UnusableStoreError, match="is in use by"):
        Database(path).open()
    first.close()


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[LocalStore]:
    store = LocalStore(journal=SqliteJournal(Database(path)))
    async with store.opened():
        yield store


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # a thread and a clock are looked at
            await trio.sleep(0.02)


def rename(file: Path, other: Path) -> None:
    file.rename(other)


def delete(file: Path) -> None:
    file.unlink()


def move_away(file: Path) -> None:
    file.rename(file.with_suffix(".away"))


def replace_by_a_copy(file: Path) -> None:
    shutil.copy(file, file.with_suffix(".copy"))
    file.with_suffix(".copy").replace(file)


def delete_the_directory(file: Path) -> None:
    shutil.rmtree(file.parent)


LOSSES = [delete, move_away, replace_by_a_copy, delete_the_directory]


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("lose", LOSSES)
async def test_a_file_that_is_lost_is_missed_by_the_next_submit(
    path: Path, suffix: str, lose: Callable[[Path], None]
) -> None:
    async with serving(path) as store:
        await store.submit([Task("a")])
        lose(path.with_name(path.name + suffix))
        with pytest.raises(StoreUnavailableError, match=f"{path.name}({suffix})? was .*: put the original file back"):
            await store.submit([Task("b")])
        assert "was" in (store.statistics().trouble or "")


async def test_it_is_missed_while_nobody_asks(path: Path) -> None:
    async with serving(path) as store:
        await store.submit([Task("a")])
        delete(path)
        await until(lambda: store.statistics().trouble is not None)


async def test_a_file_that_is_put_back_ends_the_trouble(path: Path) -> None:
    away = path.with_name("away")
    async with serving(path) as store:
        await store.submit([Task("a")])
        rename(path, away)
        with pytest.raises(StoreUnavailableError):
            await store.submit([Task("b")])
        rename(away, path)
        await until(lambda: store.statistics().trouble is None)
        await store.submit([Task("b")])
    assert inspection.check(path).in_flight == 2


async def test_nothing_is_acknowledged_when_the_file_goes_during_the_transaction(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Database._write

    def write_and_lose(self: Database, *arguments: object) -> object:
        written = write(self, *arguments)  # type: ignore[arg-type]
        path.rename(path.with_name("away"))
        return written

    async with serving(path) as store:
        monkeypatch.setattr(Database, "_write", write_and_lose)
        with pytest.raises(StoreUnavailableError):
            await store.submit([Task("a")])
        monkeypatch.undo()
        rename(path.with_name("away"), path)
        await until(lambda: store.statistics().trouble is None)
        await store.submit([Task("b")])
    assert inspection.check(path).in_flight == 1, "what was not acknowledged is not there"


def copy_of(path: Path, directory: Path) -> Path:
    """What a process that dies now leaves."""
    directory.mkdir()
    for file in path.parent.iterdir():
        shutil.copy(file, directory)
    return directory / path.name


def lose_the_end_of_the_log(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    os.truncate(log, log.stat().st_size - 3 * 4096)


def lose_the_log(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


@pytest.mark.parametrize(("lose", "is_missed"), [(lose_the_end_of_the_log, True), (lose_the_log, True), (None, False)])
async def test_a_log_whose_end_is_missing_is_told(
    path: Path, tmp_path: Path, lose: Callable[[Path], None] | None, is_missed: bool
) -> None:
    database = Database(path)
    database.open()
    for serial in range(1, 6):
        database.write([pending(serial)], [], serial)
    left = copy_of(path, tmp_path / "left")
    database.close()
    if lose is not None:
        lose(left)
    recovered: list[Recovered] = []
    for _ in range(2):
        store = LocalStore(journal=SqliteJournal(Database(left)), on_recovered=recovered.append)
        async with store.opened():
            pass
    assert (recovered[0].lost_transactions > 0) is is_missed
    assert recovered[1].lost_transactions == 0, "it is told once"


def modes(directory: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in directory.iterdir()}


@pytest.mark.parametrize("there_before", [False, True])
def test_the_files_are_for_their_owner_alone(path: Path, tmp_path: Path, there_before: bool) -> None:
    if there_before:
        database = Database(path)
        database.open()
        left = copy_of(path, tmp_path / "left")
        database.close()
        path = left
        for file in path.parent.iterdir():
            file.chmod(0o664)
    mask = os.umask(0)
    try:
        database = Database(path)
        database.open()
        database.write([pending(1)], [], 1)
        inspection.back_up(path, path.with_name("copy.db"))
        assert set(modes(path.parent)) == {
            path.name,
            "copy.db",
            *(path.name + end for end in ("-wal", "-shm", ".lock")),
        }
        if there_before:
            lock_file_of(path).chmod(0o600)
        assert set(modes(path.parent).values()) == {0o600}
        database.close()
    finally:
        os.umask(mask)


def test_a_file_of_another_program_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE theirs (x)")
    path.chmod(0o644)
    with pytest.raises(UnusableStoreError, match="belongs to another program"):
        Database(path).open()
    assert modes(path.parent)[path.name] == 0o644


def test_a_file_can_be_made_smaller(path: Path) -> None:
    database = Database(path)
    database.open()
    many = [pending(serial) for serial in range(1, 20_000)]
    database.write(many, [], 20_000)
    database.write([], [record.serial for record in many[1:]], 20_000)
    database.close()
    before, after = inspection.vacuum(path)
    assert after < before / 5
    assert after == path.stat().st_size
    assert inspection.check(path).in_flight == 1


def test_there_is_nothing_to_make_smaller(path: Path) -> None:
    with pytest.raises(UnusableStoreError, match="there is no file"):
        inspection.vacuum(path)
