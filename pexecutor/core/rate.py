"""``FinishRate``: how fast tasks finish, and when a client that found the queue full should retry."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 60
RETRY_AFTER_SECONDS_MAX: Final = 60
PAUSE_SECONDS_MAX: Final = 1.0
"""Busy spans that are less than this apart are joined, so there are few spans to keep."""


class FinishRate:
    """A count of endings over the last minute, in buckets of one second.

    Parameters:
        now: a monotonic clock, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._begin = now()
        self._buckets: deque[tuple[int, int]] = deque()  # (second, endings in it), the oldest first
        self._total = 0
        # Owned by begin() and end(): the spans in which tasks ran, oldest first, and the begin of the current span.
        self._busy: deque[tuple[float, float]] = deque()
        self._busy_since: float | None = None

    def begin(self) -> None:
        """Note that the pool has begun to run tasks."""
        if self._busy_since is None:
            self._busy_since = self._now()
            if self._busy and self._busy_since - self._busy[-1][1] < PAUSE_SECONDS_MAX:
                self._busy_since = self._busy.pop()[0]

    def end(self) -> None:
        """Note that the pool runs no task any more."""
        if self._busy_since is not None:
            self._busy.append((self._busy_since, self._now()))
            self._busy_since = None
            self._drop_old_buckets()

    def count(self, endings: int = 1) -> None:
        """Count tasks that have ended."""
        second = math.floor(self._now())
        if self._buckets and self._buckets[-1][0] == second:
            self._buckets[-1] = (second, self._buckets[-1][1] + endings)
        else:
            self._buckets.append((second, endings))
        self._total += endings

    def per_second(self) -> float:
        """Return the endings per second over the window, or since the start if that is shorter."""
        self._drop_old_buckets()
        return self._total / max(1.0, self._observed_seconds())

    def retry_after_seconds(self, places: int) -> int:
        """Return after how many whole seconds, 1 to 60, so many places in the queue are probably free.

        Only time in which tasks ran counts, because an idle minute says nothing about how fast tasks finish. If no task
        has ended yet, the estimate is the time that tasks have run so far.
        """
        self._drop_old_buckets()
        busy_seconds = self._busy_seconds()
        seconds = places * max(1.0, busy_seconds) / self._total if self._total else busy_seconds
        return min(max(1, math.ceil(seconds)), RETRY_AFTER_SECONDS_MAX)

    def _observed_seconds(self) -> float:
        return min(self._now() - self._begin, WINDOW_SECONDS)

    def _busy_seconds(self) -> float:
        """Return for how many seconds of the window tasks ran."""
        now = self._now()
        spans = [*self._busy, (now if self._busy_since is None else self._busy_since, now)]
        return sum(end - max(begin, now - WINDOW_SECONDS) for begin, end in spans)

    def _drop_old_buckets(self) -> None:
        oldest = self._now() - WINDOW_SECONDS
        while self._busy and self._busy[0][1] < oldest:
            self._busy.popleft()
        while self._buckets and self._buckets[0][0] < oldest:
            self._total -= self._buckets.popleft()[1]
