"""Limits of an executor: the numbers that a start stores, the keys of tasks, and handlers that it does not know."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
import trio
from trio.testing import MockClock

from pexecutor import Executor, LocalStore, StoreUnavailableError, Task
from pexecutor.errors import PexecutorError
from pexecutor.handlers import BUILT_IN, Catalogue
from pexecutor.handlers.limits import DeclaredLimits, LimitSettings
from pexecutor.handlers.settings import HandlerSettings
from pexecutor.limits.defaults import DECLARE_RETRY_SECONDS
from pexecutor.limits.keys import LimitKey
from pexecutor.stores import StoreStatistics
from pexecutor.stores.limits import LimitNumbers, LimitState, too_many_limits
from pexecutor.task import Accepted

from ..fakes import FakeJournal, Gate

SETTINGS = {"work": HandlerSettings(concurrency=2, limits=("api",))}
LIMITS = DeclaredLimits({"api": LimitSettings(concurrency=3, per="params.account")}, SETTINGS)


@pytest.fixture
def gate() -> Gate:
    """A closed one: what is submitted stays in flight."""
    return Gate()


def working(gate: Gate, limits: DeclaredLimits = LIMITS) -> Catalogue:
    return Catalogue({"work": gate}, limits=limits)


async def numbers_after_start(store: LocalStore, handlers: Catalogue) -> LimitNumbers:
    executor = Executor(store, handlers=handlers)
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        numbers = executor.limits.now().numbers
        executor.drain()
    return numbers


async def test_a_start_decides_the_numbers(autojump_clock: MockClock, gate: Gate) -> None:
    store = LocalStore()

    assert await numbers_after_start(store, working(gate)) == LimitNumbers({"api": 3}, {"work": 2})
    assert await numbers_after_start(store, working(gate, DeclaredLimits({}, {}))) == LimitNumbers()


async def test_a_start_with_equal_numbers_writes_nothing(autojump_clock: MockClock) -> None:
    journal = FakeJournal()
    await numbers_after_start(LocalStore(journal=journal), BUILT_IN)

    assert journal.writes == 0


async def test_a_start_without_limits_lifts_those_that_the_process_does_not_know_yet(autojump_clock: MockClock) -> None:
    """The statistics of a shared store are empty until the first beat."""

    class Shared(LocalStore):
        def statistics(self) -> StoreStatistics:
            return msgspec.structs.replace(super().statistics(), limits=LimitState())

    store = Shared()
    await store.limits.set_numbers({"api": 1}, {"sleep": 1})
    executor = Executor(store, handlers=BUILT_IN)
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        executor.drain()

    assert (await store.limits.state()).numbers == LimitNumbers()


@pytest.mark.parametrize("error", [StoreUnavailableError("the disk is full"), too_many_limits()], ids=["disk", "bound"])
async def test_numbers_that_cannot_be_stored_hold_up_no_start(
    error: PexecutorError, autojump_clock: MockClock, gate: Gate
) -> None:
    class Failing(LocalStore):
        fails = 2

        def __init__(self) -> None:
            super().__init__()
            store, inner = self, self.limits.set_numbers

            async def set_numbers(limits: Mapping[str, int], handlers: Mapping[str, int | None]) -> None:
                if store.fails:
                    store.fails -= 1
                    raise error
                await inner(limits, handlers)

            self.limits.set_numbers = set_numbers  # type: ignore[method-assign]

    executor = Executor(Failing(), handlers=working(gate))
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        assert executor.limits.now().numbers == LimitNumbers()
        await trio.sleep(3 * DECLARE_RETRY_SECONDS)
        assert executor.limits.now().numbers == LimitNumbers({"api": 3}, {"work": 2})
        executor.drain()


async def test_a_task_gets_its_keys_when_it_is_accepted(autojump_clock: MockClock, gate: Gate) -> None:
    executor = Executor(LocalStore(), handlers=working(gate))
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        [verdict] = await executor.submit([Task("t", handler="work", params={"account": 7})])
        gate.open()
        executor.drain()

    assert isinstance(verdict, Accepted)
    assert verdict.record.rare is not None
    assert verdict.record.rare.limit_keys == (LimitKey("api", "7"),)


@pytest.mark.parametrize(("claims_unknown", "outcome"), [(False, None), (True, "failed")])
async def test_a_stored_task_of_an_unknown_handler_waits_or_fails(
    autojump_clock: MockClock, gate: Gate, claims_unknown: bool, outcome: str | None
) -> None:
    store = LocalStore()
    async with store.opened():
        await store.submit([Task("old", handler="gone")])
    handlers = working(gate).claiming_unknown() if claims_unknown else working(gate)
    executor = Executor(store, handlers=handlers)
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        await trio.sleep(1)
        finished = executor.statistics().store.finished
        executor.drain()

    assert finished == ({} if outcome is None else {outcome: 1})
