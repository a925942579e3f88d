"""Everything at once, by seed: callers that submit, cancel, wait and leave, handlers that fail, a disk that takes its
time and fails now and then, and at last a stop. The invariants are looked at after each of the caller's steps. A seed
that fails is told, and fails again.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pexecutor import (
    Accepted,
    AlreadyFinishedError,
    Executor,
    Finished,
    Following,
    LocalStore,
    PexecutorError,
    Record,
    Running,
    State,
    StoreUnavailableError,
    Task,
)
from pexecutor.handlers import Catalogue, Context

from ..determinism import deterministic_scheduling
from ..fakes import Doing, FakeJournal
from .conftest import virtual_now

NAMES = "abcdefgh"


class World:
    """An executor, its callers, and what they have been told."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.disk = FakeJournal(awaits=self.chance.randrange(3))
        self.queue_size = self.chance.randint(1, 6)
        self.pool_size = self.chance.randint(1, 3)
        self.store = LocalStore(
            queue_size=self.queue_size, journal=self.disk, now=virtual_now, jitter=Random(seed), tag=1
        )
        handlers = Catalogue({"sleep": Doing(self.work)})
        self.executor = Executor(self.store, pool_size=self.pool_size, handlers=handlers)
        self.accepted: set[str] = set()
        self.at_work: set[str] = set()
        self.outcomes: dict[str, Finished] = {}

    async def work(self, context: Context, task: Task) -> None:
        assert task.name not in self.at_work, "two runs of one name at once"
        self.at_work.add(task.name)
        try:
            await trio.sleep(self.chance.choice([0, 0.01, 0.5, 3]))
            if self.chance.random() < 0.3:
                raise LookupError("by chance")
        finally:
            self.at_work.discard(task.name)

    def task(self) -> Task:
        chance = self.chance
        return Task(
            chance.choice(NAMES),
            priority=chance.randint(-1, 1),
            delay=chance.choice([0, 0, 0, 500, 5000]),
            timeout=chance.choice([None, None, 200]),
            retries=chance.choice([0, 0, 1, 3]),
            retry_delay=chance.choice([0, 100, 2000]),
            on_conflict=chance.choice(["reject", "join", "latest", "supersede"]),
        )

    async def step(self) -> None:
        """Something that a caller does; one in five leaves in the middle of it."""
        chance = self.chance
        patience = chance.choice([0.0, 0.001, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9])
        with trio.move_on_after(patience):
            match chance.choice(["submit", "submit", "submit", "cancel", "wait", "pause"]):
                case "submit":
                    await self.submit()
                case "cancel":
                    await self.cancel()
                case "wait":
                    await trio.sleep(chance.choice([0.01, 0.3, 2]))
                case "pause":
                    await trio.lowlevel.checkpoint()

    async def submit(self) -> None:
        chance = self.chance
        if chance.random() < 0.1:
            self.disk.fails_at.add(self.disk.writes + chance.randint(1, 3))
        tasks = [self.task() for _ in range(chance.randint(1, 4))]
        try:
            verdicts = await self.executor.submit(
                tasks, atomic=chance.random() < 0.2, wait_for_room_seconds=chance.choice([0, 0, 1])
            )
        except StoreUnavailableError:
            return
        self.accepted |= {verdict.record.id for verdict in verdicts if isinstance(verdict, Accepted)}

    async def cancel(self) -> None:
        if self.accepted:
            try:
                await self.executor.cancel(self.chance.choice(sorted(self.accepted)))
            except AlreadyFinishedError:
                pass
            except StoreUnavailableError:
                pass

    def look(self) -> None:
        """The invariants, at an instant."""
        book: Any = self.store._book
        records: list[Record] = list(book._records.values())
        holders = [record for record in records if not isinstance(record, Finished | Following)]
        held = {record.task.name: record.serial for record in holders}
        assert len(held) == len(holders), "at most one task holds a name"
        assert held == {name: book.registry.get(name) for name in held}
        assert len(book.registry) == len(holders), "a name is held by a task in flight, or free"
        followers = [record for record in records if isinstance(record, Following)]
        assert {record.follows for record in followers} <= {record.serial for record in holders}
        running = [record for record in records if isinstance(record, Running)]
        assert len(running) <= self.pool_size
        assert self.at_work <= {record.task.name for record in running}, "no work without a running task"
        waiting = [record for record in records if record.state in (State.PENDING, State.SCHEDULED)]
        assert len(waiting) == book.waiting() <= self.queue_size + self.pool_size
        for record in records:
            if isinstance(record, Finished):
                assert self.outcomes.setdefault(record.id, record) is record, "an outcome is final"
        assert self.accepted <= {record.id for record in records}, "no accepted task is lost"


@pytest.mark.parametrize("seeds", [range(start, start + 50) for start in range(0, 200, 50)], ids=lambda seeds: seeds[0])
def test_the_invariants_hold_whatever_happens(seeds: range) -> None:
    for seed in seeds:
        try:
            live(World(seed), seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def test_a_seed_is_one_run() -> None:
    for seed in range(10):
        diaries = set()
        for _ in range(3):
            world = World(seed)
            live(world, seed)
            diaries.add(repr([world.disk.written, sorted(world.accepted), world.outcomes]))
        assert len(diaries) == 1


def live(world: World, seed: int) -> None:
    with deterministic_scheduling(seed):
        trio.run(_live, world, clock=MockClock(autojump_threshold=0))


async def _live(world: World) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(world.executor.run)
        async with trio.open_nursery() as callers:
            for _ in range(3):
                callers.start_soon(_call, world)
        world.disk.fails_at.clear()
        world.executor.drain()
        with trio.move_on_after(world.chance.choice([0, 1, 100])):
            await world.executor.stopped.wait()
        world.executor.hard_stop()
    world.look()
    assert world.at_work == set()
    assert world.store.statistics().running == 0, "what was cut off is released"


async def _call(world: World) -> None:
    for _ in range(40):
        try:
            await world.step()
        except PexecutorError as error:
            raise AssertionError("a caller was told of an error that is none of his") from error
        world.look()
