"""``Recorder``: has the store record how attempts ended, many in one step.

Workers hand in endings and go on; one Trio task records what has come together meanwhile. So a durable store writes
once for all that ended during its last write, and a worker never waits for it. Nothing waits for company either: an
ending that comes alone is recorded alone, at once. When the store has nothing to await, a worker that looks for more to
do has what it has handed in recorded on the way.

A store that cannot take them is asked again after a while. Until then a task whose work is done stays running and holds
its name, and its worker's place is not free: no more tasks run than there are workers, as everybody can see them.

Owned here: the endings that are not recorded yet. They outlive the hard stop by ``SETTLE_SECONDS_MAX``; what is left
then is left to the store's own recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Final

import trio

from ..errors import StoreUnavailableError
from ..stores import Store
from ..task import Ending, Finished, Running, Scheduled
from .attempt import LiveAttempt

STORE_RETRY_SECONDS: Final = 0.5
"""How long to leave a store alone that could not take a change."""

SETTLE_SECONDS_MAX: Final = 5.0
"""How long recording an outcome or a release may take after the work was cancelled; the shield's bound."""


class Recorder:
    """Records endings.

    Parameters:
        store: where.
        recorded: called with attempts and what has become of their tasks: ``None`` when that is not ours to say.
        go_on: called when that was found out in the recorder's own time.
    """

    def __init__(
        self,
        store: Store,
        recorded: Callable[[Sequence[LiveAttempt], Sequence[Finished | Scheduled | None]], None],
        *,
        go_on: Callable[[], None],
    ) -> None:
        self._store = store
        self._recorded = recorded
        self._go_on = go_on
        # Changed together: attempts, and of each its task and how it ended.
        self._attempts: list[LiveAttempt] = []
        self._ended: list[tuple[Running, Ending]] = []
        self._scope = trio.CancelScope(shield=True)
        self._wake = trio.Event()
        self._recording = False
        self._closed = False

    def add(self, attempt: LiveAttempt, ending: Ending) -> None:
        """Have an ending recorded."""
        self._attempts.append(attempt)
        self._ended.append((attempt.running, ending))
        if len(self._ended) == 1:
            self._wake.set()

    def record_nowait(self) -> None:
        """Record what there is, if that needs no waiting."""
        if self._ended and not self._recording:
            self._let_go_of_lost()
            settled = self._store.finish_nowait(self._ended)
            if settled is not None:
                attempts, _ = self._take()
                self._recorded(attempts, settled)

    def close(self, deadline: float) -> None:
        """End when all is recorded, and then at the latest."""
        self._closed = True
        self._scope.deadline = deadline
        self._wake.set()

    async def run(self) -> None:
        """Record until it is closed."""
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
            self._let_go_of_lost()
            attempts, ended = self._take()
            try:
                settled = await self._store.finish(ended) if ended else []
            except StoreUnavailableError:
                self._attempts, self._ended = attempts + self._attempts, ended + self._ended
                await trio.sleep(STORE_RETRY_SECONDS)
            else:
                self._recorded(attempts, settled)
                self._go_on()

    def _take(self) -> tuple[list[LiveAttempt], list[tuple[Running, Ending]]]:
        taken = self._attempts, self._ended
        self._attempts, self._ended = [], []
        return taken

    def _let_go_of_lost(self) -> None:
        """What was lost while it waited is not to be recorded."""
        lost = [attempt for attempt in self._attempts if attempt.cut_off.lost]
        if lost:
            attempts, ended = self._take()
            ours = [not attempt.cut_off.lost for attempt in attempts]
            self._attempts, self._ended = list(compress(attempts, ours)), list(compress(ended, ours))
            self._recorded(lost, [None] * len(lost))
