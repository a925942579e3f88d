"""Deliveries go along with the tasks: all of them, with their attempts, to one place only."""

from __future__ import annotations

from pathlib import Path

import pytest

from pexecutor import Ending, Outcome, Record, Task
from pexecutor.stores import Store, Watcher
from pexecutor.stores.deliveries import Delivery, EndNotice
from pexecutor.stores.sqlite.database import connect
from pexecutor.task import Brings

from .test_move import full, here, move_files, move_mortally, serving, there, undo_files

__all__ = ["full", "here", "there"]

MANY = 10_000


async def deliveries_of(store: Store) -> list[Delivery]:
    return [delivery for target in ("chat", "ops") for delivery in await store.deliveries.page(target, MANY)]


async def deliveries_in(path: Path) -> list[Delivery]:
    async with serving(path) as store:
        return await deliveries_of(store)


@pytest.fixture
async def notified(full: list[Record], here: Path) -> list[Delivery]:
    """The deliveries of a store that also has tasks: one of them was attempted."""
    async with serving(here) as store:
        store.watch(Watcher(brings=lambda _: Brings(succeeded=("ops", "chat"))))
        await store.submit([Task("moved", priority=100), Task("waits", priority=-100)])
        [running] = await store.claim(1)
        await store.finish([(running, Ending(Outcome.SUCCEEDED))])
        [taken] = (await store.deliveries.take(["chat"], 60)).deliveries
        await store.deliveries.put_off(taken, 600)
        return await deliveries_of(store)


async def test_they_go_as_they_are(notified: list[Delivery], here: Path, there: Path) -> None:
    assert [delivery.attempts for delivery in notified] == [1, 0]
    assert (await move_files(here, there, dry_run=True)).deliveries == 2
    assert (await move_files(here, there)).deliveries == 2
    assert await deliveries_in(there) == notified
    await move_files(there, here)
    assert await deliveries_in(here) == notified


async def test_a_task_takes_its_targets_along(notified: list[Delivery], here: Path, there: Path) -> None:
    await move_files(here, there)
    async with serving(there) as store:
        await finish_all(store)
        names = [d.notice.name for d in await store.deliveries.page("ops", MANY) if isinstance(d.notice, EndNotice)]
    assert names == ["moved", "waits"]


async def finish_all(store: Store) -> None:
    while store.statistics().pending:
        started = await store.claim(100)
        await store.finish([(running, Ending(Outcome.SUCCEEDED)) for running in started])


async def test_new_ids_are_given_to_deliveries_too(notified: list[Delivery], here: Path, there: Path) -> None:
    async with serving(there) as store:
        await store.submit([Task("theirs")])
        await finish_all(store)
    await move_files(here, there, new_ids=True, history=True)
    async with serving(there) as store:
        chat, ops = await deliveries_of(store)
        assert isinstance(chat.notice, EndNotice)
        assert (await store.get(chat.notice.task_id)).task.name == "moved"
        [accepted] = await store.submit([Task("new")])
        assert accepted.verdict == "accepted"
        assert accepted.record.serial > max(chat.serial, ops.serial)


@pytest.mark.parametrize("step", range(1, 8))
async def test_cut_short_they_are_in_one_place(notified: list[Delivery], here: Path, there: Path, step: int) -> None:
    await move_mortally(here, there, step)
    if step < 7:
        await move_files(here, there)
    assert await deliveries_in(there) == notified


async def test_an_undone_move_leaves_them(notified: list[Delivery], here: Path, there: Path) -> None:
    await move_mortally(here, there, 3)
    await undo_files(here, there)
    assert await deliveries_in(here) == notified


async def test_what_cannot_be_read_is_set_aside(notified: list[Delivery], here: Path, there: Path) -> None:
    connection = connect(here)
    connection.execute("UPDATE deliveries SET notice = '{}' WHERE target = 'chat'")
    connection.close()
    assert (await move_files(here, there)).deliveries == 1
    connection = connect(here)
    assert connection.execute("SELECT target FROM damaged_deliveries").fetchall() == [("chat",)]
    connection.close()
    assert [delivery.target for delivery in await deliveries_in(there)] == ["ops"]
