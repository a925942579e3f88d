"""``Recorder``: records the endings of attempts in the store, many in one step.

Workers add endings and run their next tasks; a *flush* records all endings that were added since the last one. If the
store needs no waiting, the flush itself records them. Otherwise the recorder's own Trio task does. So a durable store
writes once for many tasks, and a worker never waits for a write. A single ending is recorded at once: the recorder does
not wait for more.

If the store is unavailable, the recorder retries after ``STORE_RETRY_SECONDS``. Until then a task whose work is done
stays ``running``, holds its name and occupies its worker. So observers never see more running tasks than workers.

Owned here: the endings that are not recorded yet. The recorder tries for ``SETTLE_SECONDS_MAX`` after the hard stop to
record them. The store's recovery handles the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress

import trio

from ..errors import StoreUnavailableError
from ..limits.times import STORE_RETRY_SECONDS
from ..stores import Store
from ..task import Ending, Finished, Running, Scheduled
from .attempt import LiveAttempt


class Recorder:
    """The writer of endings.

    Parameters:
        store: the store that keeps the tasks.
        recorded: called with attempts and the new record of each task; ``None`` for a task whose lease was lost.
    """

    def __init__(
        self,
        store: Store,
        recorded: Callable[[Sequence[LiveAttempt], Sequence[Finished | Scheduled | None]], None],
    ) -> None:
        self._store = store
        self._recorded = recorded
        # Two parallel lists that change together: the attempts, and the task and ending of each.
        self._attempts: list[LiveAttempt] = []
        self._ended: list[tuple[Running, Ending]] = []
        self._scope = trio.CancelScope(shield=True)
        self._wake = trio.Event()
        self._closed = False
        self._recording = False

    def add(self, attempt: LiveAttempt, ending: Ending) -> None:
        """Add an ending to the endings that the next ``flush`` records."""
        self._attempts.append(attempt)
        self._ended.append((attempt.running, ending))

    def flush(self) -> None:
        """Record all endings, now if the store need not wait, otherwise soon."""
        if not self._ended or self._recording:
            return
        self._drop_lost()
        settled = self._store.finish_nowait(self._ended)
        if settled is None:
            self._wake.set()
        else:
            attempts, _ = self._take()
            self._recorded(attempts, settled)

    def close(self, deadline: float) -> None:
        """Let ``run`` return once all endings are recorded, but not later than the deadline (Trio's clock)."""
        self._closed = True
        self._scope.deadline = deadline
        self._wake.set()

    async def run(self) -> None:
        """Record endings until the recorder is closed."""
        with self._scope:
            while self._ended or not self._closed:
                await self._wake.wait()
                self._wake = trio.Event()
                if self._ended:
                    self._recording = True
                    await self._record_all()
                    self._recording = False

    async def _record_all(self) -> None:
        while self._ended:
            self._drop_lost()
            attempts, ended = self._take()
            try:
                settled = await self._store.finish(ended) if ended else []
            except StoreUnavailableError:
                # Back to the front of the lists: workers may have added endings during the await.
                self._attempts, self._ended = attempts + self._attempts, ended + self._ended
                await trio.sleep(STORE_RETRY_SECONDS)
            else:
                self._recorded(attempts, settled)

    def _take(self) -> tuple[list[LiveAttempt], list[tuple[Running, Ending]]]:
        taken = self._attempts, self._ended
        self._attempts, self._ended = [], []
        return taken

    def _drop_lost(self) -> None:
        """Drop endings of tasks whose lease was lost while the ending waited: another node records those tasks."""
        lost = [attempt for attempt in self._attempts if attempt.cut_off.lost]
        if lost:
            attempts, ended = self._take()
            ours = [not attempt.cut_off.lost for attempt in attempts]
            self._attempts, self._ended = list(compress(attempts, ours)), list(compress(ended, ours))
            self._recorded(lost, [None] * len(lost))
