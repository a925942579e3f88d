"""Submits that arrive in the same scheduler turn are one step of the store, and each gets its own reply."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from pexecutor import Accepted, Duplicate, Executor, Full, InvalidTaskError, LocalStore, Task, Verdict
from pexecutor.errors import StoreUnavailableError
from pexecutor.handlers import Catalogue
from pexecutor.web.api.coalesce import TASKS_A_STEP_MAX, TASKS_TOGETHER_MAX, SubmitCoalescer

from ...fakes import FakeJournal, Gate

Outcome = Verdict | Exception


async def started(nursery: trio.Nursery, *, journal: FakeJournal | None = None, queue_size: int = 100) -> Executor:
    """An executor whose only worker is busy."""
    store = LocalStore(queue_size=queue_size, journal=journal)
    executor = Executor(store, pool_size=1, handlers=Catalogue({"sleep": Gate()}))
    await nursery.start(executor.run)
    await executor.submit([Task("held")])
    while not executor.statistics().store.running:  # noqa: ASYNC110  (a snapshot has no event)
        await trio.sleep(0.001)
    return executor


async def submitted(executor: Executor, tasks: Sequence[Task]) -> list[Outcome]:
    """Submit tasks one by one in one scheduler turn; return their verdicts."""
    together, outcomes = SubmitCoalescer(executor), dict[int, Outcome]()

    async def submit(index: int, task: Task) -> None:
        try:
            [outcomes[index]] = await together.submit([task])
        except (InvalidTaskError, StoreUnavailableError) as error:
            outcomes[index] = error

    async with trio.open_nursery() as nursery:
        for index, task in enumerate(tasks):
            nursery.start_soon(submit, index, task)
    return [outcomes[index] for index in range(len(tasks))]


async def test_they_are_one_write(nursery: trio.Nursery) -> None:
    journal = FakeJournal()
    executor = await started(nursery, journal=journal)
    before = journal.writes

    outcomes = await submitted(executor, [Task(f"task-{number}") for number in range(10)])

    assert [type(outcome) for outcome in outcomes] == [Accepted] * 10
    assert journal.writes == before + 1
    names = [outcome.record.task.name for outcome in outcomes if isinstance(outcome, Accepted)]
    assert names == [f"task-{number}" for number in range(10)]


async def test_lists_share_steps_of_a_bounded_size(nursery: trio.Nursery) -> None:
    journal = FakeJournal()
    executor = await started(nursery, journal=journal, queue_size=10_000)
    together, before = SubmitCoalescer(executor), journal.writes
    lists = [[Task(f"{number}-{index}") for index in range(TASKS_TOGETHER_MAX)] for number in range(10)]
    accepted: dict[int, list[str]] = {}

    async def submit(number: int) -> None:
        verdicts = await together.submit(lists[number])
        accepted[number] = [verdict.record.task.name for verdict in verdicts if isinstance(verdict, Accepted)]

    async with trio.open_nursery() as clients:
        for number in range(len(lists)):
            clients.start_soon(submit, number)

    assert accepted == {number: [task.name for task in tasks] for number, tasks in enumerate(lists)}
    assert journal.writes - before == math.ceil(len(lists) / (TASKS_A_STEP_MAX // TASKS_TOGETHER_MAX))


@pytest.mark.parametrize("durable", [False, True])
async def test_each_has_its_own_answer(nursery: trio.Nursery, *, durable: bool) -> None:
    executor = await started(nursery, journal=FakeJournal() if durable else None, queue_size=2)
    tasks = [Task("held"), Task("no handler", handler="none"), Task("bad", params={"bad": 1}), Task("free")]

    outcomes = await submitted(executor, tasks)

    assert list(map(type, outcomes)) == [Duplicate, InvalidTaskError, InvalidTaskError, Accepted]


@pytest.mark.parametrize("durable", [False, True])
async def test_room_and_names_are_given_once(nursery: trio.Nursery, *, durable: bool) -> None:
    executor = await started(nursery, journal=FakeJournal() if durable else None, queue_size=2)

    outcomes = await submitted(executor, [Task(name) for name in "aabbcc"])

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Accepted"] * 2 + ["Duplicate"] * 2 + ["Full"] * 2
    assert {type(outcome) for outcome in outcomes} == {Accepted, Duplicate, Full}


async def test_a_write_that_fails_is_told_to_all_and_to_nobody_after_them(nursery: trio.Nursery) -> None:
    journal = FakeJournal()
    executor = await started(nursery, journal=journal)
    journal.fails_at = {journal.writes + 1}

    assert {type(outcome) for outcome in await submitted(executor, [Task("a"), Task("b")])} == {StoreUnavailableError}
    assert {type(outcome) for outcome in await submitted(executor, [Task("a"), Task("b")])} == {Accepted}


@pytest.mark.parametrize("turns", range(8))
async def test_whoever_of_them_leaves_the_others_are_answered(nursery: trio.Nursery, turns: int) -> None:
    executor = await started(nursery, journal=FakeJournal())
    together, outcomes, leaving = SubmitCoalescer(executor), dict[str, Outcome](), trio.CancelScope()

    async def submit(name: str, scope: trio.CancelScope) -> None:
        with scope:
            [outcomes[name]] = await together.submit([Task(name)])

    async with trio.open_nursery() as clients:
        clients.start_soon(submit, "leaves", leaving)
        await trio.lowlevel.checkpoint()
        for name in "ab":
            clients.start_soon(submit, name, trio.CancelScope())
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        leaving.cancel()

    assert {name: type(outcome) for name, outcome in outcomes.items() if name != "leaves"} == {
        "a": Accepted,
        "b": Accepted,
    }


async def test_a_store_that_does_not_answer_holds_nobody_for_ever(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    journal = FakeJournal()
    executor = await started(nursery, journal=journal)
    stuck = trio.Event()
    executor.submit = lambda _: stuck.wait()  # type: ignore[method-assign, assignment, misc]

    outcomes = await submitted(executor, [Task("a"), Task("b")])

    assert {type(outcome) for outcome in outcomes} == {StoreUnavailableError}
