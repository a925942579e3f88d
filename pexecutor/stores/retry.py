"""When a task that failed is tried again: exponential backoff with full jitter.

The n-th retry waits a time drawn evenly from 0 to ``retry_delay`` · 2ⁿ⁻¹, at most ``retry_delay_max``; a crowd of
tasks that failed together does not come back together. (Marc Brooker, "Exponential Backoff And Jitter", 2015.) A
handler that was told when to come back (``Retry-After``) is not tried before.
"""

from __future__ import annotations

from random import Random
from typing import Final

from ..task import Ending, Outcome, Running

_RETRIED: Final = frozenset({Outcome.FAILED, Outcome.TIMED_OUT})
_DOUBLINGS_MAX: Final = 30
"""2³⁰ ms are more than any delay may be."""


def retry_at(running: Running, ending: Ending, now: float, random: Random) -> float | None:
    """When the next attempt is due, in seconds since 1970; ``None`` when there is none."""
    task, failures = running.task, len(running.attempts) + 1
    if ending.outcome not in _RETRIED or not ending.retryable or failures > task.retries:
        return None
    most_ms = min(task.retry_delay_max, task.retry_delay << min(failures - 1, _DOUBLINGS_MAX))
    return now + max(random.uniform(0, most_ms / 1000), ending.retry_after_seconds)
