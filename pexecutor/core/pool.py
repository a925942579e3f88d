"""``Pool``: the feeder and the workers.

One nursery owns the feeder and all workers. The feeder waits for idle workers and claims at most as many tasks as there
are idle workers. It puts the claimed tasks into the queue ``_handed_over`` and wakes one worker by a *turn*: a ``None``
sent through a bounded memory channel. A worker that receives the turn takes the first task of the queue and, if more
tasks are queued, sends the turn on to another worker before it runs its own. So tasks start in the order of the store,
and no claimed task waits while a more urgent task arrives in the store.

A worker that has finished a task does not wait for the feeder. It records the endings and claims more tasks itself
(``_refill``), as long as the store can do both without waiting.

Invariants:

* A claimed task is settled exactly once, by the ``Recorder`` or by ``release``, unless its lease was lost.
* From its claim until it is settled, the attempt of a task is in ``_attempts``. So a cancel always reaches it, and it
  counts against the size of the pool.

Road not taken: sending the tasks themselves through the channel. Trio wakes waiting receivers in any order, so tasks
that were claimed together would start in any order, and each would cost a wake-up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import trio

from ..errors import StoreUnavailableError
from ..handlers import Catalogue, Context
from ..stores import Store
from ..task import Ending, Finished, Record, Running, Scheduled
from .attempt import LiveAttempt
from .recorder import SETTLE_SECONDS_MAX, STORE_RETRY_SECONDS, Recorder
from .statistics import Tally

TURNS_AT_ONCE_MAX: Final = 48
"""How many tasks a worker runs in a row before it yields to the event loop, if none of the tasks awaits anything.

