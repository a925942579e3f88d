"""Batches, of which most are alike: one handler, one time, one outcome.

What is counted of tasks is counted many at a time, and once for all that are alike: looking whether they are takes a
small part of the time that counting them one by one does. A small pool has small batches, so what nobody may ever look
at is gathered until it is many.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from ..task import Record

V = TypeVar("V", bound=Hashable)
R = TypeVar("R", bound=Record)


GATHERED_MAX: Final = 256
"""How many records wait at most to be dealt with together."""


class Gathered(Generic[R]):
    """Records that wait to be dealt with together, until there are many or somebody wants to see what comes of them.

    Parameters:
        deal_with: called with some of them, in their order.
    """

    def __init__(self, deal_with: Callable[[Sequence[R]], None]) -> None:
        self._deal_with = deal_with
        self._records: list[R] = []

    def add_all(self, records: Iterable[R]) -> None:
        """These too."""
        self._records += records
        if len(self._records) >= GATHERED_MAX:
            self.settle()

    def settle(self) -> None:
        """Have all of them dealt with now."""
        if self._records:
            records, self._records = self._records, []
            self._deal_with(records)


def how_often(values: Sequence[V]) -> Iterable[tuple[V, int]]:
    """Each value, and how often it is there."""
    if not values:
        return ()
    if (times := values.count(values[0])) == len(values):
        return ((values[0], times),)
    return Counter(values).items()


def by_kind(records: Sequence[R]) -> Iterable[tuple[type[R], Sequence[R]]]:
    """Each state, by its type, and the records of the tasks in it, in their order."""
    kinds = set(map(type, records))
    if len(kinds) == 1:
        return ((kinds.pop(), records),)
    return [(kind, [record for record in records if type(record) is kind]) for kind in kinds]


def by_handler(records: Sequence[R]) -> Iterable[tuple[str, Sequence[R]]]:
    """Each handler, and the records of its tasks, in their order."""
    handlers = {record.task.handler for record in records}
    if len(handlers) == 1:
        return ((handlers.pop(), records),)
    parts: defaultdict[str, list[R]] = defaultdict(list)
    for record in records:
        parts[record.task.handler].append(record)
    return parts.items()
