"""The next life of a store on its file, in what the contract leaves open: clocks, counts, handlers, damage.

That what waited waits, what ran gets what it asked for and what ended is there, is in the suite for every store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pexecutor import (
    Accepted,
    Ending,
    ExpiredTaskError,
    Finished,
    LocalStore,
    Outcome,
    PageRequest,
    Pending,
    Record,
    Running,
    State,
    Task,
    UnknownTaskError,
)
from pexecutor.errors import UnusableStoreError
from pexecutor.server import unwrapped_unusable_store
from pexecutor.stores.local.recovery import Recovered
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.task import Rare

Live = Callable[..., AbstractAsyncContextManager[LocalStore]]


class Clock:
    """A wall clock that stands still unless it is told to go on."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live(tmp_path: Path, clock: Clock) -> Live:
    """One life of a store. What a life leaves in its file at the end is what it would leave if it died there."""

    @asynccontextmanager
    async def live(**settings: Any) -> AsyncIterator[LocalStore]:
        store = LocalStore(journal=SqliteJournal(Database(tmp_path / "pexecutor.db")), now=clock, **settings)
        async with store.opened():
            yield store

    return live


async def accept(store: LocalStore, *tasks: Task) -> list[str]:
    verdicts = await store.submit(tasks)
    assert all(isinstance(verdict, Accepted) for verdict in verdicts)
    return [verdict.record.id for verdict in verdicts if isinstance(verdict, Accepted)]


async def everything(store: LocalStore) -> list[Record]:
    return (await store.page(PageRequest())).records


async def test_what_became_due_meanwhile_is_pending(live: Live, clock: Clock) -> None:
    async with live() as store:
        await accept(store, Task("later", delay=60_000))
    clock.now += 100
    async with live() as store:
        assert [record.state for record in await everything(store)] == [State.PENDING]


async def test_more_than_the_bound_are_all_kept_when_the_bound_was_lowered(live: Live) -> None:
    async with live() as store:
        await accept(store, Task("a"), Task("b"), Task("c"))
    async with live(queue_size=1) as store:
        assert store.statistics().pending == 3
        assert [verdict.verdict for verdict in await store.submit([Task("d")])] == ["full"]


async def test_what_ran_is_run_again_with_its_attempts(live: Live, clock: Clock) -> None:
    async with live() as store:
        await accept(store, Task("a", retries=3, retry_delay=0), Task("b"))
        [a] = await store.claim(1)
        await store.finish([(a, Ending(Outcome.FAILED, "so"))])
        clock.now += 1
        [a] = await store.claim(1)
        assert len(a.attempts) == 1
    async with live() as store:
        assert await everything(store) == [
            Pending(a.serial, a.task, a.submitted_at, a.attempts, rare=Rare(crashes=1)),
            *(record for record in await everything(store) if record.task.name == "b"),
        ]
        [again] = await store.claim(1)
        assert again.task.name == "a", "at its old place"


async def test_what_was_not_to_run_twice_is_abandoned(live: Live) -> None:
    recovered: list[Recovered] = []
    async with live() as store:
        await accept(store, Task("once", on_crash="fail"), Task("often"), Task("waits", on_crash="fail"))
        await store.claim(2)
    async with live(on_recovered=recovered.append) as store:
        assert [record.task.name for record in await store.claim(5)] == ["often", "waits"]
        [*_, once] = await everything(store)
        assert isinstance(once, Finished)
        assert once.outcome is Outcome.ABANDONED
        assert once.ending.error == "the server that ran this task was lost"
        assert len(once.attempts) == 1
        assert store.statistics().finished == {Outcome.ABANDONED: 1}
        assert [verdict.verdict for verdict in await store.submit([Task("once")])] == ["accepted"]
    assert recovered == [Recovered(waiting=1, rerun=1, ended=1, history=0)]


async def test_it_is_abandoned_once(live: Live, clock: Clock) -> None:
    async with live() as store:
        await accept(store, Task("once", on_crash="fail"))
        await store.claim(1)
    async with live() as store:
        first = await everything(store)
    clock.now += 5
    async with live() as store:
        assert await everything(store) == first
        assert store.statistics().finished == {}, "this life has ended nothing"


