"""``Executor``: runs named tasks on a fixed pool of workers, and stops without losing any.

It is pure Trio and starts nothing by itself::

    async with trio.open_nursery() as nursery:
        executor = Executor(LocalStore(queue_size=1000), pool_size=5)
        await nursery.start(executor.run)
        [verdict] = await executor.submit([Task("report", duration=200)])
        executor.drain()

The shape: callers come in here and are answered by the store; what the store has to run is run by a ``Pool`` of workers
(see ``pool.py``), which lives as long as ``run`` does.

The stop, always in this order:

1. ``drain()``: submits are answered ``Draining``; those who wait for room are answered at once.
2. The feeder ends. What was claimed and whose worker has yet to wake is released.
3. Running tasks have ``drain_timeout_seconds``, or until ``hard_stop()``.
4. What is left is cancelled and released.
5. The events end, the store is closed, ``stopped`` is set, ``run`` returns.

Road not taken: stopping by cancelling ``run`` from outside alone. That works too (it is step 4 at once) but
leaves the running tasks no time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import trio

from ..errors import FieldError, InvalidTaskError, StoreUnavailableError
from ..handlers import BUILT_IN, Catalogue, Complaint, Context
from ..observe.events import DrainBegun, Feed, TaskProgress
from ..observe.notify import notifier
from ..observe.timeline import Timeline
from ..stores import Node, NodeState, Page, PageRequest, Store, Watcher
from ..task import DRAINING, Accepted, Finished, Following, Full, Pending, Record, Running, Scheduled, Task, Verdict
from .pool import Pool
from .rate import FinishRate
from .statistics import Phase, Statistics, Tally, Timings, add_up

PROGRESS_SECONDS: Final = 0.2
"""How often the events tell of a task's progress at most."""


