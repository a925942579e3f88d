"""Counting whole batches of records at once.

Most batches are uniform: one handler, one time, one outcome. Checking that a batch is uniform and counting it once
costs much less time than counting its records one by one. A small pool has small batches, so records whose counts may
never be read are gathered into larger batches first (``Gathered``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from ..task import Record

V = TypeVar("V", bound=Hashable)
R = TypeVar("R", bound=Record)


GATHERED_MAX: Final = 256
"""The size of the largest batch that ``Gathered`` holds back."""


class Gathered(Generic[R]):
    """Records that are held back until there are ``GATHERED_MAX`` of them or ``settle`` is called.

    Parameters:
        process: called with a batch of records, in order.
    """

    def __init__(self, process: Callable[[Sequence[R]], None]) -> None:
        self._process = process
        self._records: list[R] = []

    def add_all(self, records: Iterable[R]) -> None:
        """Add records, and process the batch if it has become large."""
        self._records += records
        if len(self._records) >= GATHERED_MAX:
            self.settle()

    def settle(self) -> None:
        """Process all gathered records now."""
        if self._records:
            records, self._records = self._records, []
            self._process(records)


def value_counts(values: Sequence[V]) -> Iterable[tuple[V, int]]:
    """Return each distinct value with the number of its occurrences."""
    if not values:
        return ()
    if (times := values.count(values[0])) == len(values):
        return ((values[0], times),)
    return Counter(values).items()


def by_kind(records: Sequence[R]) -> Iterable[tuple[type[R], Sequence[R]]]:
    """Return each type of record (a state) with the records of that type, in order."""
    kinds = set(map(type, records))
    if len(kinds) == 1:
        return ((kinds.pop(), records),)
    return [(kind, [record for record in records if type(record) is kind]) for kind in kinds]


def by_handler(records: Sequence[R]) -> Iterable[tuple[str, Sequence[R]]]:
    """Return each handler's name with the records of its tasks, in order."""
    handlers = {record.task.handler for record in records}
    if len(handlers) == 1:
        return ((handlers.pop(), records),)
    parts: defaultdict[str, list[R]] = defaultdict(list)
    for record in records:
        parts[record.task.handler].append(record)
    return parts.items()
