"""``History``: the finished tasks that can still be read, bounded by count, by age and by bytes.

Endings are numbered in the order in which they arrive. A page walks down these numbers from a cursor, so a clock that
is set back cannot change the order. When the count or the bytes exceed their bound, the oldest endings are dropped.
Endings that have reached their age are dropped by the next reader. Most endings are kept for the full age of the store
and expire in the order of their numbers; only a task with a shorter ``keep`` needs a deadline of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ...task import Ending, Finished
from .deadlines import Deadlines
from .sorted_serials import Lane

ATTEMPT_BYTES: Final = 64
"""The bytes that an attempt counts for, in addition to its error."""

_encode = msgspec.json.Encoder().encode


class History:
    """A bounded, ordered collection of finished tasks.

    Parameters:
        records_max: the largest number of tasks to keep.
        seconds_max: how long to keep a task, in seconds; a task may request less.
        bytes_max: the largest number of bytes of params, errors, attempts, results and output to keep.
        forget: called with the records that were dropped.
    """

    def __init__(
        self, *, records_max: int, seconds_max: float, bytes_max: int, forget: Callable[[Sequence[Finished]], None]
    ) -> None:
        self._records_max = records_max
        self._seconds_max = seconds_max
        self._bytes_max = bytes_max
        self._forget = forget
        # Changed together, by add() and _drop().
        self._numbers: dict[int, int] = {}  # serial -> number
        self._records: dict[int, Finished] = {}  # by number
        self._in_order = Lane(self._records)
        self._expiry = Deadlines()  # of those that are kept for less than the others
        self._bytes = 0
        self._endings = 0

    def add(self, records: Sequence[Finished]) -> None:
        """Add records, and drop what now exceeds the bounds."""
        numbers = range(self._endings + 1, self._endings + 1 + len(records))
        self._endings += len(records)
        self._numbers.update(zip([record.serial for record in records], numbers, strict=True))
        self._records.update(zip(numbers, records, strict=True))
        self._in_order.append_all(numbers)
        self._bytes += _bytes_of(records)
        if any([record.task.keep is not None for record in records]):  # noqa: C419  # a list is quicker
            self._let_expire(numbers)
        self._let_go_of_what_is_over()

    def _let_expire(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            record = self._records[number]
            keep = record.task.keep
            if keep is not None and keep / 1000 < self._seconds_max:
                self._expiry.set(number, record.finished_at + keep / 1000)

    def _let_go_of_what_is_over(self) -> None:
        over = len(self._in_order) - self._records_max
        if over > 0:
            self._drop(self._in_order.remove_front(over))
        while self._bytes > self._bytes_max and len(self._in_order) > 1:
            self._drop(self._in_order.remove_front(1))

    def expire(self, now: float) -> None:
        """Drop the records that have reached their age at this time."""
        if self._expiry:
            for number in self._expiry.pop_due(now):
                self._in_order.remove(number)
                self._drop([number])
        in_order, born_after = self._in_order, now - self._seconds_max
        while in_order and in_order.first().finished_at <= born_after:
            self._drop(in_order.remove_front(1))

    def number_of(self, record: Finished) -> int:
        """Return the number of this ending in the store, from 1."""
        return self._numbers[record.serial]

    def before(self, number: int | None = None) -> Iterator[Finished]:
        """Iterate over the records that ended before this number, or over all records, the latest first."""
        return self._in_order.below_key(number)

    def __len__(self) -> int:
        return len(self._in_order)

    def _drop(self, numbers: Sequence[int]) -> None:
        records = [self._records.pop(number) for number in numbers]
        for record in records:
            del self._numbers[record.serial]
        self._bytes -= _bytes_of(records)
        if self._expiry:
            for number in numbers:
                self._expiry.forget(number)
        self._forget(records)


def _bytes_of(records: Sequence[Finished]) -> int:
    endings = [record.ending for record in records]
    if endings and endings[0].error is None and endings.count(endings[0]) == len(endings):
        special = [
            record for record in records if (task := record.task).params or task.tags or len(record.attempts) > 1
        ]
        if not special:  # the usual case: all tasks succeeded at their first attempt, with equal results
            return (ATTEMPT_BYTES + _bytes_of_ending(endings[0])) * len(endings)
    return sum(map(_bytes_of_one, records))


def _bytes_of_one(record: Finished) -> int:
    params = len(_encode(record.task.params)) if record.task.params else 0
    errors = sum([len(attempt.error) for attempt in record.attempts if attempt.error is not None])
    tags = len(_encode(record.task.tags)) if record.task.tags else 0
    return params + tags + errors + ATTEMPT_BYTES * max(1, len(record.attempts)) + _bytes_of_ending(record.ending)


def _bytes_of_ending(ending: Ending) -> int:
    return len(ending.error or "") + len(ending.result or b"") + len(ending.output or b"")
