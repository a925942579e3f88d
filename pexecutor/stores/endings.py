"""The endings that a store itself gives a task. Every store uses the same texts."""

from __future__ import annotations

from typing import Final

from ..task import Ending, Outcome
from ..values import plain_text

SUPERSEDED: Final = Ending(Outcome.CANCELLED, "superseded by a newer submit of its name")
ABANDONED: Final = Ending(Outcome.ABANDONED, "the server that ran this task was lost", retryable=False)

_TOO_MANY_CRASHES: Final = (
    "the server was lost {} while this task ran, and `crashes_max` allows no more: "
    "if the task is not the cause, submit it again"
)
CRASHED_ONCE: Final = _TOO_MANY_CRASHES.format("once")
CRASHED_TIMES: Final = _TOO_MANY_CRASHES.format("%d times")
"""The errors of a task that has too many crashes; ``%d`` is their number."""

_REASON_CHARACTERS_MAX: Final = 200


def abandoned_after(crashes: int) -> Ending:
    """Return the ending of a task that has this number of crashes, which is too many."""
    error = CRASHED_ONCE if crashes == 1 else CRASHED_TIMES % crashes
    return Ending(Outcome.ABANDONED, error, retryable=False)


def not_written(reason: str) -> Ending:
    """Return the ending of a task whose own ending could not be written for this reason."""
    error = f"the record of this task could not be written ({plain_text(reason)[:_REASON_CHARACTERS_MAX]})"
    return Ending(Outcome.FAILED, error, retryable=False)
