"""``Recorder``: has the store record how attempts ended, many in one step.

Workers hand in endings and go on; one Trio task records what has come together meanwhile. So a durable store writes
once for all that ended during its last write, and a worker never waits for it. Nothing waits for company either: an
ending that comes alone is recorded alone, at once.

A store that cannot take them is asked again after a while. Until then a task whose work is done stays running and holds
its name, and its worker's place is not free: no more tasks run than there are workers, as everybody can see them.

Owned here: the endings that are not recorded yet. They outlive the hard stop by ``SETTLE_SECONDS_MAX``; what is left
then is left to the store's own recovery.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from .attempt import LiveAttempt
from .errors import StoreUnavailableError
from .stores import Store
from .task import Ending, Finished, Scheduled

STORE_RETRY_SECONDS: Final = 0.5
"""How long to leave a store alone that could not take a change."""

SETTLE_SECONDS_MAX: Final = 5.0
"""How long recording an outcome or a release may take after the work was cancelled; the shield's bound."""


class Recorder:
    """Records endings.

    Parameters:
        store: where.
        recorded: called with each attempt and what has become of its task: ``None`` when that is not ours to say.
    """

    def __init__(self, store: Store, recorded: Callable[[LiveAttempt, Finished | Scheduled | None], None]) -> None:
        self._store = store
        self._recorded = recorded
        self._ended: list[tuple[LiveAttempt, Ending]] = []
        self._scope = trio.CancelScope(shield=True)
        self._wake = trio.Event()
        self._closed = False

    def add(self, attempt: LiveAttempt, ending: Ending) -> None:
        """Have an ending recorded."""
        self._ended.append((attempt, ending))
        self._wake.set()

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
                await self._record_all()

    async def _record_all(self) -> None:
        while self._ended:
            if not (batch := self._take_ours()):
                return
            try:
                settled = await self._store.finish([(attempt.running, ending) for attempt, ending in batch])
            except StoreUnavailableError:
                self._ended = batch + self._ended
                await trio.sleep(STORE_RETRY_SECONDS)
            else:
                for (attempt, _), record in zip(batch, settled, strict=True):
                    self._recorded(attempt, record)

    def _take_ours(self) -> list[tuple[LiveAttempt, Ending]]:
        """What is to be recorded; what was lost while it waited is not."""
        ended, self._ended = self._ended, []
        for attempt, _ in ended:
            if attempt.lost:
                self._recorded(attempt, None)
        return [(attempt, ending) for attempt, ending in ended if not attempt.lost]
