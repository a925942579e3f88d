"""A submit that is cancelled leaves complete tasks or nothing; a write that fails leaves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import (
    Accepted,
    Executor,
    LocalStore,
    Outcome,
    PageRequest,
    Record,
    Running,
    State,
    StoreUnavailableError,
    Task,
    Verdict,
)
from pexecutor.conformance.steps import cancelled_at_step, every_await
from pexecutor.handlers import Catalogue
from pexecutor.stores.local.journal_protocol import NOTHING_BESIDE, BesideRecords

from ..conftest import RunHere, virtual_now
from ..fakes import FakeJournal, Gate


async def pending_names(store: LocalStore) -> list[str]:
    return [record.task.name for record in (await store.page(PageRequest())).records]


async def assert_consistent(store: LocalStore, names: list[str]) -> None:
    """Assert that each name is held by a complete task or is free."""
    held = await pending_names(store)
    assert len(set(held)) == len(held) == store.statistics().pending
    verdicts = await store.submit([Task(name) for name in names])
    assert [verdict.verdict for verdict in verdicts] == ["duplicate" if name in held else "accepted" for name in names]
    claims = await store.claim(100)
    assert sorted(claim.task.name for claim in claims) == sorted(names)


async def test_a_submit_cancelled_at_any_await_leaves_all_or_nothing() -> None:
    names = [f"task-{number}" for number in range(100)]
    outcomes = set()
    for step in every_await():
        disk = FakeJournal()
        store = LocalStore(journal=disk)
        tasks = [Task(name) for name in names]
        cancelled = await cancelled_at_step(step, lambda store=store, tasks=tasks: store.submit(tasks))  # type: ignore[misc]
        held = await pending_names(store)
        assert held in ([], names)
        assert [record.task.name for record in disk.written] == held, "what is seen is what is durable"
        outcomes.add(len(held))
        await assert_consistent(store, names)
        if not cancelled:
            break
    assert outcomes == {0, 100}, "the loop met both cases"


async def test_a_waiting_submit_cancelled_at_any_await_keeps_no_room_from_the_next(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    for step in every_await():
        store = LocalStore(queue_size=1)
        executor = Executor(store, pool_size=1, handlers=Catalogue({"sleep": (gate := Gate())}))
        await nursery.start(executor.run)
        await executor.submit([Task("running")])
        await wait_all_tasks_blocked()
        await executor.submit([Task("queued")])
        answers: list[Verdict] = []

        async def wait(name: str, executor: Executor = executor, answers: list[Verdict] = answers) -> None:
            answers.extend(await executor.submit([Task(name)], wait_for_room_seconds=60))

        cancelled: list[bool] = []

        async def be_cancelled(step: int = step, wait: object = wait, cancelled: list[bool] = cancelled) -> None:
            cancelled.append(await cancelled_at_step(step, lambda: wait("first")))  # type: ignore[operator]

        nursery.start_soon(be_cancelled)
        await wait_all_tasks_blocked()
        nursery.start_soon(wait, "second")
        await wait_all_tasks_blocked()
        gate.open()
        await wait_all_tasks_blocked()
        assert Accepted in map(type, answers)
        assert "second" in gate.ended
        assert executor.statistics().waiting_for_room == 0
        executor.hard_stop()
        await executor.stopped.wait()
        if not cancelled[0]:
            break


async def test_a_large_submit_that_gives_up_lets_those_behind_it_in(
    autojump_clock: MockClock, run_here: RunHere, nursery: trio.Nursery
) -> None:
    executor = await run_here(queue_size=2, pool_size=1, handler=Gate())
    await executor.submit([Task("running")])
    await wait_all_tasks_blocked()
    [queued, _] = await executor.submit([Task("queued"), Task("too")])
    assert isinstance(queued, Accepted)

    async def wait(*names: str, seconds: float) -> None:
        await executor.submit([Task(name) for name in names], atomic=True, wait_for_room_seconds=seconds)

    nursery.start_soon(partial(wait, "large", "larger", seconds=5))
    await wait_all_tasks_blocked()
    nursery.start_soon(partial(wait, "small", seconds=60))
    await wait_all_tasks_blocked()
    await executor.cancel(queued.record.id)
    await trio.sleep(4)
    assert executor.statistics().store.pending == 1, "the large one is first in line, and one place is not enough"
    await trio.sleep(2)
    assert [record.task.name for record in (await executor.page(PageRequest(State.PENDING))).records] == [
        "too",
        "small",
    ]


async def test_a_claim_cancelled_at_any_await_loses_no_task() -> None:
    for step in every_await():
        store = LocalStore()
        await store.submit([Task("a"), Task("b")])
        claimed: list[Running] = []

        async def claim(store: LocalStore = store, claimed: list[Running] = claimed) -> None:
            claimed.extend(await store.claim(1))

        cancelled = await cancelled_at_step(step, claim)
        assert store.statistics().running == len(claimed)
        rest = await store.claim(2)
        assert [record.task.name for record in claimed + rest] == ["a", "b"]
        if not cancelled:
            break


async def test_the_whole_executor_cancelled_at_any_await_releases_what_it_ran() -> None:
    for step in every_await(steps_max=200):
        disk = FakeJournal(awaits=1)
        await LocalStore(journal=disk, tag=disk.tag).submit([Task("a"), Task("b"), Task("c")])
        store = LocalStore(journal=disk)
        gate = Gate()
        executor = Executor(store, pool_size=2, handlers=Catalogue({"sleep": gate}))

        async def run(executor: Executor = executor, gate: Gate = gate) -> None:
            async with trio.open_nursery() as nursery:
                await nursery.start(executor.run)
                for _ in range(30):
                    await trio.lowlevel.checkpoint()
                gate.open()
                executor.drain()

        cancelled = await cancelled_at_step(step, run)
        statistics = executor.statistics()
        finished = statistics.store.finished.get(Outcome.SUCCEEDED, 0)
        assert statistics.store.running == 0
        assert statistics.store.pending + finished == 3
        assert gate.at_work == set()
        if not cancelled:
            break


async def test_a_failed_write_leaves_nothing_and_makes_nobody_a_duplicate(nursery: trio.Nursery) -> None:
    disk = FakeJournal()
    disk.fails_at = {1}
    store = LocalStore(journal=disk)
    seconds: list[Verdict] = []

    async def second() -> None:
        seconds.extend(await store.submit([Task("a", duration=2)]))

    disk.on_write = lambda number: nursery.start_soon(second) if number == 1 else None
    with pytest.raises(StoreUnavailableError):
        await store.submit([Task("a", duration=1)])
    await wait_all_tasks_blocked()
    [verdict] = seconds
    assert isinstance(verdict, Accepted), "the first one never existed"
    assert verdict.record.task.duration == 2


async def test_what_was_taken_is_told_when_the_store_fails_later(autojump_clock: MockClock, run_here: RunHere) -> None:
    """The first task has a place and the second waits for one when the store fails."""
    disk = FakeJournal()
    executor = await run_here(LocalStore(queue_size=1, journal=disk, now=virtual_now), handler=Gate(), pool_size=1)
    await executor.submit([Task("running")])
    await wait_all_tasks_blocked()

    async def cancel_the_first() -> None:
        await trio.sleep(1)
        [first] = (await executor.page(PageRequest(State.PENDING))).records
        await executor.cancel(first.id)
        disk.fails_at = {disk.writes + 1}

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_the_first)
        verdicts = await executor.submit([Task("first"), Task("second")], wait_for_room_seconds=60)
    assert [verdict.verdict for verdict in verdicts] == ["accepted", "full"]


async def test_places_are_reserved_while_a_write_is_under_way(nursery: trio.Nursery) -> None:
    disk = FakeJournal(awaits=5)
    store = LocalStore(queue_size=10, journal=disk)
    words: list[str] = []

    async def submit(name: str) -> None:
        words.extend(verdict.verdict for verdict in await store.submit([Task(name)]))

    async with trio.open_nursery() as submits:
        for number in range(30):
            submits.start_soon(submit, f"task-{number}")
    assert sorted(words) == ["accepted"] * 10 + ["full"] * 20


async def test_a_disk_that_hangs_is_given_up(autojump_clock: MockClock) -> None:
    class Hangs(FakeJournal):
        async def commit(
            self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE
        ) -> None:
            await trio.sleep_forever()

    store = LocalStore(journal=Hangs())
    with pytest.raises(StoreUnavailableError, match="within 5 s"):
        await store.submit([Task("a")])
    assert store.statistics().pending == 0


async def test_the_pool_asks_a_store_again_that_could_not_take_a_change(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    """The start, the retried start, and the outcome are each accepted half a second later."""
    disk = FakeJournal()
    disk.fails_at = {2, 3, 5}
    executor = await run_here(LocalStore(journal=disk))
    [verdict] = await executor.submit([Task("a")])
    assert isinstance(verdict, Accepted)
    record = await executor.wait(verdict.record.id)
    assert trio.current_time() == 1.5
    assert executor.statistics().store.finished == {Outcome.SUCCEEDED: 1}
    assert [type(written) for written in disk.written] == [type(verdict.record), Running, type(record)]


async def test_two_hundred_submits_of_one_name_make_one_task(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(LocalStore(journal=FakeJournal()), handler=Gate())
    words: list[str] = []

    async def submit(name: str) -> None:
        words.extend(verdict.verdict for verdict in await executor.submit([Task(name)]))

    for turn in range(50):
        words.clear()
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(submit, f"task-{turn}")
        assert sorted(words) == ["accepted"] + ["duplicate"] * 199