async def test_history_is_there_in_its_order(live: Live, clock: Clock) -> None:
    async with live() as store:
        await accept(store, *(Task(name) for name in "abc"))
        for running in reversed(await store.claim(3)):
            clock.now += 1
            ending = Ending(Outcome.FAILED, "so", False, 0.0, b'{"exit_code":1}', b'{"stdout":"x"}')
            await store.finish([(running, ending)])
        before = await everything(store)
        assert [record.task.name for record in before] == ["a", "b", "c"]
    async with live() as store:
        assert await everything(store) == before


async def test_what_left_the_history_is_gone_for_good(live: Live) -> None:
    async with live(history_records_max=1) as store:
        ids = await accept(store, Task("a"), Task("b"))
        for running in await store.claim(2):
            await store.finish([(running, Ending(Outcome.SUCCEEDED))])
    async with live() as store:
        assert [record.id for record in await everything(store)] == ids[1:]
        with pytest.raises(ExpiredTaskError):
            await store.get(ids[0])


async def test_a_start_applies_the_bounds_of_its_settings_to_each_part(live: Live, clock: Clock) -> None:
    async with live() as store:
        await accept(store, *(Task(f"{number}") for number in range(8)))
        for number, running in enumerate(await store.claim(8)):
            clock.now += 10
            outcome = Outcome.FAILED if number % 2 else Outcome.SUCCEEDED
            await store.finish([(running, Ending(outcome, retryable=False))])
    for settings, kept in (
        ({"history_failed_records_max": 3}, "7654320"),
        ({"history_records_max": 3}, "765432"),
        ({"history_failed_seconds_max": 30}, "76542"),
        ({"history_seconds_max": 35}, "7654"),
        ({}, "7654"),
    ):
        async with live(**settings) as store:
            assert "".join(record.task.name for record in await everything(store)) == kept
            assert store.statistics().history == len(kept)


async def test_ids_go_on(live: Live) -> None:
    async with live() as store:
        [first] = await accept(store, Task("a"))
        await store.cancel(first)
    async with live(history_records_max=1) as store:
        [second] = await accept(store, Task("b"))
        await store.cancel(second)
    async with live() as store:
        tag = first.split("-")[0]
        assert (first, second) == (f"{tag}-1", f"{tag}-2")
        with pytest.raises(UnknownTaskError):
            await store.get(f"{tag}-3")


async def test_leftovers_are_ended_before_anything_is_decided(live: Live) -> None:
    ended: list[str] = []

    async def end_leftovers(running: Sequence[Running]) -> None:
        ended.extend(record.task.name for record in running)

    async with live() as store:
        await accept(store, Task("a"), Task("b"), Task("c"))
        await store.claim(2)
    async with live(end_leftovers=end_leftovers):
        pass
    assert ended == ["a", "b"]


class TestHandlers:
    async def test_a_handler_that_is_gone_refuses_the_start(self, live: Live) -> None:
        async with live() as store:
            await accept(store, Task("a", handler="backup"), Task("b", handler="backup"), Task("c"))
        with pytest.raises(UnusableStoreError, match="`backup` is not declared and 2 stored tasks need it"):
            async with refused(live(known_handlers={"sleep"})):
                pass
        async with live(known_handlers={"sleep", "backup"}) as store:
            assert store.statistics().pending == 3

    async def test_a_finished_task_needs_none(self, live: Live) -> None:
        async with live() as store:
            [task_id] = await accept(store, Task("a", handler="backup"))
            await store.cancel(task_id)
        async with live(known_handlers={"sleep"}) as store:
            assert store.statistics().history == 1


@asynccontextmanager
async def refused(life: AbstractAsyncContextManager[LocalStore]) -> AsyncIterator[None]:
    """What a refused start raises, out of the groups that nurseries put it in."""
    with unwrapped_unusable_store():
        async with life:
            yield


@pytest.mark.parametrize("second", [Pending(2, Task("a"), 0.5, ()), Running(2, Task("a"), 0.5, (), 1.0)], ids=repr)
async def test_two_holders_of_one_name_are_damage(live: Live, tmp_path: Path, second: Record) -> None:
    database = Database(tmp_path / "pexecutor.db")
    database.open()
    database.write([Pending(1, Task("a"), 0.5, ()), second], [], 2)
    database.close()
    with pytest.raises(UnusableStoreError, match="two of its tasks claim one name"):
        async with refused(live()):
            pass
