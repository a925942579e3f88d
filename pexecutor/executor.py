"""``Executor``: runs named tasks on a fixed pool of workers, and stops without losing any.

It is pure Trio and starts nothing by itself::

    async with trio.open_nursery() as nursery:
        executor = Executor(LocalStore(queue_size=1000), pool_size=5)
        await nursery.start(executor.run)
        [verdict] = await executor.submit([Task("report", duration=200)])
        executor.drain()

The shape: one nursery owns a feeder and ``pool_size`` workers. The feeder claims tasks from the store, never more
than there are idle workers, and hands them over through a bounded memory channel. So the order of the store is the
order of the starts, and nothing lies in the channel that a more urgent task would have to wait for.

The stop, always in this order:

1. ``drain()``: submits are answered ``Draining``; those who wait for room are answered at once.
2. The feeder ends. What was claimed and whose worker has yet to wake is released.
3. Running tasks have ``drain_timeout_seconds``, or until ``hard_stop()``.
4. What is left is cancelled and released.
5. The store is closed, ``stopped`` is set, ``run`` returns.

Invariants: a claimed task is settled exactly once, by ``finish`` or by ``release``, whatever happens in between; from
its claim until then its scope is in ``_attempts``, so a cancel always reaches it.

Road not taken: stopping by cancelling ``run`` from outside alone. That works too (it is step 4 at once) but
leaves the running tasks no time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

import trio

from .attempt import LiveAttempt
from .errors import FieldError, InvalidTaskError
from .handlers import BUILT_IN, Catalogue, Context
from .rate import FinishRate
from .statistics import Phase, Statistics, Tally
from .stores import Page, PageRequest, Store
from .task import DRAINING, Accepted, Ending, Finished, Full, Record, Running, Task, Verdict

SETTLE_SECONDS_MAX: Final = 5.0
"""How long recording an outcome or a release may take after the work was cancelled; the shield's bound."""


