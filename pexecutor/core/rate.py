"""How fast tasks finish, and what that tells somebody who was refused for lack of room."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 60
RETRY_AFTER_SECONDS_MAX: Final = 60
PAUSE_SECONDS_MAX: Final = 1.0
"""A shorter time in which nothing ran is not kept apart, so there are few such times to keep."""


class FinishRate:
    """Counts endings over the last minute, a bucket a second.

    Parameters:
        now: a monotonic clock, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._begin = now()
        self._buckets: deque[tuple[int, int]] = deque()  # (second, endings in it), the oldest first
        self._total = 0
        # Owned by begin() and end(): when something ran, the oldest first; and since when something runs now.
        self._busy: deque[tuple[float, float]] = deque()
        self._busy_since: float | None = None

    def begin(self) -> None:
        """Note that something runs, where nothing did."""
        if self._busy_since is None:
            self._busy_since = self._now()
            if self._busy and self._busy_since - self._busy[-1][1] < PAUSE_SECONDS_MAX:
                self._busy_since = self._busy.pop()[0]

    def end(self) -> None:
        """Note that nothing runs any more."""
        if self._busy_since is not None:
            self._busy.append((self._busy_since, self._now()))
            self._busy_since = None
            self._drop_old_buckets()

    def count(self, endings: int = 1) -> None:
        """So many tasks have ended."""
        second = math.floor(self._now())
        if self._buckets and self._buckets[-1][0] == second:
            self._buckets[-1] = (second, self._buckets[-1][1] + endings)
        else:
            self._buckets.append((second, endings))
        self._total += endings

    def per_second(self) -> float:
        """Endings a second over the window, or since the start when that is shorter."""
        self._drop_old_buckets()
        return self._total / max(1.0, self._observed_seconds())

    def retry_after_seconds(self, places: int) -> int:
        """When so many places may have become free: 1 to 60 s, whole.

        The time in which nothing ran does not count: an idle minute says nothing about how fast tasks finish. While
        nothing has ended, the wait so far is the best guess at the wait to come.
        """
        self._drop_old_buckets()
        busy_seconds = self._busy_seconds()
        seconds = places * max(1.0, busy_seconds) / self._total if self._total else busy_seconds
        return min(max(1, math.ceil(seconds)), RETRY_AFTER_SECONDS_MAX)

    def _observed_seconds(self) -> float:
        return min(self._now() - self._begin, WINDOW_SECONDS)

    def _busy_seconds(self) -> float:
        """How long something ran, in the window."""
        now = self._now()
        spans = [*self._busy, (now if self._busy_since is None else self._busy_since, now)]
        return sum(end - max(begin, now - WINDOW_SECONDS) for begin, end in spans)

    def _drop_old_buckets(self) -> None:
        oldest = self._now() - WINDOW_SECONDS
        while self._busy and self._busy[0][1] < oldest:
            self._busy.popleft()
        while self._buckets and self._buckets[0][0] < oldest:
            self._total -= self._buckets.popleft()[1]
