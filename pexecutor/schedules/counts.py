"""``OccurrenceCounts``: how many occurrences were fired and skipped, by schedule.

Clients choose the names of schedules, and each name is a label of a metric. So only the first
``SCHEDULES_COUNTED_MAX`` schedules have counts of their own. All others share the counts of ``OTHERS``.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal

from ..stores.schedules import Skipped

SCHEDULES_COUNTED_MAX: Final = 200
"""How many schedules have counts of their own."""

OTHERS: Final = ""
"""Stands for all other schedules; no schedule has this name."""

Result = Literal["fired", "held", "full", "late", "paused", "no_such_handler"]
"""The result of an occurrence: its task was submitted, or the reason why it was skipped."""


class OccurrenceCounts:
    """Counters since the start."""

    def __init__(self) -> None:
        # Changed by _count() and forget().
        self._counts: dict[str, Counter[Result]] = {}
        self._others: Counter[Result] = Counter()

    def count_fired(self, name: str) -> None:
        """Count an occurrence of a schedule that submitted its task."""
        self._count(name, "fired")

    def count_skipped(self, name: str, skipped: Skipped) -> None:
        """Count an occurrence of a schedule that was skipped."""
        self._count(name, skipped.reason)

    def _count(self, name: str, result: Result) -> None:
        counts = self._counts.get(name)
        if counts is None:
            counts = self._others
            if len(self._counts) < SCHEDULES_COUNTED_MAX:
                counts = self._counts[name] = Counter()
        counts[result] += 1

    def forget(self, name: str) -> None:
        """Add the counts of a removed schedule to those of the others, so that another schedule can have its place."""
        self._others.update(self._counts.pop(name, Counter()))

    def by_schedule(self) -> dict[str, dict[Result, int]]:
        """Return the counts by schedule and result; ``OTHERS`` stands for all further schedules."""
        others = {OTHERS: self._others} if self._others else {}
        return {name: dict(counts) for name, counts in {**self._counts, **others}.items()}
