"""``LocalStore``: tasks in the memory of one process.

Each verb that changes a named task takes that name's lock, decides without awaiting, makes the decision durable,
and publishes it in one go. What durable means comes in by the constructor: ``commit`` is awaited with the changes
before anybody can see them. By default there is nothing to write to, and tasks live as long as the process.

Who owns what:

* ``_registry``: the names in flight. Entered by ``submit``, replaced by ``claim`` and ``release``, left by ``_end``.
* ``_records``: every record that can be read, by serial. Changes together with the registry.
* ``_pending``, ``_running``: the tasks in these states. Changes together with the registry.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from typing import Final, TypeVar

import trio

from ..errors import AlreadyFinishedError, ExpiredTaskError, StoreUnavailableError, UnknownTaskError
from ..registry import ShardedLockDict
from ..task import (
    FULL,
    PRIORITY_MAX,
    Accepted,
    Duplicate,
    Ending,
    Finished,
    InFlight,
    Outcome,
    Pending,
    Record,
    Running,
    State,
    Task,
    Verdict,
    make_serial,
    parse_task_id,
)
from . import Page, PageRequest, StoreStatistics
from .history import History
from .listing import Place, Section, list_page
from .order import StartOrder
from .room import Room

HISTORY_RECORDS_MAX: Final = 10_000
HISTORY_SECONDS_MAX: Final = 7 * 24 * 60 * 60.0

R = TypeVar("R", Pending, Running)

COMMIT_SECONDS_MAX: Final = 10.0
"""How long a verb waits for its changes to be durable before it gives up; the shield's bound."""

Commit = Callable[[Sequence[Record]], Awaitable[None]]
"""Makes the new state of some records durable, all of them or none.

Raises ``StoreUnavailableError`` when it cannot; a commit that is cancelled has written nothing.
"""


async def keep_in_memory_only(changes: Sequence[Record]) -> None:
    """The commit of a store that outlives nothing."""


