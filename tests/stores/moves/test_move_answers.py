"""Remembered answers move with the tasks, so a repeated request submits nothing in the new store either."""

from __future__ import annotations

from pathlib import Path

import pytest

from pexecutor import Accepted, ExpiredTaskError, LocalStore, Task
from pexecutor.conformance.asking import accept, end, start
from pexecutor.conformance.requests import DIGEST, key
from pexecutor.stores.answers import Answer, ShortVerdict
from pexecutor.stores.moves.move import Terms
from pexecutor.stores.moves.sqlite_side import FileSide
from pexecutor.task import format_task_id, make_serial, parse_task_id

from .test_move import everything, move_files, move_mortally, serving


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here.db"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there.db"


async def fill(store: LocalStore) -> Answer:
    """Submit three tasks with a key, one of which is a duplicate, and end one; return the answer."""
    await accept(store, Task("held"))
    verdicts = await store.answers.submit(key("1"), DIGEST, [Task("a"), Task("held"), Task("ended", priority=1)])
    assert not isinstance(verdicts, Answer)
    assert [isinstance(verdict, Accepted) for verdict in verdicts] == [True, False, True]
    [running] = await start(store)
    await end(store, running)
    answer = await store.answers.remembered(key("1"))
    assert answer is not None
    return answer


async def test_they_move_as_they_are(here: Path, there: Path) -> None:
    async with serving(here) as store:
        answer = await fill(store)
    await move_files(here, there)
    async with serving(there) as store:
        before = await everything(store)
        assert await store.answers.submit(key("1"), b"", [Task("another")]) == answer
        assert await everything(store) == before
    source = FileSide(here, must_exist=True)
    async with source.opened():
        assert not await source.answers()


async def test_they_get_the_new_ids(here: Path, there: Path) -> None:
    async with serving(there) as store:
        [theirs] = await accept(store, Task("theirs"))
        await store.cancel(theirs.id)
        await store.answers.submit(key("2"), DIGEST, [Task("theirs", delay=1, keep=0)])
        for record in (await everything(store))[:1]:
            await store.cancel(record.id)
    async with serving(here) as store:
        await fill(store)
    await move_files(here, there, new_ids=True)
    async with serving(there) as store:
        tag = (parse_task_id(theirs.id) or 0) >> 40
        answer = await store.answers.remembered(key("1"))
        assert answer is not None
        a, held, ended = answer.verdicts
        assert [a.verdict, held.verdict, ended.verdict] == ["accepted", "duplicate", "accepted"]
        assert a.id is not None
        assert (await store.get(a.id)).task.name == "a"
        assert held.id is not None
        assert (await store.get(held.id)).task.name == "held"
        assert ended == ShortVerdict("accepted", make_serial(tag, 5))
        with pytest.raises(ExpiredTaskError):
            await store.get(format_task_id(ended.serial))
        [new] = await accept(store, Task("new"))
        assert new.serial == make_serial(tag, 6), "no other task gets the id of the task that was left behind"
        assert await store.answers.remembered(key("2")) is not None


@pytest.mark.parametrize("step", range(1, 7))
async def test_cut_short_they_are_in_one_place(here: Path, there: Path, step: int) -> None:
    async with serving(here) as store:
        answer = await fill(store)
    assert not await move_mortally(here, there, step)
    assert await move_mortally(here, there, 0)
    async with serving(there) as store:
        assert await store.answers.remembered(key("1")) == answer


async def test_a_file_of_an_older_form_has_none(here: Path) -> None:
    source = FileSide(here, must_exist=False)
    async with source.opened():
        assert await source.answers() == []
    assert Terms().history is False
