"""``Slots``: the running tasks that use the slots of limit keys. They derive from the running records.

The method that adds a record to the running ones also adds it here, and the one that removes it there also removes it
here. So no slot is kept by a task that does not run. The records of a start that is being made durable are reserved:
until the start is published, their slots are neither free nor in use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from ...limits.keys import LimitKey
from ...task import Record
from ..limits import LimitNumbers, handler_key, keys_of


class Slots:
    """Slots in use, by limit key. Keys of handlers are counted only if the handler has a number.

    Parameters:
        freed: called with a key that had no free slot, and has one now.
    """

    def __init__(self, freed: Callable[[LimitKey], None] = lambda _: None) -> None:
        self.numbers: LimitNumbers = LimitNumbers()
        self.freed = freed
        # Changed by take(), free() and set_numbers() alone: the serials of the tasks that use slots of a key.
        self._users: dict[LimitKey, dict[int, None]] = {}
        self._reserved: Counter[LimitKey] = Counter()  # changed by reserved() alone

    @property
    def in_use(self) -> bool:
        """Whether any slot is in use."""
        return bool(self._users)

    def users(self, key: LimitKey) -> Sequence[int]:
        """Return the serials of the tasks that use the slots of a key, the longest running first."""
        return [*self._users.get(key, ())]

    def counts(self) -> dict[LimitKey, int]:
        """Return the number of slots in use of each key that has a number."""
        numbers = self.numbers
        return {key: len(users) for key, users in self._users.items() if numbers.of(key) is not None}

    def is_full(self, key: LimitKey, more: int = 0) -> bool:
        """Return whether a key has no free slot, if some more are in use than at present."""
        number = self.numbers.of(key)
        return number is not None and len(self._users.get(key, ())) + self._reserved[key] + more >= number

    def take(self, records: Iterable[Record]) -> None:
        """Take the slots of tasks that run from now on."""
        for record in records:
            for key in self._counted_keys(record):
                self._users.setdefault(key, {})[record.serial] = None

    def free(self, records: Iterable[Record]) -> None:
        """Free the slots of tasks that no longer run."""
        for record in records:
            for key in self._counted_keys(record):
                with self._noting_if_freed(key):
                    users = self._users[key]
                    del users[record.serial]
                    if not users:
                        del self._users[key]

    @contextmanager
    def reserved(self, records: Sequence[Record]) -> Iterator[None]:
        """Reserve the slots of tasks whose start is being made durable."""
        keys = [key for record in records for key in keys_of(record)]
        self._reserved.update(keys)
        try:
            yield
        finally:
            for key in keys:
                with self._noting_if_freed(key):
                    self._reserved[key] -= 1
                    if not self._reserved[key]:
                        del self._reserved[key]

    def set_numbers(self, numbers: LimitNumbers, running: Iterable[Record]) -> None:
        """Replace the numbers; the handlers that have one are counted anew."""
        for handler in self.numbers.handlers:
            self._users.pop(handler_key(handler), None)
        before, self.numbers = self.numbers, numbers
        for record in running:
            if record.task.handler in numbers.handlers:
                self._users.setdefault(handler_key(record.task.handler), {})[record.serial] = None
        if numbers != before:
            for key in {*self._users, *self._reserved, *map(handler_key, before.handlers)}:
                if not self.is_full(key):
                    self.freed(key)

    def _counted_keys(self, record: Record) -> Sequence[LimitKey]:
        handlers = self.numbers.handlers
        if handlers and record.task.handler in handlers:
            return keys_of(record)
        return () if record.rare is None else record.rare.limit_keys

    @contextmanager
    def _noting_if_freed(self, key: LimitKey) -> Iterator[None]:
        was_full = self.is_full(key)
        yield
        if was_full and not self.is_full(key):
            self.freed(key)
