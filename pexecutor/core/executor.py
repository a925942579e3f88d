"""``Executor``: runs named tasks on a fixed pool of workers, and stops without losing a task.

It uses only Trio and starts nothing by itself::

    async with trio.open_nursery() as nursery:
        executor = Executor(LocalStore(queue_size=1000), pool_size=5)
        await nursery.start(executor.run)
        [verdict] = await executor.submit([Task("report", duration=200)])
        executor.drain()

Callers submit tasks here, and the store decides their verdicts. A ``Pool`` of workers (see ``pool.py``) runs the tasks
of the store for as long as ``run`` runs.

The stop always has these steps, in this order:

1. ``drain()``: submits get the verdict ``Draining``, and submits that wait for room get their verdicts at once.
2. The feeder ends. Claimed tasks that no worker has begun are released.
3. Running tasks may run for ``drain_timeout_seconds``, or until ``hard_stop()``.
4. Tasks that still run are cancelled and released. Notifications that are due are sent within the same time.
5. The events end, the store is closed, ``stopped`` is set, and ``run`` returns.

Road not taken: cancelling ``run`` from outside as the only way to stop. It works (it goes straight to step 4), but
running tasks get no time to end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
import trio

from ..handlers import BUILT_IN, Catalogue, Complaint, Context
from ..limits.defaults import POOL_SIZE
from ..limits.times import DRAIN_TIMEOUT_SECONDS
from ..logs.files import LogFiles, opened, watching
from ..notifications.dispatcher import Dispatcher
from ..notifications.loading import open_http_sender
from ..notifications.sending import OpenSender
from ..notifications.settings import Target
from ..observe.events import DrainBegun, Feed, OccurrenceSkipped
from ..observe.notify import notifier
from ..observe.timeline import Timeline
from ..schedules.clock import ScheduleClock
from ..schedules.counts import OccurrenceCounts
from ..schedules.operations import Schedules
from ..schedules.tables import DeclaredSchedules, StoredTables, run_schedules
from ..stores import Node, NodeState, Page, PageRequest, Store, Watcher
from ..stores.schedules import Skipped
from ..task import Finished, Record, Running, Task, Verdict
from .bulk import Bulk
from .limits import Limits
from .pool import Pool
from .progress import publish_progress
from .rate import FinishRate
from .requests import Requests
from .settings import CurrentSettings, ExecutorSettings
from .settings_changes import SettingsChanges
from .statistics import Phase, Statistics, Tally, Timings, add_up
from .submits import TaskSubmits


class Executor:
    """An executor of named tasks: a pool of workers on a store.

    ``schedules`` has the operations on schedules, and ``clock`` fires them. ``limits`` has those on limits and pauses.
    ``events`` is the feed of changes, and ``timeline`` sums up the last 15 minutes. ``notifications`` sends what
    outcomes and skips bring.

    Parameters:
        store: the store that keeps the tasks.
        pool_size: how many tasks run at once.
        drain_timeout_seconds: how long running tasks may run on once a drain has begun.
        handlers: the handlers that run tasks, by name.
        declared: the schedules of a settings file, which are stored before a schedule fires; ``None`` without a file.
        targets: the receivers of notifications, by name.
        open_sender: opens what sends notifications; by default as HTTP requests.
        on_change: called with the new records of changed tasks, in order, once the changes are visible to all callers.
            It must return quickly. Its exceptions do not reach the executor; the first one is logged.
        on_skip: called with the name of a schedule and each skip of its times by this executor; a repeated skip has a
            ``count`` above 1.
        logs: keeps the whole output of attempts in files; without it, only the end of each output is kept.
    """

    def __init__(
        self,
        store: Store,
        *,
        pool_size: int = POOL_SIZE,
        drain_timeout_seconds: float = DRAIN_TIMEOUT_SECONDS,
        handlers: Catalogue = BUILT_IN,
        declared: DeclaredSchedules | None = None,
        targets: Mapping[str, Target] | None = None,
        open_sender: OpenSender = open_http_sender,
        on_change: Callable[[Sequence[Record]], None] | None = None,
        on_skip: Callable[[str, Skipped], None] = lambda *_: None,
        logs: LogFiles | None = None,
    ) -> None:
        if drain_timeout_seconds < 0:
            raise ValueError("drain_timeout_seconds must not be negative")
        self._settings = CurrentSettings(ExecutorSettings(pool_size, handlers, declared, targets or {}))
        self.drain_timeout_seconds: float = drain_timeout_seconds
        self.stopped: trio.Event = trio.Event()
        self._store = store
        self.logs: LogFiles | None = logs
        self._on_change = None if on_change is None else notifier(on_change)
        self._phase = Phase.NEW
        self.draining: trio.Event = trio.Event()
        # The scopes of callers that wait for an end. Only wait() changes the set, and the end of run() cancels them.
        self._waiting_for_ends: set[trio.CancelScope] = set()
        self._tally = Tally(handlers.names())
        self._rate: FinishRate | None = None
        self.events: Feed = Feed()
        self.timeline: Timeline = Timeline()
        self._pool = Pool(
            store, self._settings, logs, tally=self._tally, ended=self._count_endings, is_busy=self._note_busy
        )
        self._submits = TaskSubmits(store, self._settings, self._tally, self._serving, superseded=self._pool.cancel)
        self.notifications: Dispatcher = Dispatcher(store.deliveries, targets or {}, open_sender)
        self._occurrences = OccurrenceCounts()
        self._on_skip = on_skip
        self.clock: ScheduleClock = self._new_clock()
        self.schedules: Schedules = Schedules(self.clock, fault=self.fault, removed=self._occurrences.forget)
        self.requests: Requests = Requests(store, self._submits)
        self.bulk: Bulk = Bulk(store, self._submits, self._pool.cancel, self._count_endings)
        self.limits: Limits = Limits(store, self._settings, self.events)
        self._watch()
        self._tables = StoredTables(lambda: self.settings.declared, self.schedules)
        self._changes = SettingsChanges(
            self._settings,
            *(store.limits, self._submits, self._pool, self.limits, self._tables, self.notifications, self._tally),
            watch=self._watch,
            is_serving=self._serving,
        )

    def _new_clock(self) -> ScheduleClock:
        return ScheduleClock(
            self._store,
            draining=self.draining,
            knows=lambda handler: handler in self.handlers,
            fill=self._submits.fill,
            took=lambda task, verdict: self._submits.settle([task], [verdict]),
            skip_targets=self.notifications.for_skip,
            on_fire=self._occurrences.count_fired,
            on_skip=self._note_skip,
        )

    def _watch(self) -> None:
        watcher = Watcher(self._note, self._pool.cancel, self._pool.lose, self._describe, self.clock.wake)
        self.limits.watch(watching(self.logs, self.notifications.watching(watcher)))

    # Settings

    @property
    def settings(self) -> ExecutorSettings:
        """Return the settings in effect."""
        return self._settings.now

    @property
    def handlers(self) -> Catalogue:
        """Return the handlers in effect; a change replaces them."""
        return self._settings.now.handlers

    @property
    def pool_size(self) -> int:
        """Return how many tasks run at once."""
        return self._settings.now.pool_size

    def check_settings(self, new: ExecutorSettings) -> None:
        """Check whether ``apply_settings`` would accept new settings now; nothing is changed.

        Raises:
            ConfigError: the settings are invalid, or tasks in flight need a handler that is missing from them.
        """
        self._changes.check(new)

    async def apply_settings(self, new: ExecutorSettings) -> None:
        """Exchange the settings while tasks run: all of them, or none if this raises; see ``settings_changes.py``.

        Running attempts keep their handlers. A smaller pool lets running tasks end. Limits and schedules are stored as
        at a start, and later if the store is unavailable.

        Raises:
            ConfigError: as ``check_settings`` does.
            NotServingError: the executor does not run, or is draining.
        """
        await self._changes.apply(new)

    # Run and stop

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run tasks until a drain is complete; report ``started`` once submits are accepted.

        Raises:
            RuntimeError: this executor has run before.
        """
        if self._phase is Phase.STOPPED or self._rate is not None:
            raise RuntimeError("this Executor has run before: make a new one")
        self._rate = FinishRate(trio.current_time)
        try:
            async with self.handlers.surrounded(), self._store.opened(), opened(self.logs, self._store):
                if self._phase is Phase.NEW:
                    self._phase = Phase.SERVING
                if self._phase is Phase.SERVING:
                    await self._run_pool(task_status)
                else:
                    task_status.started()
                self.events.end()
        finally:
            self.events.end()
            self._phase = Phase.STOPPED
            self.draining.set()
            self.stopped.set()
            for scope in self._waiting_for_ends:
                scope.cancel()

    async def _run_pool(self, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            async with self._changes.running(nursery):
                await nursery.start(self.limits.keep_numbers)
                await nursery.start(run_schedules, self._tables, self.clock)
                task_status.started()
                nursery.start_soon(publish_progress, self._pool, self.events)
                await nursery.start(self.notifications.run)
                await self._pool.run()
                await self.notifications.finish()
            nursery.cancel_scope.cancel()

    def _note(self, records: Sequence[Record]) -> None:
        self.events.put_all(records)
        self.timeline.note(records)
        if self._on_change is not None:
            self._on_change(records)

    def _note_skip(self, name: str, skipped: Skipped) -> None:
        self._occurrences.count_skipped(name, skipped)
        if skipped.count == 1:
            self.events.put(OccurrenceSkipped(name, skipped.last_at, skipped.reason, skipped.holder_id))
        self._on_skip(name, skipped)

    def _describe(self) -> NodeState:
        return NodeState(self.pool_size, self._pool.busy, self._phase is not Phase.SERVING)

    def drain(self, *, seconds_ago: float = 0.0) -> None:
        """Accept and start no more tasks, and end once the running tasks have ended. A second call changes nothing.

        Parameters:
            seconds_ago: how long ago the drain was requested; running tasks get that much less time.
        """
        if self._phase is Phase.SERVING:
            seconds_max = max(0.0, self.drain_timeout_seconds - seconds_ago)
            self._pool.drain(seconds_max)
            self.notifications.drain(seconds_max)
        if self._phase in (Phase.NEW, Phase.SERVING):
            self._phase = Phase.DRAINING
            self.draining.set()
            self.events.put(DrainBegun())
            self._submits.room.stop_waiting()

    def hard_stop(self) -> None:
        """Drain, but cancel and release running tasks at once."""
        self.drain()
        self._pool.stop_now()
        self.notifications.stop_now()

    def _serving(self) -> bool:
        return self._phase is Phase.SERVING

    # Calls

    async def submit(
        self, tasks: Sequence[Task], *, atomic: bool = False, wait_for_room_seconds: float = 0.0
    ) -> list[Verdict]:
        """Submit tasks and return the verdict on each, in the order of ``tasks``. A cancelled call loses no task.

        Parameters:
            tasks: the tasks to run.
            atomic: accept all tasks whose names are free, or none of them if the queue has no room for all.
            wait_for_room_seconds: how long to wait for room before a task gets the verdict ``Full``.

        Raises:
            InvalidTaskError: some tasks name an unknown handler or have invalid params; no task was accepted.
            StoreUnavailableError: the store could not make the tasks durable; no task was accepted.
        """
        return await self._submits.submit(tasks, atomic=atomic, wait_for_room_seconds=wait_for_room_seconds)

    def submit_nowait(self, tasks: Sequence[Task]) -> list[Verdict] | None:
        """Submit tasks without waiting. Return ``None``, with no task accepted, if only ``submit`` can do it.

        The verdicts are returned only if all tasks are accepted and the store need not wait.

        Raises:
            InvalidTaskError: some tasks name an unknown handler or have invalid params; no task was accepted.
        """
        return self._submits.submit_nowait(tasks)

    def fault(self, task: Task) -> Complaint | None:
        """Return why the task's handler would refuse the task (the field and a sentence), or ``None``."""
        return self._submits.fault(task)

    def check(self, tasks: Sequence[Task]) -> None:
        """Check that the handlers accept all tasks. Raises ``InvalidTaskError`` with the faults of all tasks."""
        self._submits.check(tasks)

    async def cancel(self, task_id: str) -> Running | Finished:
        """Cancel a task, and return its record: finished, or still running if the task ran.

        A running task ends when its handler has handled the cancel.

        Raises:
            UnknownTaskError, ExpiredTaskError, AlreadyFinishedError: there is no such task in flight.
        """
        record = await self._store.cancel(task_id)
        if isinstance(record, Running):
            self._pool.cancel(record.serial)
        else:
            self._count_endings(1)
        return record

    async def change_waiting(self, task_id: str, *, priority: int | None = None, due_at: float | None = None) -> Record:
        """Change the priority or the time (seconds since 1970) of a waiting task, and return its record.

        Raises:
            UnknownTaskError, ExpiredTaskError, AlreadyStartedError, AlreadyFinishedError: the task does not wait.
            StoreUnavailableError: the store could not make the change durable; nothing was changed.
        """
        return await self._store.change_waiting(task_id, priority=priority, due_at=due_at)

    async def wait(self, task_id: str, *, seconds_max: float = math.inf) -> Record:
        """Wait for a task's outcome, for ``seconds_max`` or until the executor stops; return the task's record then.

        Raises:
            UnknownTaskError, ExpiredTaskError: the store has no record of the task.
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
        """Return the record of a task. Raises ``UnknownTaskError``, ``ExpiredTaskError``."""
        return await self._store.get(task_id)

    def context(self, record: Record) -> Context | None:
        """Return the context of a task's attempt, or ``None`` if the task does not run here."""
        return self._pool.context(record)

    async def nodes(self) -> list[Node]:
        """Return the processes that share the store; an empty list for a store of one process."""
        return await self._store.nodes()

    async def page(self, request: PageRequest) -> Page:
        """Return one page of records, in listing order. Raises ``InvalidCursorError``."""
        return await self._store.page(request)

    def retry_after_seconds(self, places: int) -> int:
        """Return after how many seconds (1 to 60) a caller whose tasks found no room should try again."""
        return self._rate.retry_after_seconds(places) if self._rate is not None else 1

    def statistics(self) -> Statistics:
        """Return a snapshot for observers."""
        handlers = self._tally.by_handler()
        return Statistics(
            phase=self._phase,
            pool_size=self.pool_size,
            busy=self._pool.busy,
            **msgspec.structs.asdict(add_up(handlers.values())),
            finished_per_second=self._rate.per_second() if self._rate is not None else 0.0,
            waiting_for_room=len(self._submits.room),
            handlers=handlers,
            occurrences=self._occurrences.by_schedule(),
            notifications=self.notifications.counts(),
            store=self._store.statistics(),
            fired=self.clock.fired,
            skipped=dict(self.clock.skipped),
        )

    def timings(self) -> Timings:
        """Return the histograms of durations since the start."""
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
            (self._rate.begin if busy else self._rate.end)()
