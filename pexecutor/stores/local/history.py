"""``History``: the finished tasks that can still be read, bounded by count, by age and by bytes.

Successes and other outcomes are kept in two parts, each with bounds of its own, so that many successes do not displace
the few failures that someone wants to look at. The bytes of both are bounded together.

Endings are numbered in the order in which they arrive, over both parts. A page walks down these numbers from a cursor,
so a clock that is set back cannot change the order. When a part has too many endings, its oldest ones are dropped. When
there are too many bytes, the oldest successes are dropped first. Endings that have reached their age are dropped by the
next reader. Most endings are kept for the full age of their part and expire in the order of their numbers; only a task
with a shorter ``keep`` needs a deadline of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from typing import Final, NamedTuple

import msgspec

from ...task import Ending, Finished, Outcome
from .deadlines import Deadlines
from .sorted_serials import Lane

ATTEMPT_BYTES: Final = 64
"""The bytes that an attempt counts for, in addition to its error."""

_encode = msgspec.json.Encoder().encode


class HistoryBounds(NamedTuple):
    """The bounds of one part of the history.

    Parameters:
        records_max: the largest number of tasks to keep.
        seconds_max: how long to keep a task, in seconds; a task may request less.
    """

    records_max: int
    seconds_max: float


class _Part(NamedTuple):
    numbers: Lane[Finished]
    bounds: HistoryBounds


class History:
    """A bounded, ordered collection of finished tasks.

    Parameters:
        successes: the bounds of the tasks that succeeded.
        others: the bounds of the tasks with another outcome.
        bytes_max: the largest number of bytes of params, errors, attempts, results and output to keep.
        forget: called with the records that were dropped.
    """

    def __init__(
        self,
        *,
        successes: HistoryBounds,
        others: HistoryBounds,
        bytes_max: int,
        forget: Callable[[Sequence[Finished]], None],
    ) -> None:
        self._bytes_max = bytes_max
        self._forget = forget
        # Changed together, by add() and _drop().
        self._numbers: dict[int, int] = {}  # serial -> number
        self._records: dict[int, Finished] = {}  # by number
        self._successes = _Part(Lane(self._records), successes)
        self._others = _Part(Lane(self._records), others)
        self._expiry = Deadlines()  # of those that are kept for less than the others
        self._bytes = 0
        self._endings = 0
        # No record reaches its age before this time. Lowered by add(), set anew by expire().
        self._first_expiry = math.inf

    def add(self, records: Sequence[Finished]) -> None:
        """Add records in the order of their ends, and drop what now exceeds the bounds."""
        if not records:
            return
        numbers = range(self._endings + 1, self._endings + 1 + len(records))
        self._endings += len(records)
        self._numbers.update(zip([record.serial for record in records], numbers, strict=True))
        self._records.update(zip(numbers, records, strict=True))
        common = _common_ending(records)
        self._bytes += _bytes_of(records, common)
        if common is not None:
            self._append(numbers, self._part_of(records[0]), records[0].finished_at)
        else:
            for number, record in zip(numbers, records, strict=True):
                self._append([number], self._part_of(record), record.finished_at)
        if any([record.task.keep is not None for record in records]):  # noqa: C419  # a list is quicker
            self._let_expire(number for number in numbers if number in self._records)
        while self._bytes > self._bytes_max and len(self) > 1:
            self._drop(self._first_to_go().remove_front(1))

    def _append(self, numbers: Sequence[int], part: _Part, ended_at: float) -> None:
        """Add the numbers of tasks to a part, the first of which ended at this time; drop those beyond its bound."""
        part.numbers.append_all(numbers)
        records_max, seconds_max = part.bounds
        if ended_at + seconds_max < self._first_expiry:
            self._first_expiry = ended_at + seconds_max
        over = len(part.numbers) - records_max
        if over > 0:
            self._drop(part.numbers.remove_front(over))

    def _part_of(self, record: Finished) -> _Part:
        return self._successes if record.ending.outcome is Outcome.SUCCEEDED else self._others

    def _first_to_go(self) -> Lane[Finished]:
        """Return the part whose oldest task is dropped if there are too many bytes. The latest ending always stays."""
        successes = self._successes.numbers
        return successes if successes and successes.lowest() != self._endings else self._others.numbers

    def _let_expire(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            record = self._records[number]
            keep = record.task.keep
            if keep is not None and keep / 1000 < self._part_of(record).bounds.seconds_max:
                self._expiry.set(number, record.finished_at + keep / 1000)
                self._first_expiry = min(self._first_expiry, record.finished_at + keep / 1000)

    def expire(self, now: float) -> None:
        """Drop the records that have reached their age at this time."""
        if now < self._first_expiry:
            return
        for number in self._expiry.pop_due(now):
            self._part_of(self._records[number]).numbers.remove(number)
            self._drop([number])
        for numbers, bounds in (self._successes, self._others):
            while numbers and numbers.first().finished_at + bounds.seconds_max <= now:
                self._drop(numbers.remove_front(1))
        self._first_expiry = min(self._expiries(), default=math.inf)

    def _expiries(self) -> Iterator[float]:
        """Iterate over the times at which the next records reach their age."""
        if (first := self._expiry.next()) is not None:
            yield first
        for numbers, bounds in (self._successes, self._others):
            if numbers:
                yield numbers.first().finished_at + bounds.seconds_max

    def number_of(self, record: Finished) -> int:
        """Return the number of this ending in the store, from 1."""
        return self._numbers[record.serial]

    def before(self, number: int | None = None, outcome: Outcome | None = None) -> Iterator[Finished]:
        """Iterate over the records that ended before this number, or over all records, the latest first.

        With an outcome, only records of its part.
        """
        successes, others = self._successes.numbers, self._others.numbers
        if outcome is not None:
            return (successes if outcome is Outcome.SUCCEEDED else others).below_key(number)
        if not (successes and others):
            return (successes or others).below_key(number)
        in_order = merge(successes.keys_below(number), others.keys_below(number), reverse=True)
        return map(self._records.__getitem__, in_order)

    def __len__(self) -> int:
        return len(self._numbers)

    def _drop(self, numbers: Sequence[int]) -> None:
        records = [self._records.pop(number) for number in numbers]
        for record in records:
            del self._numbers[record.serial]
        self._bytes -= _bytes_of(records, _common_ending(records))
        if self._expiry:
            for number in numbers:
                self._expiry.forget(number)
        self._forget(records)


def _common_ending(records: Sequence[Finished]) -> Ending | None:
    """Return the ending of all records, or ``None`` if their endings differ."""
    first = records[0].ending
    if len(records) == 1:
        return first
    endings = [record.ending for record in records]
    return first if endings.count(first) == len(endings) else None


def _bytes_of(records: Sequence[Finished], common: Ending | None) -> int:
    """Return the bytes of records that have a common ending or, with ``None``, different ones."""
    if common is not None and common.error is None:
        special = [
            record for record in records if (task := record.task).params or task.tags or len(record.attempts) > 1
        ]
        if not special:  # the usual case: all tasks succeeded at their first attempt, with equal results
            return (ATTEMPT_BYTES + _bytes_of_ending(common)) * len(records)
    return sum(map(_bytes_of_one, records))


def _bytes_of_one(record: Finished) -> int:
    params = len(_encode(record.task.params)) if record.task.params else 0
    errors = sum([len(attempt.error) for attempt in record.attempts if attempt.error is not None])
    tags = len(_encode(record.task.tags)) if record.task.tags else 0
    return params + tags + errors + ATTEMPT_BYTES * max(1, len(record.attempts)) + _bytes_of_ending(record.ending)


def _bytes_of_ending(ending: Ending) -> int:
    return len(ending.error or "") + len(ending.result or b"") + len(ending.output or b"")