Twice as many make the pool faster by at most a tenth, and requests much slower while the pool is busy.
"""

CLAIMED_AT_ONCE_MAX: Final = 64
"""How many tasks a worker claims at most in one step of ``_refill``."""


class Pool:
    """A fixed number of workers that run the tasks of a store.

    Parameters:
        store: the store whose tasks are claimed and settled.
        handlers: the handlers that run tasks.
        size: the number of workers.
        tally: the counters of starts, ends and releases of attempts.
        ended: called with the number of tasks that have reached their outcome here.
        is_busy: called with ``True`` when the idle pool claims a task, and with ``False`` when no task is left.
    """

    def __init__(
        self,
        store: Store,
        handlers: Catalogue,
        size: int,
        *,
        tally: Tally,
        ended: Callable[[int], None],
        is_busy: Callable[[bool], None],
    ) -> None:
        self._store = store
        self._handlers = handlers
        self._size = size
        self._tally = tally
        self._ended = ended
        self._is_busy = is_busy
        self._draining = False  # set by drain(): workers begin no more tasks
        self._feeding = True  # cleared by drain() and at the end of _feed: no more claims and no more turns
        self._until_drained = trio.CancelScope()
        self._hard_stop = trio.CancelScope()
        # The number of workers without a task. _take_idle sets it to 0, _claim gives back what it did not need,
        # _refill subtracts its own claims, and _forget adds the workers of settled tasks.
        self._idle = size
        self._some_idle = trio.lowlevel.ParkingLot()
        # Claimed tasks that no worker has begun. _hand_over appends, _next and _release_handed_over remove.
        self._handed_over: deque[LiveAttempt] = deque()
        # The attempt of each task that is claimed here, by serial. _hand_over adds, _forget removes. A task whose lease
        # was lost can be claimed again while its old attempt still ends: then the entry is the newer attempt.
        self._attempts: dict[int, LiveAttempt] = {}
        self._recorder = Recorder(store, self._recorded, wake_pool=self._wake_others)
        self._to_workers, self._from_feeder = trio.open_memory_channel[None](size)
        # Whether a turn is in the channel. At most one is, so workers take queued tasks in order.
        self._turn_given = False

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
        try:
            with self._hard_stop, self._from_feeder:
                async with trio.open_nursery() as nursery:
                    for _ in range(self._size):
                        nursery.start_soon(self._work, self._from_feeder.clone())
                    nursery.start_soon(self._feed)
        finally:
            await self._release_handed_over()

    def drain(self, seconds_max: float) -> None:
        """Start no more tasks; cancel and release tasks that still run after this many seconds."""
        self._draining = True
        self._feeding = False
        self._until_drained.cancel()
        self._hard_stop.deadline = trio.current_time() + seconds_max

    def stop_now(self) -> None:
        """Cancel and release all running tasks at once."""
        self._hard_stop.cancel()

    def cancel(self, serial: int) -> None:
        """Cancel a task if it runs here; otherwise do nothing."""
        if (attempt := self._attempts.get(serial)) is not None:
            attempt.cancel()

    def lose(self, serial: int) -> None:
        """Stop the attempt of a task whose lease was lost: another node may run the task now."""
        if (attempt := self._attempts.get(serial)) is not None:
            attempt.lose()

    @property
    def busy(self) -> int:
        """Return the number of workers that have a task."""
        return len(self._attempts)

    def context(self, record: Record) -> Context | None:
        """Return the context of a task's attempt, or ``None`` if the task does not run here."""
        attempt = self._attempts.get(record.serial)
        return None if attempt is None else attempt.context

    def contexts(self) -> Iterator[Context]:
        """Return the contexts of all attempts that run here."""
        return (attempt.context for attempt in self._attempts.values())

    async def _feed(self) -> None:
        """Claim tasks for idle workers until a drain begins."""
        with self._to_workers:
            try:
                with self._until_drained:
                    while True:
                        # No await between the claim and _hand_over: a cancel there would leak the claimed tasks.
                        self._hand_over(await self._claim(await self._take_idle()))
                        self._give_turn()
            finally:
                self._feeding = False
            await self._release_handed_over()

    def _hand_over(self, claimed: Sequence[Running]) -> None:
        """Put claimed tasks into the queue of the workers."""
        self._tally.count_started(claimed)
        attempts = [LiveAttempt.of(running, self._hard_stop) for running in claimed]
        if attempts and not self._attempts:
            self._is_busy(True)
        self._attempts.update({attempt.running.serial: attempt for attempt in attempts})
        self._handed_over.extend(attempts)

    async def _take_idle(self) -> int:
        """Wait until at least one worker is idle; reserve all idle workers and return their number."""
        await trio.lowlevel.checkpoint()
        while not self._idle:
            await self._some_idle.park()
        idle, self._idle = self._idle, 0
        return idle

    async def _claim(self, idle: int) -> list[Running]:
        """Claim at least one task and at most ``idle``; workers that get no task become idle again."""
        claimed: list[Running] = []
        try:
            while not claimed:
                try:
                    claimed = await self._store.claim(idle)
                except StoreUnavailableError:
                    await trio.sleep(STORE_RETRY_SECONDS)
        finally:
            self._idle += idle - len(claimed)
        return claimed

    async def _work(self, from_feeder: trio.MemoryReceiveChannel[None]) -> None:
        """Run tasks: receive a turn, then run queued tasks until none is left or ``TURNS_AT_ONCE_MAX`` is reached.

        A worker runs many tasks per turn because a wake-up costs more than a short task. A task that waits does not
        block the queue, as ``_next`` has already sent the turn to another worker.
        """
        with from_feeder:
            async for _ in from_feeder:
                self._turn_given = False
                turns = iter(range(TURNS_AT_ONCE_MAX))
                while (attempt := self._next(turns)) is not None:
                    await self._run_from(attempt, turns)
                self._wake_others()

    def _next(self, turns: Iterator[int]) -> LiveAttempt | None:
        """Return the next task to run, or ``None``; wake another worker if more tasks are queued."""
        if next(turns, None) is None or not (self._handed_over or self._refill()):
            return None
        attempt = self._handed_over.popleft()
        if not self._turn_given:
            self._give_turn()
        return attempt

    def _refill(self) -> bool:
        """Record endings and claim more tasks, both only if the store need not wait; return whether any was claimed."""
        # Record first: a recorded ending frees a worker and the task's name, so the claim below finds more.
        self._recorder.record_nowait()
        if not self._idle or not self._feeding:
            return False
        claimed = self._store.claim_nowait(min(self._idle, CLAIMED_AT_ONCE_MAX))
        self._idle -= len(claimed)
        self._hand_over(claimed)
        return bool(claimed)

    def _wake_others(self) -> None:
        """Wake a worker if tasks are queued, and the feeder if workers are idle."""
        self._refill()
        self._give_turn()
        if self._idle:
            self._some_idle.unpark_all()

    def _give_turn(self) -> None:
        """Wake one worker if tasks are queued and no turn is under way."""
        if self._handed_over and self._feeding and not self._turn_given:
            self._to_workers.send_nowait(None)
            self._turn_given = True

    async def _run_from(self, attempt: LiveAttempt, turns: Iterator[int]) -> None:
        """Run a task and the tasks after it in one cancel scope, until a task has used the scope up.

        ``current`` is the attempt that this method still has to settle, and ``ending`` is how it ended. They are
        ``None`` as soon as the recorder has the ending, so each attempt is settled once on every path out of here.
        """
        current: LiveAttempt | None = attempt
        ending: Ending | None = None
        try:
            with trio.CancelScope() as scope:
                while current is not None and not self._draining:
                    ending = await current.run(self._handlers, scope)
                    # A scope that was cancelled or has a deadline cannot serve another task: leave it. `finally`
                    # settles this attempt, and the caller opens a new scope for the next one.
                    if ending is None or not current.leaves_scope_unchanged:
                        return
                    self._recorder.add(current, ending)
                    # Cleared before _next: if _next raises, `finally` must not settle the recorded attempt again.
                    current, ending = None, None
                    current = self._next(turns)
            # Here the scope has caught a cancel or a timeout of this task. A Cancelled of the hard stop is not caught
            # and skips these lines, so `ending` stays None, and `finally` releases the task.
            if scope.cancelled_caught and current is not None:
                ending = current.cut_off_ending()
        finally:
            if current is not None:
                await self._settle(current, ending)

    async def _settle(self, attempt: LiveAttempt, ending: Ending | None) -> None:
        """Have an attempt's ending recorded, or release the task if it has no ending."""
        if attempt.cut_off.lost:
            # The task belongs to another node now: neither record nor release it.
            self._recorded([attempt], [None])
            self._wake_others()
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
        for attempt in attempts:
            # The entry can be a newer attempt of a task whose lease was lost: that one still runs.
            if self._attempts.get(attempt.running.serial) is attempt:
                del self._attempts[attempt.running.serial]
        if not self._attempts:
            self._is_busy(False)
        self._idle += len(attempts)

    async def _release_handed_over(self) -> None:
        attempts = list(self._handed_over)
        self._handed_over.clear()
        await self._release(attempts)

    async def _release(self, attempts: Sequence[LiveAttempt]) -> None:
        """Make tasks pending again that were claimed but have no ending."""
        tasks = [attempt.running for attempt in attempts if not attempt.cut_off.lost]
        # Shielded: a task that is claimed but not released would hold its name. Bounded: the store may hang.
        with trio.move_on_after(SETTLE_SECONDS_MAX, shield=True), suppress(StoreUnavailableError):
            await self._store.release(tasks)
            self._tally.count_released(tasks)
        self._forget(attempts)
        self._wake_others()
