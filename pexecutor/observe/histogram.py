"""``Histogram``: counts of durations by size, in constant memory.

It is plain numbers without a library: the core counts, and ``web/api/metrics.py`` knows the format of Prometheus. An
observation costs a binary search among about twenty bounds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from .batch_counts import value_counts

TASK_SECONDS: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)
"""Bounds for the durations of tasks, in seconds: from a millisecond to a day."""

COMMIT_SECONDS: Final = (0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Bounds for the durations of writes, in seconds: from a quarter of a millisecond to the longest allowed write."""


class Histogram:
    """Counts of observations in buckets. Read ``counts`` and ``sum``; only ``observe`` and ``observe_all`` change them.

    Parameters:
        bounds: the inclusive upper bound of each bucket, ascending; one more bucket counts larger observations.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds: tuple[float, ...] = tuple(bounds)
        self.counts: list[int] = [0] * (len(self.bounds) + 1)  # of each bucket alone, not cumulative
        self.sum: float = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count one duration, or several equal durations."""
        self.counts[bisect_left(self.bounds, seconds)] += times
        # A wall clock that was set back gives a negative duration, and the sum must never decrease.
        if seconds > 0.0:
            self.sum += seconds * times

    def __add__(self, other: Histogram) -> Histogram:
        """Return a histogram of the observations of both, which must have equal bounds."""
        total = Histogram(self.bounds)
        total.counts = [one + another for one, another in zip(self.counts, other.counts, strict=True)]
        total.sum = self.sum + other.sum
        return total

    def quantile(self, part: float) -> float:
        """Return an estimate of a quantile, in seconds.

        The estimate is that of Prometheus' ``histogram_quantile``: observations are spread evenly over their bucket,
        and those above the last bound equal it.
        """
        rank = part * sum(self.counts)
        lower = 0.0
        for upper, count in zip(self.bounds, self.counts, strict=False):
            if count >= rank and count:
                return lower + (upper - lower) * rank / count
            rank -= count
            lower = upper
        return lower

    def observe_all(self, durations: Sequence[float]) -> None:
        """Count several durations."""
        for seconds, times in value_counts(durations):
            self.observe(seconds, times)