class Executor:
    """A pool of workers on a store.

    ``events`` tells what happens, ``timeline`` what went through lately.

    Parameters:
        store: where tasks live.
        pool_size: how many tasks run at once.
        drain_timeout_seconds: how long running tasks have to end once a drain has begun.
        handlers: what runs tasks, by name.
        on_change: called with changes of tasks, in their order, once everybody can see them. It must be quick; errors
            that it raises are kept from the executor, and the first one is logged.
    """

    def __init__(
        self,
        store: Store,
        *,
        pool_size: int = 5,
        drain_timeout_seconds: float = 30.0,
        handlers: Catalogue = BUILT_IN,
        on_change: Callable[[Sequence[Record]], None] | None = None,
    ) -> None:
        if pool_size < 1:
            raise ValueError("pool_size must be at least 1")
        if drain_timeout_seconds < 0:
            raise ValueError("drain_timeout_seconds must not be negative")
        self.pool_size = pool_size
        self.drain_timeout_seconds = drain_timeout_seconds
        self.stopped: trio.Event = trio.Event()
        self._store = store
        self.handlers = handlers
        self._on_change = None if on_change is None else notifier(on_change)
        self._phase = Phase.NEW
        self.draining: trio.Event = trio.Event()
        # Owned by _wait_for_room and wait: the scopes of those who wait; drain() ends the ones, the stop the others.
        self._waiting_for_room: set[trio.CancelScope] = set()
        self._waiting_for_ends: set[trio.CancelScope] = set()
        self._tally = Tally(handlers.names())
        self._rate: FinishRate | None = None
        self.events: Feed = Feed()
        self.timeline: Timeline = Timeline()
        self._pool = Pool(
            store, handlers, pool_size, tally=self._tally, ended=self._count_endings, is_busy=self._note_busy
        )
        store.watch(Watcher(self._note, self._pool.cancel, self._pool.lose, self._describe))

    # Life

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until a drain has ended; ``started`` once submits are taken.

        Raises:
            RuntimeError: it was run before.
        """
        if self._phase is Phase.STOPPED or self._rate is not None:
            raise RuntimeError("an Executor runs once; make a new one")
        self._rate = FinishRate(trio.current_time)
        try:
            async with self.handlers.opened(), self._store.opened():
                if self._phase is Phase.NEW:
                    self._phase = Phase.SERVING
                task_status.started()
                if self._phase is Phase.SERVING:
                    await self._run_pool()
                self.events.end()
        finally:
            self.events.end()
            self._phase = Phase.STOPPED
            self.draining.set()
            self.stopped.set()
            for scope in self._waiting_for_ends:
                scope.cancel()

    async def _run_pool(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_progress)
            await self._pool.run()
            nursery.cancel_scope.cancel()

    async def _tell_progress(self) -> None:
        """While somebody reads the events, tell of progress as it is seen, at most so often."""
        told: dict[str, TaskProgress] = {}
        while True:
            await self.events.read_by_anybody()
            seen = {
                context.id: TaskProgress(context.id, context.name, context.done, context.total)
                for context in self._pool.contexts()
                if context.done is not None
            }
            for progress in seen.values():
                if told.get(progress.id) != progress:
                    self.events.put(progress)
            told = seen
            await trio.sleep(PROGRESS_SECONDS)

    def _note(self, records: Sequence[Record]) -> None:
        self.events.put_all(records)
        self.timeline.note(records)
        if self._on_change is not None:
            self._on_change(records)

    def _describe(self) -> NodeState:
        return NodeState(self.pool_size, self._pool.busy, self._phase is not Phase.SERVING)

    def drain(self, *, seconds_ago: float = 0.0) -> None:
        """Take no more, start no more, and end when what runs has ended. Calling it again changes nothing.

        Parameters:
            seconds_ago: how long ago the drain was requested; running tasks have that much less time.
        """
        if self._phase is Phase.SERVING:
            self._pool.drain(max(0.0, self.drain_timeout_seconds - seconds_ago))
        if self._phase in (Phase.NEW, Phase.SERVING):
            self._phase = Phase.DRAINING
            self.draining.set()
            self.events.put(DrainBegun())
            for scope in self._waiting_for_room:
                scope.cancel()

    def hard_stop(self) -> None:
        """Drain, and cancel and release what runs without waiting for it any longer."""
        self.drain()
        self._pool.stop_now()

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
        self.check(tasks)
        deadline = trio.current_time() + wait_for_room_seconds
        verdicts = await self._submit_once(tasks, atomic)
        if set(map(type, verdicts)) == {Accepted}:
            return verdicts
        refused = [index for index, verdict in enumerate(verdicts) if isinstance(verdict, Full)]
        while refused:
            least = len({tasks[index].name for index in refused}) if atomic else 1
            places = await self._wait_for_room(least, len(refused), deadline)
            if not places:
                break
            retried, left = (refused, []) if atomic else (refused[:places], refused[places:])
            try:
                again = await self._submit_once([tasks[index] for index in retried], atomic)
            except StoreUnavailableError:
                if any(isinstance(verdict, Accepted) for verdict in verdicts):
                    break  # what was taken before has to be told
                raise
            for index, verdict in zip(retried, again, strict=True):
                verdicts[index] = verdict
            refused = [index for index in retried if isinstance(verdicts[index], Full)] + left
        self._tally.count_refused(tasks, verdicts)
        return verdicts

    def submit_nowait(self, tasks: Sequence[Task]) -> list[Verdict] | None:
        """The same at once, when all are accepted and nothing has to be awaited; else ``None``, and nothing was taken.

        Raises:
            InvalidTaskError: as ``submit`` does.
        """
        self.check(tasks)
        verdicts = self._store.submit_nowait(tasks) if self._serving() else None
        if verdicts is not None:
            self._tally.count_taken(tasks, verdicts)
        return verdicts

    async def _submit_once(self, tasks: Sequence[Task], atomic: bool) -> list[Verdict]:
        if not self._serving():
            await trio.lowlevel.checkpoint()
            return [DRAINING] * len(tasks)
        verdicts = await self._store.submit(tasks, atomic=atomic)
        self._tally.count_taken(tasks, verdicts)
        for superseded in [verdict.superseded for verdict in verdicts if isinstance(verdict, Accepted)]:
            if superseded is not None:
                self._pool.cancel(superseded.serial)
        return verdicts

    def fault(self, task: Task) -> Complaint | None:
        """What is wrong with a task that its handler would not take: the field, and why."""
        return self.handlers.check(task)

    def check(self, tasks: Sequence[Task]) -> None:
        """See that handlers would take all of them. Raises ``InvalidTaskError``, with the faults of all."""
        check = self.handlers.check
        faults = [FieldError(index, *fault) for index, task in enumerate(tasks) if (fault := check(task)) is not None]
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
            self._pool.cancel(record.serial)
        else:
            self._count_endings(1)
        return record

    async def set_priority(self, task_id: str, priority: int) -> Scheduled | Following | Pending:
        """Give a task that waits another place in the start order; its record.

        Raises:
            UnknownTaskError, ExpiredTaskError, AlreadyStartedError, AlreadyFinishedError: it does not wait.
            StoreUnavailableError: it could not be made durable, and nothing was changed.
        """
        return await self._store.set_priority(task_id, priority)

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
        return self._pool.context(record)

    async def nodes(self) -> list[Node]:
        """The processes that share the store; none when nobody does."""
        return await self._store.nodes()

    async def page(self, request: PageRequest) -> Page:
        """Some records in listing order. Raises ``InvalidCursorError``."""
        return await self._store.page(request)

    def retry_after_seconds(self, places: int) -> int:
        """When a caller who found no room for so many tasks may try again: 1 to 60 s."""
        return self._rate.retry_after_seconds(places) if self._rate is not None else 1

    def statistics(self) -> Statistics:
        """A snapshot for observers."""
        handlers = self._tally.by_handler()
        total = add_up(handlers.values())
        return Statistics(
            phase=self._phase,
            pool_size=self.pool_size,
            busy=self._pool.busy,
            submitted=total.submitted,
            duplicates=total.duplicates,
            rejected=total.rejected,
            started=total.started,
            released=total.released,
            retried=total.retried,
            finished_per_second=self._rate.per_second() if self._rate is not None else 0.0,
            waiting_for_room=len(self._waiting_for_room),
            handlers=handlers,
            store=self._store.statistics(),
        )

    def timings(self) -> Timings:
        """How long things took so far."""
        return self._tally.timings(self._store.commits)

    def __repr__(self) -> str:
        now = self._store.statistics()
        return (
            f"<Executor {self._phase}, {now.running} of {self.pool_size} running, "
            f"{now.pending} of {now.queue_size} pending>"
        )

    def _count_endings(self, endings: int) -> None:
        if self._rate is not None:
            self._rate.count(endings)

    def _note_busy(self, busy: bool) -> None:
        if self._rate is not None:
            if busy:
                self._rate.begin()
            else:
                self._rate.end()
