"""``Pool``: the feeder and the workers.

One nursery owns the feeder and the workers. The feeder alone claims tasks, at most as many as workers are
idle, and sends them through a bounded memory channel as one *batch*. A worker that receives the batch runs its tasks in
order. When a task has to wait for something, the event loop goes on to the feeder, which sends the rest of the batch
to the next worker. So tasks start in the order of the store, a task that waits holds up no other, and a batch of
tasks that need not wait costs one wake-up.

Invariants:

* A claimed task is settled exactly once, by the ``Recorder`` or by ``release``, unless its lease was lost.
* From its claim until it is settled, the attempt of a task is in ``_attempts``. So a cancel always reaches it, and it
  counts against the size of the pool.
* There are as many workers as the size of the pool says, and at least as many as there are unsettled attempts. So each
  claimed task has a worker, also after the pool has become smaller.

Road not taken: sending tasks one by one. Trio resumes the receivers of one turn of its loop in any order, so the feeder
would have to wait for a turn after each task to keep them in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import Final

import trio

from ..errors import StoreUnavailableError
from ..handlers import Context
from ..limits.times import SETTLE_SECONDS_MAX, STORE_RETRY_SECONDS
from ..logs.files import LogFiles
from ..stores import Store
from ..task import Ending, Finished, Record, Running, Scheduled
from .attempt import LiveAttempt
from .recorder import Recorder
from .settings import CurrentSettings
from .statistics import Tally

BATCH_TASKS_MAX: Final = 48
"""How many tasks a worker runs in a row before the event loop goes on, if none of the tasks awaits anything.

