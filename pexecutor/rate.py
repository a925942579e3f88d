"""How fast tasks finish, and what that tells somebody who was refused for lack of room."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 60
RETRY_AFTER_SECONDS_MAX: Final = 60


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

        While nothing has ended yet, the wait so far is the best guess at the wait to come.
        """
        rate = self.per_second()
        seconds = places / rate if rate else self._observed_seconds()
        return min(max(1, math.ceil(seconds)), RETRY_AFTER_SECONDS_MAX)

    def _observed_seconds(self) -> float:
        return min(self._now() - self._begin, WINDOW_SECONDS)

    def _drop_old_buckets(self) -> None:
        oldest = self._now() - WINDOW_SECONDS
        while self._buckets and self._buckets[0][0] < oldest:
            self._total -= self._buckets.popleft()[1]
