"""How an attempt ended, as the server is told of it; what cannot be kept there fails its own task, and no other."""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec

from ...task import Ending, Outcome, Running
from ..retry import retry_at
from .wire import NO_RETRY, to_ending, to_text

ENDING_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of one ending as JSON; far above what handlers can give, and far below what the server takes (512 MB)."""


def ending_arguments(running: Running, ending: Ending, jitter: random.Random) -> tuple[Any, ...]:
    """Return the outcome, the error, the ending as text, and how long the next attempt waits."""
    text = _text_or_none(ending)
    if text is None:
        ending = Ending(Outcome.FAILED, "how it ended cannot be kept in the store", retryable=False)
        text = to_text(ending)
    again_at = retry_at(running, ending, 0.0, jitter)
    return ending.outcome, ending.error or False, text, NO_RETRY if again_at is None else again_at


def _text_or_none(ending: Ending) -> str | None:
    """Return the ending as JSON, or ``None`` when it cannot be written, or not be read afterwards."""
    try:
        text = to_text(ending)
        if ending.retry_after_seconds or ending.error is not None:  # plain successes have nothing that could be wrong
            to_ending(text)
    except (ValueError, TypeError, msgspec.MsgspecError):
        return None
    return text if len(text) <= ENDING_BYTES_MAX else None
