"""``LocalLimits``: the numbers of limits and the pauses of a local store.

A step takes the lock of all of them, decides, makes the decision durable, and publishes it at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from itertools import chain

import trio

from ...limits.defaults import LIMIT_SETTINGS_MAX
from ...task import Record, Task
from .. import NodeState
from ..limits import (
    NO_LIMITS,
    LimitNumbers,
    LimitState,
    PauseChange,
    Reason,
    TaskPause,
    in_order,
    too_many_limits,
)
from .book import Book
from .journal_protocol import BesideRecords
from .limit_settings import LimitChange, Setting, SettingKey, changes_between, numbers_and_pauses, settings_of
from .reasons import reasons
from .start_order import START
from .steps import Steps


class LocalLimits:
    """Limits in the memory of one process (see ``pexecutor.stores.limits``).

    Parameters:
        book: the records.
        steps: completes decided steps.
        known_handlers: the handlers that the tasks of an earlier process may need; ``None`` for any.
        find: returns the record of an id.
        now: the wall clock, in seconds since 1970.
    """

    def __init__(
        self,
        book: Book,
        steps: Steps,
        known_handlers: Container[str] | None,
        *,
        find: Callable[[str], Record],
        now: Callable[[], float],
    ) -> None:
        self._describe: Callable[[], NodeState] = NodeState
        self._book = book
        self._steps = steps
        self._refuses_unknown = known_handlers is not None
        self._find = find
        self._now = now
        self._lock = trio.Lock()

    def watch(self, handlers: frozenset[str] | None, describe: Callable[[], NodeState]) -> None:
        """Note which handlers the executor knows, and the callback that returns its state."""
        self._describe = describe
        self._book.gate.set(self._book.gate.pauses, handlers)
        self._book.startable()

    # Read

    def current(self) -> LimitState:
        """Return the numbers, the pauses, and the slots in use, now."""
        numbers, pauses = self._book.slots.numbers, self._book.gate.pauses
        if not numbers and not pauses:
            return NO_LIMITS
        return LimitState(numbers, in_order(pauses.values()), self._book.slots.counts())

    async def state(self) -> LimitState:
        """Return the numbers, the pauses, and the slots in use, as of one instant."""
        await trio.lowlevel.checkpoint()
        return self.current()

    async def why(self, task_id: str) -> tuple[Reason, ...]:
        """Return the reasons for which a task does not run."""
        await trio.lowlevel.checkpoint()
        return reasons(self._book, self._find(task_id), self.current(), self._describe(), self._steps.trouble)

    def handlers_missing_from(self, known: Container[str], arriving: Iterable[Task] = ()) -> dict[str, int]:
        """Return how many tasks in flight need each handler that is not known, if this store refuses such tasks."""
        if not self._refuses_unknown:
            return {}
        book = self._book
        in_flight = (record.task for record in chain(book.later.from_key(0), book.running.values()))
        missing = Counter(task.handler for task in chain(arriving, in_flight) if task.handler not in known)
        for handler in book.pending.handlers():
            if handler not in known:
                missing[handler] += sum(1 for _ in book.pending.after(START, handler))
        return dict(sorted(missing.items()))

    # Change

    async def set_numbers(self, limits: Mapping[str, int], handlers: Mapping[str, int | None]) -> None:
        """Replace the numbers of all limits, and those of some handlers."""
        async with self._lock:
            numbers = self._book.slots.numbers.replaced_by(limits, handlers)
            await self._change(numbers, self._book.gate.pauses)

    async def pause(self, handler: str | None, by: str) -> PauseChange:
        """Pause a handler, or everything."""
        async with self._lock:
            pause = TaskPause(handler, self._now(), by)
            return await self._set_pauses({handler: pause, **self._book.gate.pauses})

    async def resume(self, handler: str | None) -> PauseChange:
        """End the pause of a handler, or of everything."""
        async with self._lock:
            pauses = self._book.gate.pauses
            return await self._set_pauses({paused: pauses[paused] for paused in pauses if paused != handler})

    async def _set_pauses(self, pauses: Mapping[str | None, TaskPause]) -> PauseChange:
        changed = await self._change(self._book.slots.numbers, pauses)
        return PauseChange(changed, in_order(pauses.values()))

    async def _change(self, numbers: LimitNumbers, pauses: Mapping[str | None, TaskPause]) -> bool:
        """Replace all settings by others; return whether they differ."""
        old, new = self._settings(), settings_of(numbers, pauses.values())
        if len(new) > max(len(old), LIMIT_SETTINGS_MAX):
            raise too_many_limits()
        changes = [*changes_between(old, new)]
        if changes:
            await self._steps.complete((), beside=BesideRecords(limits=changes))
            self._publish(numbers, pauses)
        return bool(changes)

    def _settings(self) -> dict[SettingKey, Setting]:
        """Return the numbers and the pauses as single settings."""
        return settings_of(self._book.slots.numbers, self._book.gate.pauses.values())

    def load(self, stored: Iterable[LimitChange]) -> None:
        """Take over the numbers and the pauses of an earlier process."""
        numbers, pauses = numbers_and_pauses(dict(stored))
        self._publish(numbers, {pause.handler: pause for pause in pauses})

    def find(self, key: SettingKey) -> Setting | None:
        """Return the value of a setting, or ``None``."""
        return self._settings().get(key)

    def _publish(self, numbers: LimitNumbers, pauses: Mapping[str | None, TaskPause]) -> None:
        self._book.slots.set_numbers(numbers, self._book.running.values())
        self._book.gate.set(pauses, self._book.gate.known)
        self._book.startable()
