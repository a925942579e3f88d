"""Changes of the settings of a running executor: the size of the pool and the handlers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import ConfigError, Executor, InvalidTaskError, LocalStore, NotServingError, Task
from pexecutor.handlers import Catalogue

from ..conftest import RunHere, virtual_now
from ..fakes import FakeJournal, Gate


async def change(executor: Executor, **changes: Any) -> None:
    await executor.apply_settings(msgspec.structs.replace(executor.settings, **changes))


def tasks(number: int, handler: str = "sleep") -> list[Task]:
    return [Task(f"{handler}-{index}", handler=handler) for index in range(number)]


# The pool


async def test_a_larger_pool_starts_tasks_at_once(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, pool_size=2)
    await executor.submit(tasks(10))
    await wait_all_tasks_blocked()
    assert len(gate.at_work) == 2

    await change(executor, pool_size=7)
    await wait_all_tasks_blocked()

    assert len(gate.at_work) == 7
    assert executor.statistics().pool_size == executor.pool_size == 7
    assert repr(executor) == "<Executor serving, 7 of 7 running, 3 of 1000 pending>"


async def test_a_smaller_pool_lets_running_tasks_end(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, pool_size=5)
    await executor.submit(tasks(5))
    await wait_all_tasks_blocked()
    await change(executor, pool_size=2)
    await executor.submit([Task(f"later-{index}") for index in range(5)])
    await wait_all_tasks_blocked()

    assert len(gate.at_work) == 5
    assert not gate.ended
    gate.open()
    gate.most_at_work = 0
    gate.close()
    await wait_all_tasks_blocked()

    assert sorted(gate.ended) == [f"sleep-{index}" for index in range(5)]
    assert gate.at_work == {"later-0", "later-1"}
    gate.open()
    await wait_all_tasks_blocked()
    assert executor.statistics().store.finished == {"succeeded": 10}


@pytest.mark.parametrize("journal", [False, True], ids=["memory", "journal"])
async def test_workers_that_are_not_needed_end(run_here: RunHere, autojump_clock: MockClock, journal: bool) -> None:
    store = LocalStore(now=virtual_now, journal=FakeJournal() if journal else None)
    executor = await run_here(store, handler=(gate := Gate()), pool_size=20)
    await wait_all_tasks_blocked()
    before = _trio_tasks()
    await executor.submit(tasks(8))
    await wait_all_tasks_blocked()

    await change(executor, pool_size=3)
    await wait_all_tasks_blocked()
    assert _trio_tasks() == before - 12 + 8, "eight workers are busy, and each has started a Trio task"
    gate.open()
    await wait_all_tasks_blocked()
    assert _trio_tasks() == before - 17
    await change(executor, pool_size=20)
    await wait_all_tasks_blocked()
    assert _trio_tasks() == before


def _trio_tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


# Handlers


async def test_running_attempts_keep_their_handler_and_later_ones_have_the_new(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    old, new = Gate(), Gate()
    executor = await run_here(handlers=Catalogue({"work": old}), pool_size=1)
    await executor.submit(tasks(2, "work"))
    await wait_all_tasks_blocked()
    await change(executor, handlers=Catalogue({"work": new, "other": new}))
    assert set(executor.statistics().handlers) == {"work", "other"}
    await executor.submit([Task("added", handler="other")])
    old.open()
    new.open()
    await wait_all_tasks_blocked()

    assert (old.ended, new.ended) == (["work-0"], ["work-1", "added"])


async def test_a_removed_handler_is_unknown(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(handlers=Catalogue({"work": Gate(), "other": Gate()}))
    await change(executor, handlers=Catalogue({"other": Gate()}))

    with pytest.raises(InvalidTaskError, match="unknown handler `work`; the handlers are: `other`"):
        await executor.submit(tasks(1, "work"))


@pytest.mark.parametrize("state", ["pending", "scheduled", "running"])
async def test_a_handler_that_tasks_in_flight_need_cannot_be_removed(
    run_here: RunHere, autojump_clock: MockClock, state: str
) -> None:
    handlers = Catalogue({"work": (gate := Gate()), "other": gate})
    executor = await run_here(LocalStore(known_handlers=handlers, now=virtual_now), handlers=handlers, pool_size=1)
    if state == "pending":
        await executor.submit(tasks(1, "other"))
    await executor.submit([Task("needs", handler="work", delay=10_000 if state == "scheduled" else 0)])
    await wait_all_tasks_blocked()
    before = executor.settings

    with pytest.raises(ConfigError, match="the handler `work` is not declared and 1 task in flight needs it"):
        await change(executor, handlers=Catalogue({"other": gate}), pool_size=5)

    assert executor.settings is before
    gate.open()
    await trio.sleep(20)
    await change(executor, handlers=Catalogue({"other": gate}), pool_size=5)
    assert executor.pool_size == 5


# When it can be done


async def test_settings_are_changed_only_while_the_executor_serves(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    fresh = Executor(LocalStore())
    with pytest.raises(NotServingError):
        await change(fresh, pool_size=5)
    executor = await run_here()
    executor.drain()
    with pytest.raises(NotServingError, match="can be changed only while the executor serves"):
        await change(executor, pool_size=5)