class Executor:
    """A pool of workers on a store.

    Parameters:
        store: where tasks live.
        pool_size: how many tasks run at once.
        drain_timeout_seconds: how long running tasks have to end once a drain has begun.
        handlers: what runs tasks, by name.
    """

    def __init__(
        self,
        store: Store,
        *,
        pool_size: int = 5,
        drain_timeout_seconds: float = 30.0,
        handlers: Catalogue = BUILT_IN,
    ) -> None:
        if pool_size < 1:
            raise ValueError("pool_size must be at least 1")
        if drain_timeout_seconds < 0:
            raise ValueError("drain_timeout_seconds must not be negative")
        self.pool_size = pool_size
        self.drain_timeout_seconds = drain_timeout_seconds
        self.stopped = trio.Event()
        self._store = store
        self.handlers = handlers
        self._phase = Phase.NEW
        self.draining = trio.Event()
        self._hard_stop = trio.CancelScope()
        self._idle = trio.Semaphore(pool_size, max_value=pool_size)
        # Filled by the feeder, emptied by the workers: claimed tasks whose worker has yet to wake.
        self._handed_over: deque[LiveAttempt] = deque()
        # Entered by the feeder, left by _settle: each task that this executor has claimed, by its serial.
        self._attempts: dict[int, LiveAttempt] = {}
        # Owned by _wait_for_room and wait: the scopes of those who wait; drain() ends the ones, the stop the others.
        self._waiting_for_room: set[trio.CancelScope] = set()
        self._waiting_for_ends: set[trio.CancelScope] = set()
        self._tally = Tally()
        self._rate: FinishRate | None = None

    # Life

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until a drain has ended; ``started`` once submits are taken.

        Raises:
            RuntimeError: it was run before.
        """
        if self._phase is Phase.STOPPED or self._rate is not None:
            raise RuntimeError("an Executor runs once; make a new one")
        try:
            async with self.handlers.opened(), self._store.opened():
                try:
                    with self._hard_stop:
                        await self._run_pool(task_status)
                finally:
                    await self._release([attempt.running for attempt in self._handed_over])
        finally:
            self._phase = Phase.STOPPED
            self.draining.set()
            self.stopped.set()
            for scope in self._waiting_for_ends:
                scope.cancel()

    async def _run_pool(self, task_status: trio.TaskStatus[None]) -> None:
        to_workers, from_feeder = trio.open_memory_channel[None](self.pool_size)
        feeding = trio.CancelScope()
        with from_feeder:
            async with trio.open_nursery() as pool:
                for _ in range(self.pool_size):
                    pool.start_soon(self._work, from_feeder.clone())
                pool.start_soon(self._feed, to_workers, feeding)
                self._begin_serving()
                task_status.started()
                await self.draining.wait()
                feeding.cancel()
                self._hard_stop.deadline = trio.current_time() + self.drain_timeout_seconds

    def _begin_serving(self) -> None:
        self._rate = FinishRate(trio.current_time)
        if self._phase is Phase.NEW:
            self._phase = Phase.SERVING

    def drain(self) -> None:
        """Take no more, start no more, and end when what runs has ended. Calling it again changes nothing."""
        if self._phase in (Phase.NEW, Phase.SERVING):
            self._phase = Phase.DRAINING
            self.draining.set()
            for scope in self._waiting_for_room:
                scope.cancel()

    def hard_stop(self) -> None:
        """Drain, and cancel and release what runs without waiting for it any longer."""
        self.drain()
        self._hard_stop.cancel()

    def _serving(self) -> bool:
        return self._phase is Phase.SERVING

    # What callers ask

    async def submit(
        self, tasks: Sequence[Task], *, atomic: bool = False, wait_for_room_seconds: float = 0.0
    ) -> list[Verdict]:
        """Give each task its verdict, in the order of the list; nothing is lost when this is cancelled.

        Parameters:
            tasks: what to run.
            atomic: take all whose names are free, or none when they do not all fit.
            wait_for_room_seconds: how long to wait for room before a task is answered ``Full``.

        Raises:
            InvalidTaskError: some have no such handler, or params that it does not take; none was taken.
            StoreUnavailableError: nothing of it could be made durable, and none was taken.
        """
        self._check(tasks)
        deadline = trio.current_time() + wait_for_room_seconds
        verdicts = await self._submit_once(tasks, atomic)
        while refused := [index for index, verdict in enumerate(verdicts) if isinstance(verdict, Full)]:
            least = len({tasks[index].name for index in refused}) if atomic else 1
            places = await self._wait_for_room(least, len(refused), deadline)
            if not places:
                break
            retried = refused if atomic else refused[:places]
            for index, verdict in zip(
                retried, await self._submit_once([tasks[index] for index in retried], atomic), strict=True
            ):
                verdicts[index] = verdict
        self._tally.count_refused(verdicts)
        return verdicts

    async def _submit_once(self, tasks: Sequence[Task], atomic: bool) -> list[Verdict]:
        if not self._serving():
            await trio.lowlevel.checkpoint()
            return [DRAINING] * len(tasks)
        verdicts = await self._store.submit(tasks, atomic=atomic)
        self._tally.count_taken(verdicts)
        for verdict in verdicts:
            if isinstance(verdict, Accepted) and verdict.superseded is not None:
                self._cancel_attempt(verdict.superseded)
        return verdicts

    def fault(self, task: Task) -> tuple[str, str] | None:
        """What is wrong with a task that its handler would not take: the field, and why."""
        return self.handlers.check(task)

    def _check(self, tasks: Sequence[Task]) -> None:
        faults = [
            FieldError(index, *fault) for index, task in enumerate(tasks) if (fault := self.fault(task)) is not None
        ]
        if faults:
            raise InvalidTaskError(faults)

    async def _wait_for_room(self, least: int, most: int, deadline: float) -> int:
        """How many tasks another try is worth; 0 when there was no room in time."""
        if not self._serving():
            return most
        if trio.current_time() >= deadline:
            return 0
        places = 0
        with trio.CancelScope(deadline=deadline) as scope:
            self._waiting_for_room.add(scope)
            try:
                places = await self._store.wait_for_room(least, most)
            finally:
                self._waiting_for_room.discard(scope)
        return places if self._serving() else most

    async def cancel(self, task_id: str) -> Running | Finished:
        """Cancel a task: a pending one has ended when this returns, a running one has been told to.

        Raises:
            UnknownTaskError, ExpiredTaskError, AlreadyFinishedError: there is nothing to cancel.
        """
        record = await self._store.cancel(task_id)
        if isinstance(record, Running):
            self._cancel_attempt(record)
        else:
            self._count_ending()
        return record

    def _cancel_attempt(self, running: Running) -> None:
        if (attempt := self._attempts.get(running.serial)) is not None:
            attempt.cancel()

    async def wait(self, task_id: str, *, seconds_max: float = math.inf) -> Record:
        """Wait for a task's outcome; its record, or what it is by then when time is up or the executor stops.

        Raises:
            UnknownTaskError, ExpiredTaskError: there is nothing to wait for.
        """
        if self._phase is not Phase.STOPPED:
            with trio.move_on_after(seconds_max) as scope:
                self._waiting_for_ends.add(scope)
                try:
                    return await self._store.wait(task_id)
                finally:
                    self._waiting_for_ends.discard(scope)
        return await self._store.get(task_id)

    async def get(self, task_id: str) -> Record:
        """The record of a task. Raises ``UnknownTaskError``, ``ExpiredTaskError``."""
        return await self._store.get(task_id)

    def context(self, record: Record) -> Context | None:
        """What the attempt of a task tells of itself, while it runs here."""
        attempt = self._attempts.get(record.serial)
        return None if attempt is None else attempt.context

    async def page(self, request: PageRequest) -> Page:
        """Some records in listing order. Raises ``InvalidCursorError``."""
        return await self._store.page(request)

    def retry_after_seconds(self, places: int) -> int:
        """When a caller who found no room for so many tasks may try again: 1 to 60 s."""
        return self._rate.retry_after_seconds(places) if self._rate is not None else 1

    def statistics(self) -> Statistics:
        """A snapshot for observers."""
        return Statistics(
            phase=self._phase,
            pool_size=self.pool_size,
            submitted=self._tally.submitted,
            duplicates=self._tally.duplicates,
            rejected=self._tally.rejected,
            started=self._tally.started,
            released=self._tally.released,
            retried=self._tally.retried,
            finished_per_second=self._rate.per_second() if self._rate is not None else 0.0,
            waiting_for_room=len(self._waiting_for_room),
            store=self._store.statistics(),
        )

    def __repr__(self) -> str:
        now = self._store.statistics()
        return (
            f"<Executor {self._phase}, {now.running} of {self.pool_size} running, "
            f"{now.pending} of {now.queue_size} pending>"
        )

    # Feeder and workers

    async def _feed(self, to_workers: trio.MemorySendChannel[None], feeding: trio.CancelScope) -> None:
        """Claim for idle workers, as many as there are; a claim is handed over without another await."""
        with to_workers, feeding:
            while True:
                await self._idle.acquire()
                idle = 1 + self._acquire_more_idle()
                claimed: list[Running] = []
                try:
                    claimed = await self._store.claim(idle)
                finally:
                    self._release_idle(idle - len(claimed))
                self._tally.started += len(claimed)
                for running in claimed:
                    attempt = self._attempts[running.serial] = LiveAttempt(running, self._hard_stop)
                    self._handed_over.append(attempt)
                    to_workers.send_nowait(None)

    def _acquire_more_idle(self) -> int:
        more = self._idle.value
        for _ in range(more):
            self._idle.acquire_nowait()
        return more

    def _release_idle(self, workers: int) -> None:
        for _ in range(workers):
            self._idle.release()

    async def _work(self, from_feeder: trio.MemoryReceiveChannel[None]) -> None:
        """Take turns; whichever worker wakes first takes the task that is first, as Trio wakes them in any order."""
        with from_feeder:
            async for _ in from_feeder:
                try:
                    await self._settle(self._handed_over.popleft())
                finally:
                    self._idle.release()

    async def _settle(self, attempt: LiveAttempt) -> None:
        """Run a task to the end of this attempt, or give it back."""
        settled = False
        try:
            if self._serving():
                ending = await attempt.run(self.handlers)
                with trio.move_on_after(SETTLE_SECONDS_MAX, shield=True):
                    if ending is not None:
                        await self._finish(attempt.running, ending)
                        settled = True
        finally:
            if not settled:
                await self._release([attempt.running])
            del self._attempts[attempt.running.serial]

    async def _finish(self, running: Running, ending: Ending) -> None:
        if isinstance(await self._store.finish(running, ending), Finished):
            self._count_ending()
        else:
            self._tally.retried += 1

    async def _release(self, tasks: Sequence[Running]) -> None:
        with trio.move_on_after(SETTLE_SECONDS_MAX, shield=True):
            await self._store.release(tasks)
            self._tally.released += len(tasks)

    def _count_ending(self) -> None:
        if self._rate is not None:
            self._rate.count()
