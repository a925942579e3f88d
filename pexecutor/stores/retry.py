"""Delays of retries: exponential backoff with full jitter.

The n-th retry waits a random time from 0 to ``retry_delay`` · 2ⁿ⁻¹, at most ``retry_delay_max``, so tasks that failed
together do not return together. (Marc Brooker, "Exponential Backoff And Jitter", 2015.) If a ``Retry-After`` header
gave a longer time, the retry waits that long.
"""

from __future__ import annotations

from random import Random
from typing import Final

from ..task import Ending, Outcome, Running

_RETRIED: Final = frozenset({Outcome.FAILED, Outcome.TIMED_OUT})
_DOUBLINGS_MAX: Final = 30
"""The largest exponent of the backoff: 2³⁰ ms is longer than any delay may be."""


def retry_at(running: Running, ending: Ending, now: float, random: Random) -> float | None:
    """Return when the next attempt is due, in seconds since 1970, or ``None`` if the task is not retried."""
    task, failures = running.task, len(running.attempts) + 1
    if ending.outcome not in _RETRIED or not ending.retryable or failures > task.retries:
        return None
    most_ms = min(task.retry_delay_max, task.retry_delay << min(failures - 1, _DOUBLINGS_MAX))
    return now + max(random.uniform(0, most_ms / 1000), ending.retry_after_seconds)
