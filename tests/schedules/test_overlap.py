"""A task that runs for three periods of its schedule never overlaps itself, whatever happens meanwhile.

Each combination of ``on_conflict`` and of an event runs in virtual time. A handler that is cancelled needs a while to
end, so that a task that starts too early is noticed. ``tests/simulation`` kills servers and nodes at other steps, and
``tests/server/test_crash_schedules.py`` kills real ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Final, get_args

import pytest
import trio
from trio.testing import MockClock

from pexecutor import Executor, LocalStore, Record, StoreUnavailableError, Task
from pexecutor.handlers import Catalogue, Context
from pexecutor.schedules.changes import declare
from pexecutor.schedules.params import SLOT
from pexecutor.stores.local.journal_protocol import NOTHING_BESIDE, BesideRecords
from pexecutor.stores.schedules import Definition
from pexecutor.task import OnConflict

from ..conftest import EPOCH, virtual_now
from ..fakes import Doing, FakeJournal

PERIOD: Final = 60.0
RUN_SECONDS: Final = 3 * PERIOD
LINGER_SECONDS: Final = 20.0
"""How long a run goes on after it was cancelled."""

HOUR: Final = 3600.0
YEAR_2030: Final = 1_893_456_000.0
WRITES_MIN: Final = 12
"""How many writes ten periods make at least."""


class Runs:
    """A handler that notices two runs of one name at the same time."""

    def __init__(self) -> None:
        self.at_work: set[str] = set()
        self.started: list[float] = []
        self.overlaps: list[float] = []

    async def work(self, context: Context, task: Task) -> None:
        if task.name in self.at_work:
            self.overlaps.append(trio.current_time())
        self.at_work.add(task.name)
        self.started.append(trio.current_time())
        try:
            await trio.sleep(RUN_SECONDS)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(LINGER_SECONDS)
            self.at_work.discard(task.name)


class World:
    """Servers on one store, one after another or at the same time, and a wall clock that can be set."""

    def __init__(self, nursery: trio.Nursery, on_conflict: OnConflict) -> None:
        self._nursery = nursery
        self.on_conflict: OnConflict = on_conflict
        self.runs = Runs()
        self.set_by = 0.0
        self.store = LocalStore(now=lambda: virtual_now() + self.set_by)

    async def start(self) -> Executor:
        handlers = Catalogue({"sleep": Doing(self.runs.work)})
        executor = Executor(self.store, handlers=handlers, pool_size=4, drain_timeout_seconds=1)
        await self._nursery.start(executor.run)
        task = Task("report", on_conflict=self.on_conflict)
        await declare(self.store.schedules, "s", Definition(task, cron="* * * * *"))
        return executor


Event = Callable[[World, Executor], Awaitable[Executor]]


async def nothing(_: World, executor: Executor) -> Executor:
    return executor


async def a_restart(world: World, executor: Executor) -> Executor:
    executor.drain()
    await executor.stopped.wait()
    return await world.start()


async def a_long_stop(world: World, executor: Executor) -> Executor:
    executor.drain()
    await executor.stopped.wait()
    await trio.sleep(10 * PERIOD)
    return await world.start()


async def submits(world: World, executor: Executor) -> Executor:
    for on_conflict in get_args(OnConflict):
        await executor.submit([Task("report", on_conflict=on_conflict)])
        await executor.schedules.run_now("s")
        await trio.sleep(7)
    return executor


async def the_clock_goes_forward(world: World, executor: Executor) -> Executor:
    world.set_by = HOUR
    return executor


async def the_clock_goes_back(world: World, executor: Executor) -> Executor:
    world.set_by = -HOUR
    return executor


async def the_clock_goes_to_2030_and_back(world: World, executor: Executor) -> Executor:
    world.set_by = YEAR_2030 - EPOCH
    await trio.sleep(5 * PERIOD)
    world.set_by = 0.0
    return executor


EVENTS: Final[tuple[Event, ...]] = (
    *(nothing, a_restart, a_long_stop, submits),
    *(the_clock_goes_forward, the_clock_goes_back, the_clock_goes_to_2030_and_back),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
@pytest.mark.parametrize("on_conflict", get_args(OnConflict))
async def test_it_never_overlaps_itself(
    autojump_clock: MockClock, nursery: trio.Nursery, on_conflict: OnConflict, event: Event
) -> None:
    world = World(nursery, on_conflict)
    executor = await world.start()
    await trio.sleep(3.5 * PERIOD)  # a run is at work
    assert world.runs.at_work == {"report"}
    executor = await event(world, executor)
    before = len(world.runs.started)
    await trio.sleep(10 * PERIOD)

    assert world.runs.overlaps == []
    assert len(world.runs.started) >= before + 2, "the schedule goes on"
    assert executor.statistics().fired > 0
    nursery.cancel_scope.cancel()


class MortalDisk(FakeJournal):
    """A disk whose process dies at one of its writes; ``is_written`` says whether that write is found afterwards."""

    def __init__(self, dies_at: int, *, is_written: bool) -> None:
        super().__init__(awaits=0)
        self.died = trio.Event()
        self._dies_at = dies_at
        self._is_written = is_written

    async def commit(self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE) -> None:
        if self.writes + 1 == self._dies_at and self._is_written:
            await super().commit(changes, acceptances, beside)
        if self.writes + 1 >= self._dies_at:
            self.died.set()
            await trio.sleep_forever()
        await super().commit(changes, acceptances, beside)

    def found(self) -> FakeJournal:
        """Return the disk as the next process finds it."""
        disk = FakeJournal(awaits=0)
        disk.written, disk.acceptances = [*self.written], self.acceptances
        disk.beside.update({kind: {**kept} for kind, kept in self.beside.items()})
        return disk


async def live(disk: FakeJournal, on_conflict: OnConflict, died: trio.Event) -> Runs:
    """Run a server on a disk until it dies, or for ten periods."""
    async with trio.open_nursery() as nursery:
        runs, store = Runs(), LocalStore(journal=disk, now=virtual_now)
        executor = Executor(store, handlers=Catalogue({"sleep": Doing(runs.work)}), pool_size=4)
        with trio.move_on_after(10 * PERIOD):
            await nursery.start(executor.run)
            task = Task("report", on_conflict=on_conflict, params={"at": SLOT})
            with suppress(StoreUnavailableError):
                await declare(store.schedules, "s", Definition(task, cron="* * * * *"))
            await died.wait()
        nursery.cancel_scope.cancel()
    return runs


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("on_conflict", get_args(OnConflict))
async def test_after_a_kill_at_any_write_nothing_overlaps_or_fires_twice(
    autojump_clock: MockClock, on_conflict: OnConflict, is_written: bool
) -> None:
    for dies_at in count(1):
        first = MortalDisk(dies_at, is_written=is_written)
        assert (await live(first, on_conflict, first.died)).overlaps == []
        if not first.died.is_set():
            assert dies_at > WRITES_MIN
            break
        second = first.found()
        runs = await live(second, on_conflict, trio.Event())

        assert runs.overlaps == []
        assert len(runs.started) >= 2, "the schedule goes on"
        submitted = {(record.task.params["at"], record.serial) for record in second.written}
        assert max(Counter(at for at, _ in submitted).values()) == 1, "an occurrence was fired twice"