Twice as many make the pool faster by at most a tenth, and requests much slower while the pool is busy.
"""

Batch = deque[LiveAttempt]
"""Claimed tasks that no worker has begun. The feeder and the workers share one: whoever takes a task removes it."""


class Pool:
    """The workers that run the tasks of a store.

    Parameters:
        store: the store whose tasks are claimed and settled.
        settings: the owner of the handlers and of the size of the pool; ``resize`` is called after a change.
        logs: keeps the whole output of attempts; ``None`` if only its end is kept.
        tally: the counters of starts, ends and releases of attempts.
        ended: called with the number of tasks that have reached their outcome here.
        is_busy: called with ``True`` when the idle pool claims a task, and with ``False`` when no task is left.
    """

    def __init__(
        self,
        store: Store,
        settings: CurrentSettings,
        logs: LogFiles | None = None,
        *,
        tally: Tally,
        ended: Callable[[int], None],
        is_busy: Callable[[bool], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._tally = tally
        self._ended = ended
        self._is_busy = is_busy
        self._logs = logs
        self._draining = False
        self._until_drained = trio.CancelScope()
        self._hard_stop = trio.CancelScope()
        # The number of unsettled attempts. _begin adds, _forget subtracts.
        self._unsettled = 0
        self._some_idle = trio.lowlevel.ParkingLot()
        # The number of workers. _add_workers adds, _dismiss_idle and _work subtract.
        self._workers = 0
        self._start_worker: Callable[[], object] | None = None
        self._to_workers: trio.MemorySendChannel[Batch] | None = None
        # A claim that waits. resize() cancels it, because it may claim more tasks than a smaller pool can run.
        self._claiming = trio.CancelScope()
        # The attempt of each task that is claimed here, by serial. _begin adds, _forget removes. A task whose lease was
        # lost can be claimed again while its old attempt still ends: then the entry is the newer attempt.
        self._attempts: dict[int, LiveAttempt] = {}
        # The unsettled attempts whose lease was lost. lose() adds, _forget removes.
        self._lost: set[LiveAttempt] = set()
        # The attempts that each caller of ends_of_present() waits for. _forget removes.
        self._awaited: dict[trio.Event, set[LiveAttempt]] = {}
        self._recorder = Recorder(store, self._recorded)

    async def run(self) -> None:
        """Run tasks until a drain is complete."""
        async with trio.open_nursery() as recording:
            recording.start_soon(self._recorder.run)
            try:
                await self._run_workers()
            finally:
                self._recorder.close(self._record_until())

    def _record_until(self) -> float:
        """Return the time, by Trio's clock, at which the recorder gives up endings that it could not record."""
        now = trio.current_time()
        # If all tasks ended before the hard stop, the store may still use the rest of the drain timeout.
        ended_by_itself = self._draining and not self._hard_stop.cancel_called
        return (max(now, self._hard_stop.deadline) if ended_by_itself else now) + SETTLE_SECONDS_MAX

    async def _run_workers(self) -> None:
        to_workers, from_feeder = trio.open_memory_channel[Batch](0)
        with self._hard_stop, from_feeder:
            async with trio.open_nursery() as nursery:
                # A worker that a reload starts has the context of this Trio task, as all others do.
                context = copy_context()
                self._start_worker = lambda: context.run(lambda: nursery.start_soon(self._work, from_feeder.clone()))
                self._to_workers = to_workers
                self._add_workers()
                nursery.start_soon(self._feed, to_workers)

    def drain(self, seconds_max: float) -> None:
        """Start no more tasks; cancel and release tasks that still run after this many seconds."""
        self._draining = True
        self._until_drained.cancel()
        self._hard_stop.deadline = trio.current_time() + seconds_max

    def stop_now(self) -> None:
        """Cancel and release all running tasks at once."""
        self._hard_stop.cancel()

    def resize(self) -> None:
        """Adapt the workers to a changed size of the pool: start new ones now, end others as their tasks end."""
        self._add_workers()
        self._dismiss_idle()
        self._some_idle.unpark_all()
        self._claiming.cancel()

    def ends_of_present(self) -> trio.Event:
        """Return an event that is set once all attempts that have not ended by now have ended."""
        ended, present = trio.Event(), self._lost.union(self._attempts.values())
        if present:
            self._awaited[ended] = present
        else:
            ended.set()
        return ended

    def cancel(self, serial: int) -> None:
        """Cancel a task if it runs here; otherwise do nothing."""
        if (attempt := self._attempts.get(serial)) is not None:
            attempt.cancel()

    def lose(self, serial: int) -> None:
        """Stop the attempt of a task whose lease was lost: another node may run the task now."""
        if (attempt := self._attempts.get(serial)) is not None:
            self._lost.add(attempt)
            attempt.lose()

    @property
    def busy(self) -> int:
        """Return the number of workers that have a task."""
        return len(self._attempts)

    def context(self, record: Record) -> Context | None:
        """Return the context of a task's attempt, or ``None`` if the task does not run here."""
        attempt = self._attempts.get(record.serial)
        return None if attempt is None else attempt.context

    def at_work(self) -> Iterator[tuple[Running, Context]]:
        """Return the records of all tasks that run here, with the contexts of their attempts."""
        return ((attempt.running, attempt.context) for attempt in self._attempts.values())

    async def _feed(self, to_workers: trio.MemorySendChannel[Batch]) -> None:
        """Claim tasks for idle workers until a drain begins."""
        batch: Batch = deque()
        try:
            with to_workers, self._until_drained:
                while True:
                    # No await between the claim and the batch: a cancel there would leak the claimed tasks.
                    batch = deque(await self._claim())
                    while batch:
                        await self._send(batch, to_workers)
                        self._recorder.flush()
        finally:
            # No worker can be started or dismissed any more: the nursery and the channel end after this Trio task.
            self._start_worker = self._to_workers = None
            unbegun = list(batch)
            batch.clear()  # before the await: a worker may still hold the batch
            await self._release(unbegun)

    async def _send(self, batch: Batch, to_workers: trio.MemorySendChannel[Batch]) -> None:
        """Send a batch to a worker, and return once the worker has begun it."""
        unbegun = len(batch)
        await to_workers.send(batch)
        if len(batch) == unbegun:
            # Trio resumes the tasks of a turn in any order. A second worker would now wake up for nothing.
            await trio.lowlevel.checkpoint()

    async def _claim(self) -> list[LiveAttempt]:
        """Wait until a worker is idle and a task is pending; claim at least one task."""
        while True:
            while (idle := self._settings.now.pool_size - self._unsettled) <= 0:
                await self._some_idle.park()
            try:
                room = min(idle, BATCH_TASKS_MAX)
                claimed = self._store.claim_nowait(room) or await self._claim_later(room)
            except StoreUnavailableError:
                await trio.sleep(STORE_RETRY_SECONDS)
            else:
                if claimed:
                    return self._begin(claimed)

    async def _claim_later(self, room: int) -> list[Running]:
        """Wait until a task is pending, and claim some; return none if the size of the pool has changed."""
        with trio.CancelScope() as self._claiming:
            return await self._store.claim(room)
        return []

    def _begin(self, claimed: Sequence[Running]) -> list[LiveAttempt]:
        self._unsettled += len(claimed)
        if self._unsettled > self._workers:
            self._add_workers()  # the store repeated a claim that was made before the pool became smaller
        self._tally.count_started(claimed)
        if not self._attempts:
            self._is_busy(True)
        handlers, stopping, logs = self._settings.now.handlers, self._hard_stop, self._logs
        attempts = [LiveAttempt.of(running, handlers, stopping, logs) for running in claimed]
        self._attempts.update({attempt.running.serial: attempt for attempt in attempts})
        return attempts

    @property
    def _workers_needed(self) -> int:
        return max(self._settings.now.pool_size, self._unsettled)

    def _add_workers(self) -> None:
        """Start workers that are missing, unless the pool has ended or has not begun."""
        while self._start_worker is not None and self._workers < self._workers_needed:
            self._start_worker()
            self._workers += 1

    def _dismiss_idle(self) -> None:
        """Wake workers that have nothing to do and are no longer needed, with an empty batch: they end."""
        if self._to_workers is not None:
            with suppress(trio.WouldBlock):  # no worker is idle; a busy one ends after its batch
                for _ in range(self._workers - self._workers_needed):
                    self._to_workers.send_nowait(deque())

    async def _work(self, from_feeder: trio.MemoryReceiveChannel[Batch]) -> None:
        """Run the tasks of each batch in order; while one waits, the feeder sends the rest to another worker."""
        with from_feeder:
            async for batch in from_feeder:
                while batch and not self._draining:
                    await self._run_in_scope(batch)
                self._recorder.flush()
                if self._workers > self._workers_needed:
                    break
        self._workers -= 1

    async def _run_in_scope(self, batch: Batch) -> None:
        """Run tasks in one cancel scope, until a task has used the scope up.

        A scope for each task would cost as much as everything else about a task that awaits nothing.
        """
        with trio.CancelScope() as scope:
            while batch and not self._draining:
                attempt = batch.popleft()
                await self._run(attempt, scope)
                if not attempt.leaves_scope_unchanged:
                    return

    async def _run(self, attempt: LiveAttempt, scope: trio.CancelScope) -> None:
        """Run a task, and settle it whatever happens."""
        ending: Ending | None = None
        try:
            ending = await attempt.run(scope)
        except BaseException:  # Cancelled, or a group of them from a nursery of the handler
            ending = attempt.cut_off_ending()
            raise
        finally:
            await self._settle(attempt, ending)

    async def _settle(self, attempt: LiveAttempt, ending: Ending | None) -> None:
        """Have an attempt's ending recorded, or release the task if it has no ending."""
        if attempt.cut_off.lost:
            # The task belongs to another node now: neither record nor release it.
            self._recorded([attempt], [None])
        elif ending is None:
            await self._release([attempt])
        else:
            self._recorder.add(attempt, ending)

    def _recorded(self, attempts: Sequence[LiveAttempt], records: Sequence[Finished | Scheduled | None]) -> None:
        """Count attempts that are settled, and free their workers."""
        self._tally.count_attempts(records)
        self._ended([type(record) for record in records].count(Finished))
        self._forget(attempts)

    def _forget(self, attempts: Sequence[LiveAttempt]) -> None:
        """Remove settled attempts and count their workers as idle."""
        if self._logs is not None and self._logs.writing:
            for attempt in attempts:
                self._logs.end(attempt.running)
        for attempt in attempts:
            # The entry can be a newer attempt of a task whose lease was lost: that one still runs.
            if self._attempts.get(attempt.running.serial) is attempt:
                del self._attempts[attempt.running.serial]
        if not self._attempts:
            self._is_busy(False)
        self._unsettled -= len(attempts)
        self._some_idle.unpark_all()
        self._lost.difference_update(attempts)
        if self._workers > self._workers_needed:
            self._dismiss_idle()
        if self._awaited:
            self._note_ends(attempts)

    def _note_ends(self, attempts: Sequence[LiveAttempt]) -> None:
        """Set the events of callers whose last attempt has ended."""
        for ended, present in [*self._awaited.items()]:
            present.difference_update(attempts)
            if not present:
                del self._awaited[ended]
                ended.set()

    async def _release(self, attempts: Sequence[LiveAttempt]) -> None:
        """Make tasks pending again that were claimed but have no ending."""
        tasks = [attempt.running for attempt in attempts if not attempt.cut_off.lost]
        # Shielded: a task that is claimed but not released would hold its name. Bounded: the store may hang.
        with trio.move_on_after(SETTLE_SECONDS_MAX, shield=True), suppress(StoreUnavailableError):
            await self._store.release(tasks)
            self._tally.count_released(tasks)
        self._forget(attempts)
