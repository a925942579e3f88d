"""``Timeline``: what went through in the last quarter of an hour, an interval at a time, in constant memory.

An interval counts what ended in it, by outcome, and keeps two distributions: how long tasks had waited in the queue
when they started, and how long attempts had run when they ended. A distribution is a count for each quarter of a
doubling, so a percentile is right to within a tenth, whatever the rate.

The times are those of the records. One that is older than the interval at hand, as after a clock was set back, counts
there.

Road not taken: keeping a sample of the durations. It costs more, and a rare slow task would be in it by luck alone.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

import msgspec

from .task import Finished, Outcome, Pending, Record, Running, Scheduled

INTERVAL_SECONDS: Final = 15
INTERVALS_MAX: Final = 60

_STEPS_A_DOUBLING: Final = 4
_SECONDS_MIN: Final = 0.001


class Percentiles(msgspec.Struct, frozen=True):
    """Of durations, in seconds.

    Parameters:
        p50: half were not longer.
        p95: nineteen of twenty were not longer.
    """

    p50: float
    p95: float


class Interval(msgspec.Struct, frozen=True):
    """What happened in one interval.

    Parameters:
        begins_at: seconds since 1970.
        started: attempts that began.
        finished: tasks that got their outcome.
        queue: how long tasks had been due when their first attempt began; ``None`` when none did.
        run: how long attempts had run when they ended.
    """

    begins_at: int
    started: int
    finished: dict[Outcome, int]
    queue: Percentiles | None
    run: Percentiles | None


class Timeline:
    """The last intervals in which anything happened."""

    def __init__(self) -> None:
        self._intervals: deque[_Counting] = deque(maxlen=INTERVALS_MAX)
        self._latest: _Counting | None = None

    def note(self, records: Sequence[Record]) -> None:
        """Take in that tasks have come into these states, at one time."""
        if set(map(type, records)) == {Pending}:
            return
        for record in records:
            if isinstance(record, Running):
                counting = self._at(record.started_at)
                counting.started += 1
                if not record.attempts:
                    counting.queue.add(record.queued_seconds)
            elif isinstance(record, Finished):
                counting = self._at(record.finished_at)
                counting.finished[record.ending.outcome] += 1
                if record.attempts and record.attempts[-1].ended_at == record.finished_at:
                    counting.run.add(record.finished_at - record.attempts[-1].started_at)
            elif isinstance(record, Scheduled) and record.attempts:
                last = record.attempts[-1]
                self._at(last.ended_at).run.add(last.ended_at - last.started_at)

    def since(self, time: float) -> list[Interval]:
        """Those that had not ended at this time, the oldest first."""
        return [counting.summary() for counting in self._intervals if counting.begins_at + INTERVAL_SECONDS > time]

    def _at(self, time: float) -> _Counting:
        if self._latest is None or time >= self._latest.begins_at + INTERVAL_SECONDS:
            self._latest = _Counting(int(time // INTERVAL_SECONDS) * INTERVAL_SECONDS)
            self._intervals.append(self._latest)
        return self._latest


class _Counting:
    """One interval, as it is counted."""

    def __init__(self, begins_at: int) -> None:
        self.begins_at = begins_at
        self.started = 0
        self.finished: Counter[Outcome] = Counter()
        self.queue = _Distribution()
        self.run = _Distribution()

    def summary(self) -> Interval:
        return Interval(
            self.begins_at, self.started, dict(self.finished), self.queue.percentiles(), self.run.percentiles()
        )


class _Distribution:
    """How often a duration was of which size."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        # The duration that came last, and its size: tasks that come together often wait for the same time.
        self._seconds = -math.inf
        self._size = 0

    def add(self, seconds: float) -> None:
        if seconds != self._seconds:
            self._seconds = seconds
            self._size = math.floor(math.log2(max(seconds, _SECONDS_MIN)) * _STEPS_A_DOUBLING)
        self._counts[self._size] += 1

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
