"""``Pool``: the feeder and the workers.

One nursery owns them all. The feeder claims tasks from the store, never more than there are idle workers, and hands
them over through a bounded memory channel. So the order of the store is the order of the starts, and nothing lies in
the channel that a more urgent task would have to wait for.

Invariants: a claimed task is settled exactly once, by ``finish`` or by ``release``, whatever happens in between; from
its claim until then its attempt is in ``_attempts``, so a cancel always reaches it.

A store that cannot take a change is asked again after a while. Until then nothing new starts, and a task whose work is
done stays running and holds its name; at a hard stop it is left to the store's own recovery.

Road not taken: sending the tasks themselves through the channel. Trio wakes those who wait at the other end in any
order, so tasks claimed together would begin in any order; what goes through the channel are turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import trio

from .attempt import LiveAttempt
from .errors import StoreUnavailableError
from .handlers import Catalogue, Context
from .statistics import Tally
from .stores import Store
from .task import Ending, Finished, Record, Running

STORE_RETRY_SECONDS: Final = 0.5
"""How long to leave a store alone that could not take a change."""

SETTLE_SECONDS_MAX: Final = 5.0
"""How long recording an outcome or a release may take after the work was cancelled; the shield's bound."""


class Pool:
    """Runs what the store has to run.

    Parameters:
        store: where tasks are claimed and settled.
        handlers: what runs them.
        size: how many run at once.
        tally: where starts, ends and releases of attempts are counted.
        ended: called for each task that gets its outcome here.
    """

    def __init__(
        self, store: Store, handlers: Catalogue, size: int, *, tally: Tally, ended: Callable[[], None]
    ) -> None:
        self._store = store
        self._handlers = handlers
        self._size = size
        self._tally = tally
        self._ended = ended
        self._draining = False
        self._feeding = trio.CancelScope()
        self._hard_stop = trio.CancelScope()
        self._idle = trio.Semaphore(size, max_value=size)
        # Filled by the feeder, emptied by the workers: claimed tasks whose worker has yet to wake.
        self._handed_over: deque[LiveAttempt] = deque()
        # Entered by the feeder, left by _settle: each task that is claimed here, by its serial.
        self._attempts: dict[int, LiveAttempt] = {}

    async def run(self) -> None:
        """Run tasks until a drain has ended."""
        to_workers, from_feeder = trio.open_memory_channel[None](self._size)
        try:
            with self._hard_stop, from_feeder:
                async with trio.open_nursery() as nursery:
                    for _ in range(self._size):
                        nursery.start_soon(self._work, from_feeder.clone())
                    nursery.start_soon(self._feed, to_workers)
        finally:
            await self._release([attempt.running for attempt in self._handed_over])

    def drain(self, seconds_max: float) -> None:
        """Start nothing new; what runs has this long to end, and is then cancelled and released."""
        self._draining = True
        self._feeding.cancel()
        self._hard_stop.deadline = trio.current_time() + seconds_max

    def stop_now(self) -> None:
        """Cancel what runs, and release it."""
        self._hard_stop.cancel()

    def cancel(self, running: Running) -> None:
        """Cancel a task, if it runs here."""
        if (attempt := self._attempts.get(running.serial)) is not None:
            attempt.cancel()

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

    async def _feed(self, to_workers: trio.MemorySendChannel[None]) -> None:
        """Claim for idle workers, as many as there are; a claim is handed over without another await."""
        with to_workers, self._feeding:
            while True:
                await self._idle.acquire()
                idle = 1 + self._acquire_more_idle()
                claimed: list[Running] = []
                try:
                    claimed = await self._claim(idle)
                finally:
                    self._release_idle(idle - len(claimed))
                self._tally.count_started(claimed)
                for running in claimed:
                    attempt = self._attempts[running.serial] = LiveAttempt(running, self._hard_stop)
                    self._handed_over.append(attempt)
                    to_workers.send_nowait(None)

    async def _claim(self, limit: int) -> list[Running]:
        while True:
            try:
                return await self._store.claim(limit)
            except StoreUnavailableError:
                await trio.sleep(STORE_RETRY_SECONDS)

    def _acquire_more_idle(self) -> int:
        more = self._idle.value
        for _ in range(more):
            self._idle.acquire_nowait()
        return more

    def _release_idle(self, workers: int) -> None:
        for _ in range(workers):
            self._idle.release()

    async def _work(self, from_feeder: trio.MemoryReceiveChannel[None]) -> None:
        """Take turns: whichever worker wakes first takes the task that is first."""
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
            if not self._draining and (ending := await attempt.run(self._handlers)) is not None:
                await self._finish(attempt.running, ending)
                settled = True
        finally:
            if not settled:
                await self._release([attempt.running])
            del self._attempts[attempt.running.serial]

    async def _finish(self, running: Running, ending: Ending) -> None:
        """Have the ending recorded; until the store can, the task is still running as far as anybody can know."""
        while True:
            with trio.move_on_after(SETTLE_SECONDS_MAX, shield=True), suppress(StoreUnavailableError):
                record = await self._store.finish(running, ending)
                self._tally.count_attempt(record)
                if isinstance(record, Finished):
                    self._ended()
                return
            await trio.sleep(STORE_RETRY_SECONDS)

    async def _release(self, tasks: Sequence[Running]) -> None:
        with trio.move_on_after(SETTLE_SECONDS_MAX, shield=True), suppress(StoreUnavailableError):
            await self._store.release(tasks)
            self._tally.count_released(tasks)
