"""``Pool``: the feeder and the workers.

One nursery owns them all. The feeder claims tasks from the store, never more than there are idle workers, and hands
them over with a turn through a bounded memory channel. So the order of the store is the order of the starts, and
nothing waits in here that a more urgent task would have to wait for.

Invariants: a claimed task is settled exactly once, by the ``Recorder`` or by ``release``, unless it was lost; from its
claim until then its attempt is in ``_attempts``, so a cancel always reaches it, and a worker's place is taken for it.

Road not taken: sending the tasks themselves through the channel. Trio wakes those who wait at the other end in any
order, so tasks claimed together would begin in any order, and would cost a wake-up each. What goes through the channel
are turns, one at a time: who has it takes the first task, and passes the turn on before he begins, if there are more.
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
"""How many tasks a worker begins before it lets others have their turn, if none of them waits for anything. Twice as
many would make the pool quicker by a tenth at most, and requests much slower meanwhile."""

CLAIMED_AT_ONCE_MAX: Final = 64
"""How many tasks a worker claims at most when it looks for more to do."""


class Pool:
    """Runs what the store has to run.

    Parameters:
        store: where tasks are claimed and settled.
        handlers: what runs them.
        size: how many run at once.
        tally: where starts, ends and releases of attempts are counted.
        ended: called with how many tasks have got their outcome here.
        is_busy: called when a first task is claimed here, and when there is none any more.
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
        self._draining = False
        self._feeding = True
        self._until_drained = trio.CancelScope()
        self._hard_stop = trio.CancelScope()
        # Workers without a task: taken by _hand_over and the feeder, given back by _forget and the feeder.
        self._idle = size
        self._some_idle = trio.lowlevel.ParkingLot()
        # Filled by the feeder, emptied by the workers: claimed tasks whose worker has yet to wake.
        self._handed_over: deque[LiveAttempt] = deque()
        # Entered by the feeder, left by _forget: each task that is claimed here, by its serial. One that was lost, and
        # claimed once more while it still ends, is the newer one.
        self._attempts: dict[int, LiveAttempt] = {}
        self._recorder = Recorder(store, self._recorded, go_on=self._go_on)
        self._to_workers, self._from_feeder = trio.open_memory_channel[None](size)
        self._turn_given = False

    async def run(self) -> None:
        """Run tasks until a drain has ended."""
        async with trio.open_nursery() as recording:
            recording.start_soon(self._recorder.run)
            try:
                await self._run_workers()
            finally:
                self._recorder.close(self._record_until())

    def _record_until(self) -> float:
        """A drain that ended by itself has the rest of its time for what is still to be recorded."""
        now = trio.current_time()
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
        """Start nothing new; what runs has this long to end, and is then cancelled and released."""
        self._draining = True
        self._feeding = False
        self._until_drained.cancel()
        self._hard_stop.deadline = trio.current_time() + seconds_max

    def stop_now(self) -> None:
        """Cancel what runs, and release it."""
        self._hard_stop.cancel()

    def cancel(self, serial: int) -> None:
        """Cancel a task, if it runs here."""
        if (attempt := self._attempts.get(serial)) is not None:
            attempt.cancel()

    def lose(self, serial: int) -> None:
        """Cut off the work of a task that is not ours any more."""
        if (attempt := self._attempts.get(serial)) is not None:
            attempt.lose()

    @property
    def busy(self) -> int:
        """How many workers have a task."""
        return len(self._attempts)

    def context(self, record: Record) -> Context | None:
        """What the attempt of a task tells of itself, while it runs here."""
        attempt = self._attempts.get(record.serial)
        return None if attempt is None else attempt.context

    def contexts(self) -> Iterator[Context]:
        """What every attempt here tells of itself."""
        return (attempt.context for attempt in self._attempts.values())

    async def _feed(self) -> None:
        """Claim for idle workers, as many as there are; a claim is handed over without another await."""
        with self._to_workers:
            try:
                with self._until_drained:
                    while True:
                        self._hand_over(await self._claim(await self._take_idle()))
                        self._give_turn()
            finally:
                self._feeding = False
            await self._release_handed_over()

    def _hand_over(self, claimed: Sequence[Running]) -> None:
        self._tally.count_started(claimed)
        attempts = [LiveAttempt.of(running, self._hard_stop) for running in claimed]
        if attempts and not self._attempts:
            self._is_busy(True)
        self._attempts.update({attempt.running.serial: attempt for attempt in attempts})
        self._handed_over.extend(attempts)

    async def _take_idle(self) -> int:
        """Wait until there are idle workers; they are taken, and this many."""
        await trio.lowlevel.checkpoint()
        while not self._idle:
            await self._some_idle.park()
        idle, self._idle = self._idle, 0
        return idle

    async def _claim(self, idle: int) -> list[Running]:
        """Claim for so many workers; those that nothing was found for are idle again."""
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
        """Take turns: whichever worker wakes first takes the task that is first.

        It is greedy, since waking up costs more than a short task does. One that has to wait for something in between
        does not keep the others waiting: the next worker has been woken before.
        """
        with from_feeder:
            async for _ in from_feeder:
                self._turn_given = False
                turns = iter(range(TURNS_AT_ONCE_MAX))
                while (attempt := self._next(turns)) is not None:
                    await self._run_from(attempt, turns)
                self._go_on()

    def _next(self, turns: Iterator[int]) -> LiveAttempt | None:
        """The next task to run, while there is one and another turn; the next worker is woken for those behind it."""
        if next(turns, None) is None or not (self._handed_over or self._refill()):
            return None
        attempt = self._handed_over.popleft()
        if not self._turn_given:
            self._give_turn()
        return attempt

    def _refill(self) -> bool:
        """Record what has ended and claim for workers that are idle, as far as neither has to wait."""
        self._recorder.record_nowait()
        if not self._idle or not self._feeding:
            return False
        claimed = self._store.claim_nowait(min(self._idle, CLAIMED_AT_ONCE_MAX))
        self._idle -= len(claimed)
        self._hand_over(claimed)
        return bool(claimed)

    def _go_on(self) -> None:
        """Have somebody see to what is left: a worker to what can be run, the feeder to what it has to wait for."""
        self._refill()
        self._give_turn()
        if self._idle:
            self._some_idle.unpark_all()

    def _give_turn(self) -> None:
        """Wake a worker, if there is something to do for it and none is waking up."""
        if self._handed_over and self._feeding and not self._turn_given:
            self._to_workers.send_nowait(None)
            self._turn_given = True

    async def _run_from(self, attempt: LiveAttempt, turns: Iterator[int]) -> None:
        """Run a task and those after it, in one scope until one has changed that, and hand in how each ended."""
        at_hand: LiveAttempt | None = attempt
        ending: Ending | None = None
        try:
            with trio.CancelScope() as scope:
                while at_hand is not None and not self._draining:
                    ending = await at_hand.run(self._handlers, scope)
                    if ending is None or not at_hand.leaves_scope_as_it_was:
                        return
                    self._recorder.add(at_hand, ending)
                    at_hand, ending = None, None
                    at_hand = self._next(turns)
            if scope.cancelled_caught and at_hand is not None:
                ending = at_hand.was_cut_off()
        finally:
            if at_hand is not None:
                await self._hand_in(at_hand, ending)

    async def _hand_in(self, attempt: LiveAttempt, ending: Ending | None) -> None:
        """Have it recorded how an attempt ended, or give the task back."""
        if attempt.cut_off.lost:
            self._recorded([attempt], [None])
            self._go_on()
        elif ending is None:
            await self._release([attempt])
        else:
            self._recorder.add(attempt, ending)

    def _recorded(self, attempts: Sequence[LiveAttempt], records: Sequence[Finished | Scheduled | None]) -> None:
        """Take note of what has become of tasks; their workers' places are free."""
        self._tally.count_attempts(records)
        self._ended([type(record) for record in records].count(Finished))
        self._forget(attempts)

    def _forget(self, attempts: Sequence[LiveAttempt]) -> None:
        for attempt in attempts:
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
        tasks = [attempt.running for attempt in attempts if not attempt.cut_off.lost]
        with trio.move_on_after(SETTLE_SECONDS_MAX, shield=True), suppress(StoreUnavailableError):
            await self._store.release(tasks)
            self._tally.count_released(tasks)
        self._forget(attempts)
        self._go_on()
