"""``Histogram``: how long things took, counted by size, in a few numbers whatever has happened.

Plain numbers and no library: the core counts, and whoever shows them knows a format. An observation costs a search
among some twenty bounds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from .batch_counts import how_often

TASK_SECONDS: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)
"""Bounds for what tasks do: from a millisecond to a day."""

COMMIT_SECONDS: Final = (0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Bounds for a write: from a quarter of a millisecond to the longest that one may take."""


class Histogram:
    """Observations by size. Read ``counts`` and ``sum``; only ``observe`` and ``observe_all`` change them.

    Parameters:
        bounds: the upper bound of each bucket, inclusive, in rising order; above the last there is one bucket more.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds: tuple[float, ...] = tuple(bounds)
        self.counts: list[int] = [0] * (len(self.bounds) + 1)  # each on its own, not added up
        self.sum: float = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count one, or so many that took as long; a wall clock that was set back makes no negative time."""
        self.counts[bisect_left(self.bounds, seconds)] += times
        if seconds > 0.0:
            self.sum += seconds * times

    def observe_all(self, durations: Sequence[float]) -> None:
        """Count many."""
        for seconds, times in how_often(durations):
            self.observe(seconds, times)