class LocalStore:
    """A store in memory; its promises are the contract's (see ``pexecutor.stores``).

    Parameters:
        queue_size: how many tasks may be pending.
        history_records_max: how many finished tasks can be read.
        history_seconds_max: for how long after its end one can be read.
        commit: what makes a change durable.
        now: the wall clock, in seconds since 1970.
        tag: 24 bits that tell this store's ids from any other's; drawn at random by default.
    """

    def __init__(
        self,
        *,
        queue_size: int = 1000,
        history_records_max: int = HISTORY_RECORDS_MAX,
        history_seconds_max: float = HISTORY_SECONDS_MAX,
        commit: Commit = keep_in_memory_only,
        now: Callable[[], float] = time.time,
        tag: int | None = None,
    ) -> None:
        if queue_size < 1:
            raise ValueError("queue_size must be at least 1")
        self.queue_size = queue_size
        self._commit = commit
        self._now = now
        self._tag = secrets.randbits(24) if tag is None else tag
        self._acceptances = 0
        self._registry: ShardedLockDict[InFlight] = ShardedLockDict()
        self._records: dict[int, Record] = {}
        self._pending = StartOrder()
        self._running: dict[int, Running] = {}
        self._history = History(
            records_max=history_records_max,
            seconds_max=history_seconds_max,
            forget=lambda record: self._records.__delitem__(record.serial),
        )
        self._arrivals = trio.lowlevel.ParkingLot()
        self._room = Room(queue_size, self._pending.__len__)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Nothing to open, nothing to flush."""
        yield

    # Submit and room

    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False) -> list[Verdict]:
        """Give each task its verdict."""
        try:
            async with self._registry.locked([task.name for task in tasks]):
                verdicts = self._decide(tasks, atomic=atomic)
                accepted = [verdict.record for verdict in verdicts if isinstance(verdict, Accepted)]
                with self._room.reserved(len(accepted)):
                    await self._make_durable(accepted)
                self._publish(accepted)
                return verdicts
        finally:
            self._room.offer()

    def _decide(self, tasks: Sequence[Task], *, atomic: bool) -> list[Verdict]:
        room = self._room.free()
        if atomic and len({task.name for task in tasks if self._registry.get(task.name) is None}) > room:
            room = 0
        now = self._now()
        taken: dict[str, Pending] = {}
        verdicts: list[Verdict] = []
        for task in tasks:
            holder = self._registry.get(task.name) or taken.get(task.name)
            if holder is not None:
                verdicts.append(Duplicate(holder))
            elif len(taken) >= room:
                verdicts.append(FULL)
            else:
                taken[task.name] = record = Pending(self._next_serial(), task, now)
                verdicts.append(Accepted(record))
        return verdicts

    def _publish(self, accepted: Sequence[Pending]) -> None:
        for record in accepted:
            self._registry[record.task.name] = record
            self._records[record.serial] = record
            self._pending.add(record)
        self._arrivals.unpark(count=len(accepted))

    def _next_serial(self) -> int:
        self._acceptances += 1
        return make_serial(self._tag, self._acceptances)

    async def wait_for_room(self, least: int, most: int) -> int:
        """Wait until ``least`` places are likely free; how many there are, at most ``most``."""
        return await self._room.wait(least, most)

    # Claim, finish, release, cancel

    async def claim(self, limit: int) -> list[Running]:
        """Wait for work, then start at most ``limit`` tasks, in start order."""
        while True:
            await trio.lowlevel.checkpoint()
            while not self._pending:
                await self._arrivals.park()
            first = list(islice(self._pending.after(PRIORITY_MAX, 0), limit))
            async with self._registry.locked([record.task.name for record in first]):
                if started := await self._start([record for record in first if self._is_current(record)]):
                    return started

    async def _start(self, claimed: Sequence[Pending]) -> list[Running]:
        now = self._now()
        started = [Running(record.serial, record.task, record.submitted_at, now) for record in claimed]
        await self._make_durable(started)
        for pending, running in zip(claimed, started, strict=True):
            self._pending.remove(pending)
            self._running[running.serial] = running
            self._replace(running)
        self._room.offer()
        return started

    async def finish(self, running: Running, ending: Ending) -> Finished:
        """Record the outcome and free the name."""
        async with self._registry.locked([running.task.name]):
            return await self._end(running, ending)

    async def release(self, tasks: Sequence[Running]) -> None:
        """Make running tasks pending again, at their old place in the order."""
        async with self._registry.locked([task.task.name for task in tasks]):
            returned = [Pending(task.serial, task.task, task.submitted_at) for task in tasks if self._is_current(task)]
            await self._make_durable(returned)
            for record in returned:
                del self._running[record.serial]
                self._pending.add(record)
                self._replace(record)
            self._arrivals.unpark(count=len(returned))

    async def cancel(self, task_id: str) -> Running | Finished:
        """End a pending task; return a running one as it is, for its worker to end."""
        record = await self.get(task_id)
        async with self._registry.locked([record.task.name]):
            match self._records.get(record.serial):
                case None:
                    raise ExpiredTaskError(task_id)
                case Pending() as pending:
                    return await self._end(pending, Ending(Outcome.CANCELLED))
                case Running() as running:
                    return running
                case Finished():
                    raise AlreadyFinishedError(task_id)

    async def _end(self, record: InFlight, ending: Ending) -> Finished:
        finished = Finished(
            record.serial,
            record.task,
            record.submitted_at,
            record.started_at if isinstance(record, Running) else None,
            self._now(),
            ending.outcome,
            ending.error,
        )
        await self._make_durable([finished])
        self._forget_in_flight(record)
        self._records[finished.serial] = finished
        self._history.add(finished)
        return finished

    def _forget_in_flight(self, record: InFlight) -> None:
        """Free the name and the place of a task that has ended."""
        del self._registry[record.task.name]
        if isinstance(record, Running):
            del self._running[record.serial]
        else:
            self._pending.remove(record)
            self._room.offer()

    async def _make_durable(self, changes: Sequence[Record]) -> None:
        """Commit, whatever happens to the caller meanwhile: half of a step is never left behind."""
        with trio.move_on_after(COMMIT_SECONDS_MAX, shield=True) as bound:
            await self._commit(changes)
        if bound.cancelled_caught:
            raise StoreUnavailableError(f"the store did not answer within {COMMIT_SECONDS_MAX:g} s")

    def _replace(self, record: InFlight) -> None:
        self._registry[record.task.name] = record
        self._records[record.serial] = record

    def _is_current(self, record: InFlight) -> bool:
        return self._records.get(record.serial) is record

    # Read

    async def get(self, task_id: str) -> Record:
        """The record with this id."""
        await trio.lowlevel.checkpoint()
        self._history.expire(self._now())
        serial = parse_task_id(task_id)
        if serial is None or not make_serial(self._tag, 0) < serial <= make_serial(self._tag, self._acceptances):
            raise UnknownTaskError(task_id)
        record = self._records.get(serial)
        if record is None:
            raise ExpiredTaskError(task_id)
        return record

    async def page(self, request: PageRequest) -> Page:
        """Some records in listing order."""
        await trio.lowlevel.checkpoint()
        self._history.expire(self._now())
        sections = [section for section in self._sections(request.name) if request.state in (None, section.state)]
        return list_page(sections, limit=request.limit, cursor=request.cursor)

    def _sections(self, name: str | None) -> list[Section]:
        return [
            Section(State.PENDING, partial(self._pending_after, name), _place_of_pending),
            Section(State.RUNNING, partial(self._running_after, name), _place_of_running),
            Section(State.FINISHED, partial(self._finished_after, name), self._place_of_finished),
        ]

    def _pending_after(self, name: str | None, place: Place | None) -> Iterator[Pending]:
        if name is not None:
            return _behind(place, _place_of_pending, self._holder_if(Pending, name))
        priority, serial = (PRIORITY_MAX, 0) if place is None else (-place[0], place[1])
        return self._pending.after(priority, serial)

    def _running_after(self, name: str | None, place: Place | None) -> Iterator[Running]:
        running = self._running.values() if name is None else self._holder_if(Running, name)
        return _behind(place, _place_of_running, running)

    def _finished_after(self, name: str | None, place: Place | None) -> Iterator[Finished]:
        finished = self._history.before(None if place is None else place[1])
        return finished if name is None else (record for record in finished if record.task.name == name)

    def _place_of_finished(self, record: Finished) -> Place:
        return 0, self._history.number_of(record)

    def _holder_if(self, state: type[R], name: str) -> list[R]:
        holder = self._registry.get(name)
        return [holder] if isinstance(holder, state) else []

    def statistics(self) -> StoreStatistics:
        """A snapshot for observers."""
        return StoreStatistics(
            queue_size=self.queue_size,
            pending=len(self._pending),
            running=len(self._running),
            history=len(self._history),
            durable=self._commit is not keep_in_memory_only,
        )


def _place_of_pending(record: Pending) -> Place:
    return -record.task.priority, record.serial


def _place_of_running(record: Running) -> Place:
    return int(record.started_at * 1_000_000), record.serial


def _behind(place: Place | None, place_of: Callable[[R], Place], records: Iterable[R]) -> Iterator[R]:
    """Those records of a few that come after the place, in order."""
    in_order = sorted(records, key=place_of)
    return iter(in_order if place is None else [record for record in in_order if place_of(record) > place])
