"""``Timeline``: the throughput of the last 15 minutes and of the last day, by interval, in constant memory.

An interval counts the tasks that ended in it, by outcome, and keeps two distributions: the time that tasks had waited
in the queue when they started, and the time that attempts had run when they ended. A distribution has four buckets per
doubling, so a percentile is exact to within 10 %, at any rate.

Times come from the records. A record that is a little older than the current interval counts in the current interval. A
finished record that is older by more than an interval shows that the clock was set back; then all intervals move back
with the clock.

The last 15 minutes have short intervals. When a short interval has ended, it is added to a long one of the last day, so
a task is counted only once.

Road not taken: keeping a sample of the durations. It costs more, and would contain a rare slow task only by luck.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..task import Finished, Outcome, Record, Running, Scheduled
from .batch_counts import Gathered, by_kind, value_counts

INTERVAL_SECONDS: Final = 15
INTERVALS_MAX: Final = 60

LONG_INTERVAL_SECONDS: Final = 300
LONG_INTERVALS_MAX: Final = 288
"""One day."""

_STEPS_A_DOUBLING: Final = 4
_SECONDS_MIN: Final = 0.001


class Percentiles(msgspec.Struct, frozen=True):
    """Percentiles of durations, in seconds.

    Parameters:
        p50: the median.
        p95: the 95th percentile.
    """

    p50: float
    p95: float


class Interval(msgspec.Struct, frozen=True):
    """The summary of one interval.

    Parameters:
        begins_at: the begin of the interval, in seconds since 1970.
        started: the number of attempts that began.
        finished: the number of tasks that ended, by outcome.
        queue: the time that tasks had been due when their first attempt began; ``None`` if no first attempt began.
        run: the time that attempts had run when they ended; ``None`` if no attempt ended.
    """

    begins_at: int
    started: int
    finished: dict[Outcome, int]
    queue: Percentiles | None
    run: Percentiles | None


class Timeline:
    """The last intervals in which tasks started or ended: the short ones, and the long ones of a day."""

    def __init__(self) -> None:
        self._intervals: deque[_Counting] = deque(maxlen=INTERVALS_MAX)
        self._long: deque[_Counting] = deque(maxlen=LONG_INTERVALS_MAX)  # without the current short interval
        self._begins_at = -INTERVAL_SECONDS  # of the current interval, which _intervals may not contain yet
        # Records of the current interval that are not counted yet, by state.
        self._noted: dict[type[Record], Gathered[Any]] = {
            Running: Gathered(lambda records: self._counting().add_started(records)),
            Scheduled: Gathered(self._count_retried),
            Finished: Gathered(lambda records: self._counting().add_finished(records)),
        }

    def note(self, records: Sequence[Record]) -> None:
        """Count records of tasks that have changed at the same time."""
        if records:
            now = records[0].since
            if now >= self._begins_at + INTERVAL_SECONDS:
                self._settle()
                self._begins_at = int(now // INTERVAL_SECONDS) * INTERVAL_SECONDS
            elif now < self._begins_at - INTERVAL_SECONDS and type(records[0]) is Finished:
                self._set_back(now)
        for kind, changed in by_kind(records):
            if (noted := self._noted.get(kind)) is not None:
                noted.add_all(changed)

    def _set_back(self, now: float) -> None:
        """Move all intervals back with a clock that was set back, so that none lies in the future."""
        self._settle()
        seconds = self._begins_at - int(now // INTERVAL_SECONDS) * INTERVAL_SECONDS
        self._begins_at -= seconds
        for counting in (*self._intervals, *self._long):
            counting.begins_at -= seconds

    def since(self, time: float) -> list[Interval]:
        """Return the intervals that end after a time (seconds since 1970), oldest first."""
        self._settle()
        return [counting.summary() for counting in self._intervals if counting.begins_at + INTERVAL_SECONDS > time]

    def long_since(self, time: float) -> list[Interval]:
        """Return the long intervals that end after a time (seconds since 1970), oldest first."""
        self._settle()
        shown = deque(self._long, LONG_INTERVALS_MAX)
        if self._intervals:
            current = self._intervals[-1]
            before = shown.pop() if shown and current.is_within(shown[-1]) else _Counting(_long_begin(current))
            shown.append(before + current)
        return [counting.summary() for counting in shown if counting.begins_at + LONG_INTERVAL_SECONDS > time]

    def _settle(self) -> None:
        for noted in self._noted.values():
            noted.settle()

    def _count_retried(self, records: Sequence[Scheduled]) -> None:
        if last := [record.attempts[-1] for record in records if record.attempts]:
            self._counting().run.add_all([attempt.ended_at - attempt.started_at for attempt in last])

    def _counting(self) -> _Counting:
        """Return the current interval."""
        if not self._intervals or self._intervals[-1].begins_at != self._begins_at:
            if self._intervals:
                self._add_to_long(self._intervals[-1])
            self._intervals.append(_Counting(self._begins_at))
        return self._intervals[-1]

    def _add_to_long(self, ended: _Counting) -> None:
        """Add a short interval that has ended to the long one in which it lies."""
        if not self._long or not ended.is_within(self._long[-1]):
            self._long.append(_Counting(_long_begin(ended)))
        self._long[-1] += ended


def _long_begin(short: _Counting) -> int:
    return short.begins_at // LONG_INTERVAL_SECONDS * LONG_INTERVAL_SECONDS


class _Counting:
    """The counters of one interval."""

    def __init__(self, begins_at: int) -> None:
        self.begins_at = begins_at
        self.started = 0
        self.finished: Counter[Outcome] = Counter()
        self.queue = _Distribution()
        self.run = _Distribution()

    def add_started(self, records: Sequence[Running]) -> None:
        self.started += len(records)
        self.queue.add_all([record.queued_seconds for record in records if not record.attempts])

    def add_finished(self, records: Sequence[Finished]) -> None:
        for outcome, times in value_counts([record.ending.outcome for record in records]):
            self.finished[outcome] += times
        self.run.add_all(
            [
                last.ended_at - last.started_at
                for record in records
                if record.attempts and (last := record.attempts[-1]).ended_at == record.finished_at
            ]
        )

    def is_within(self, long: _Counting) -> bool:
        """Return whether this short interval lies in a long one."""
        return long.begins_at <= self.begins_at < long.begins_at + LONG_INTERVAL_SECONDS

    def __add__(self, other: _Counting) -> _Counting:
        """Return the sum of two intervals, which begins with the first."""
        total = _Counting(self.begins_at)
        total.started = self.started + other.started
        total.finished = self.finished + other.finished
        total.queue, total.run = self.queue + other.queue, self.run + other.run
        return total

    def summary(self) -> Interval:
        return Interval(
            self.begins_at, self.started, dict(self.finished), self.queue.percentiles(), self.run.percentiles()
        )


class _Distribution:
    """Counts of durations in buckets, four per doubling."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add_all(self, durations: Sequence[float]) -> None:
        for seconds, times in value_counts(durations):
            self._counts[math.floor(math.log2(max(seconds, _SECONDS_MIN)) * _STEPS_A_DOUBLING)] += times

    def __add__(self, other: _Distribution) -> _Distribution:
        """Return the distribution of the durations of both."""
        total = _Distribution()
        total._counts = self._counts + other._counts
        return total

    def percentiles(self) -> Percentiles | None:
        return Percentiles(self._quantile(0.5), self._quantile(0.95)) if self._counts else None

    def _quantile(self, part: float) -> float:
        left = part * self._counts.total()
        size = 0
        for size in sorted(self._counts):
            left -= self._counts[size]
            if left <= 0:
                break
        return round(math.exp2((size + 0.5) / _STEPS_A_DOUBLING), 4)
