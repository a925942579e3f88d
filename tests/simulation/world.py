"""``World``: everything that one seed decides, from the first life of a program to its last.

A seed is several lives on one disk. Each begins with what the one before has left, lives through callers, failing
handlers and trouble with the disk, and ends with a stop or dies. The last life has no trouble, and time to bring
everything to its end.

All of it goes by one ``Random``, Trio's choices and the clock included, so a seed is one run, in every process.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from random import Random
from typing import Final, NamedTuple
from unittest import mock

import trio
from trio.testing import MockClock

from pexecutor.errors import PexecutorError, StoreUnavailableError, UnusableStoreError
from pexecutor.stores.limits import no_limit_keys
from pexecutor.stores.local import changes, listing
from pexecutor.stores.sqlite import database, journal, statements
from pexecutor.stores.sqlite.database import Durability
from pexecutor.task import make_serial
from pexecutor.values import leaf_exceptions

from ..determinism import deterministic_scheduling
from .callers import Callers
from .deliveries import NotifiedWork
from .disk import SURVIVES, FakeDisk
from .finding import Finding
from .inside import trouble, work
from .ledger import BrokenInvariantError, Ledger, demand
from .limits import Limits, limit_keys
from .log import FailingLog
from .process import DieAtStep, Process, by_mark, read_answers, read_file
from .requests import Requests
from .schedules import ScheduledWork

EPOCH: Final = 1_800_000_000.0
LAST_LIFE_SECONDS_MAX: Final = 60 * 24 * 60 * 60.0
CRASHES_IN_A_ROW: Final = 0.1
"""In how many of the seeds the process dies again and again while much is at work."""

DAY_SECONDS: Final = 24 * 60 * 60.0


class Report(NamedTuple):
    """What a seed came to.

    Parameters:
        seconds: of virtual time.
        crashes: lives that ended in the middle of something.
        steps: transactions that reached the disk, or calls that the server has done.
        tasks: that were accepted.
    """

    seconds: float
    crashes: int
    steps: int
    tasks: int


class World:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = chance = Random(seed)
        self.trace: list[str] = []
        self.disk = FakeDisk(chance)
        self.disk_seconds = chance.choice([0, 0, 0.001, 0.05, 1.0])
        self.durability: Durability = chance.choice(["full", "full", "full", "full", "normal"])
        self.history_records_max = chance.choice([10_000, 10_000, 3])
        self.checkpoint_pages = chance.choice([1000, 30, 10])
        self.records_at_once = chance.choice([2000, 2])
        self.starts_are_free = chance.random() < 0.5
        self.has_trouble = chance.random() < 0.5
        self.schedules = ScheduledWork(seed, EPOCH)
        self.limits = Limits(seed)
        self.finding = Finding(seed)
        self.log = FailingLog(Random(seed), chance.choice([0, 0, 0.1, 1]))
        self.group_min = chance.choice([statements.GROUP_MIN, 1])
        self.ledger = Ledger(
            chance.randint(1, 10),
            chance.randint(1, 3),
            in_order=not self.disk_seconds,
            crashes_max=chance.choice([1, 2, 3, 1000]),
        )
        self.requests = Requests(seed, self.now)
        self.notified = NotifiedWork(seed, self.now)
        self.crashes_in_a_row = chance.random() < CRASHES_IN_A_ROW
        if self.crashes_in_a_row:
            self._have_crashes_in_a_row()
        self.trace.append(
            f"queue of {self.ledger.queue_size}, pool of {self.ledger.pool_size}, "
            f"history of {self.history_records_max}, {self.durability} durability, disk up to {self.disk_seconds} s, "
            f"checkpoint at {self.checkpoint_pages} pages, {self.records_at_once} records at once, "
            f"starts {'free' if self.starts_are_free else 'durable'}, "
            f"{'with' if self.has_trouble else 'without'} trouble, "
            f"{self.group_min} tasks are many, at most {self.ledger.crashes_max} crashes, "
            f"{self.log.failing:.0%} of the lines of the log fail"
            f"{', crashes in a row' if self.crashes_in_a_row else ''}"
            f"{', schedules' if self.schedules.definitions else ''}"
            f"{f', at most {self.notified.bounds.deliveries_max} deliveries' if self.notified.are_made else ''}"
            f"{', limits' if self.limits.are_used else ''}"
            f"{f', steps of {self.finding.step_records_max} records' if self.finding.is_done else ''}"
        )
        self._marks = count(1)
        self._crashes = 0
        self._seconds = 0.0

    def _have_crashes_in_a_row(self) -> None:
        """Have many tasks run at each of several deaths, so that most of them have crashed and some are on trial."""
        self.has_trouble, self.disk_seconds = False, 0
        self.ledger = Ledger(10, 3, in_order=True, crashes_max=self.chance.choice([2, 3]))

    def run(self) -> Report:
        """Live all lives.

        Raises:
            BrokenInvariantError: or whatever else went wrong, with the seed and the trace as a note.
        """
        try:
            with deterministic_scheduling(self.seed), self._settings_without_a_way_in(), self.log.written_to():
                for _ in range(6 if self.crashes_in_a_row else self.chance.randint(1, 4)):
                    self._live(last=False)
                self._live(last=True)
        except BaseException as error:
            first = broken_by(error)
            first.add_note("\n".join([f"seed {self.seed}", *self.trace]))
            raise first from None
        return Report(self._seconds, self._crashes, self.ledger.writes, len(self.ledger.accepted))

    @contextmanager
    def _settings_without_a_way_in(self) -> Iterator[None]:
        with (
            mock.patch.object(secrets, "randbits", self.chance.getrandbits),
            mock.patch.object(database, "RECORDS_A_READ", self.records_at_once),
            mock.patch.object(journal, "CHANGES_A_TRANSACTION_MAX", self.records_at_once),
            mock.patch.object(statements, "GROUP_MIN", self.group_min),
            mock.patch.object(changes, "STEP_RECORDS_MAX", self.finding.step_records_max),
            mock.patch.object(listing, "EXAMINED_RECORDS_MAX", self.finding.examined_max),
        ):
            yield

    def now(self) -> float:
        """The wall clock."""
        return EPOCH + self._seconds + trio.current_time()

    def say(self, who: str, what: str) -> None:
        """Write a line of the trace."""
        self.trace.append(f"{self._seconds + trio.current_time():12.3f} {who:8} {what}")

    def _live(self, *, last: bool) -> None:
        trio.run(self._life, last, clock=MockClock(autojump_threshold=0))
        self._seconds += self.chance.choice([0, 1, 3600])
        if self.process.broken is not None:
            raise self.process.broken
        if self.process.dead:
            self._crashes += 1
            self.disk = self.disk.after_crash("all" if self.durability == "normal" else self.chance.choice(SURVIVES))
        else:
            self.disk = self.disk.after_exit()

    async def _life(self, last: bool) -> None:
        found, tag, acceptances = read_file(self.disk)
        self.ledger.found(found, make_serial(tag, acceptances))
        self.requests.look(read_answers(self.disk), by_mark(found), self.ledger.is_known)
        self.schedules.found(self.disk, found, self.ledger)
        self.notified.found(self.disk, found, self.ledger)
        self.limits.found(self.disk)
        async with trio.open_nursery() as machine:
            process = self.process = self._process_on(machine)
            self.limits.follow(process)
            if not last:
                self._plan_death(process)
            self.say("process", f"starts{' for the last time' if last else ''} with {len(found)} records")
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(process.executor.run)
                    if not process.dead:
                        self.ledger.recovered(process.book, found)
                        process.serving = True
                        process.on_look = partial(self._look_at_all, process)
                        process.look()
                        await self.schedules.declare(process)
                        if self.notified.are_made:
                            machine.start_soon(self.notified.take, process)
                        await (self._come_to_the_end(process) if last else self._be_used(process))
            except* (UnusableStoreError, StoreUnavailableError) as errors:
                if last:
                    raise
                demand("is damaged" not in str(first_of(errors)), "what cannot be used now is not damaged", errors)
                self.say("process", f"ends: {first_of(errors)}")
            machine.cancel_scope.cancel()
        self._seconds += trio.current_time()

    def _look_at_all(self, process: Process) -> None:
        self.schedules.look(process)
        self.notified.look(process)
        self.limits.look(process)

    def _process_on(self, machine: trio.Nursery) -> Process:
        return Process(
            self.disk,
            self.ledger,
            self.requests,
            machine,
            notified=self.notified,
            chance=self.chance,
            now=self.now,
            disk_seconds=self.disk_seconds,
            durability=self.durability,
            checkpoint_pages=self.checkpoint_pages,
            history_records_max=self.history_records_max,
            starts_are_free=self.starts_are_free,
            say=self.say,
            log=self.log,
            work=partial(work, chance=self.chance, say=self.say),
            limit_keys=limit_keys if self.limits.are_used else no_limit_keys,
        )

    def _plan_death(self, process: Process) -> None:
        process.may_be_killed = True
        if self.has_trouble and self.chance.random() < 0.1:
            self.disk.free_descriptors = self.chance.choice([0, 1, 2])
        if self.has_trouble and self.chance.random() < 0.3:
            self.disk.fail("failing", after=self.chance.randrange(20), operations=self.chance.choice([1, 2, 9]))
        match (
            "step" if self.crashes_in_a_row else self.chance.choice(["step", "step", "operation", "operation", "none"])
        ):
            case "step":
                step = int(self.chance.expovariate(1 / 400)) + 1
                trio.lowlevel.add_instrument(DieAtStep(process, step))
            case "operation":
                self.disk.crash_at(self.disk.operations + int(self.chance.expovariate(1 / 100)) + 1)

    async def _be_used(self, process: Process) -> None:
        callers = Callers(process, self.chance, self.say, lambda: next(self._marks), requests=self.requests)
        async with trio.open_nursery() as below:
            if self.has_trouble:
                below.start_soon(partial(trouble, process, chance=self.chance, say=self.say))
            if self.limits.are_used:
                below.start_soon(self.limits.change, process)
            if self.finding.is_done:
                below.start_soon(self.finding.act, process)
            async with trio.open_nursery() as nursery:
                for number in range(3):
                    nursery.start_soon(callers.call, f"caller {number + 1}", self.chance.randint(3, 25))
            below.cancel_scope.cancel()
        if self.has_trouble and self.chance.random() < 0.5:
            self.disk.fail("failing", operations=self.chance.choice([3, 1000]))
        process.executor.drain()
        self.say("process", "drains")
        with trio.move_on_after(self.chance.choice([0, 1, 100])):
            await process.executor.stopped.wait()
        process.executor.hard_stop()
        self.say("process", "stops")
        await process.executor.stopped.wait()
        self._after_stop(process)

    def _after_stop(self, process: Process) -> None:
        if process.dead:
            return
        process.look()
        demand(not process.at_work, "nothing is at work after a stop", process.at_work)
        if not self.has_trouble:
            demand(not process.book.running, "what is cut off is released", process.book.running)
            self.ledger.settled()

    async def _come_to_the_end(self, process: Process) -> None:
        pause_seconds = 60.0
        if self.limits.are_used:
            await self.limits.settle(process)
        with trio.fail_after(LAST_LIFE_SECONDS_MAX):
            while process.book.waiting() or process.book.running:
                await trio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 1.1, DAY_SECONDS)
                process.look()
        self.ledger.all_done(process.book)
        process.executor.drain()
        await process.executor.stopped.wait()
        self._after_stop(process)


def first_of(error: BaseException) -> BaseException:
    """The first error in a group, and in the groups in there."""
    while issubclass(type(error), BaseExceptionGroup):
        error = BaseExceptionGroup.exceptions.__get__(error)[0]
    return error


def broken_by(error: BaseException) -> Exception:
    """The broken promise that an error tells of: whatever a handler or the log raises, the process lives.

    Raises:
        KeyboardInterrupt: somebody has pressed Ctrl-C.
    """
    leaves = leaf_exceptions(error)
    fatal = [leaf for leaf in leaves if not issubclass(type(leaf), Exception | trio.Cancelled)]
    first = (fatal or leaves)[0]
    if isinstance(first, AssertionError | PexecutorError):
        return first
    if type(first) is KeyboardInterrupt and not first.args:
        raise first
    promise = "every task comes to its end" if type(first) is trio.TooSlowError else "the process lives"
    broken = BrokenInvariantError(f"{promise} | {type(first).__name__}")
    broken.__cause__ = first
    return broken
