"""The ending of an attempt, as it is sent to the server. An ending that cannot be stored fails its own task only."""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec

from ...task import Ending, Running
from ..endings import not_written
from ..retry import retry_at
from .protocol import NO_RETRY
from .wire import to_ending, to_text

ENDING_BYTES_MAX: Final = 16 * 1024 * 1024
"""The largest ending as JSON; far above what handlers produce, and far below the server's limit of 512 MB."""


def ending_arguments(running: Running, ending: Ending, jitter: random.Random) -> tuple[Any, ...]:
    """Return the outcome, the error, the ending as text, and the wait before the next attempt in seconds."""
    try:
        text = _checked_text(ending)
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        ending = not_written(f"{type(error).__name__}: {error}")
        text = to_text(ending)
    again_at = retry_at(running, ending, 0.0, jitter)
    return ending.outcome, ending.error or False, text, NO_RETRY if again_at is None else again_at


def _checked_text(ending: Ending) -> str:
    """Return the ending as JSON.

    Raises:
        ValueError, TypeError, msgspec.MsgspecError: it cannot be written, could not be read back, or is too long.
    """
    text = to_text(ending)
    if ending.retry_after_seconds or ending.error is not None:  # a plain success is always readable
        to_ending(text)
    if len(text) > ENDING_BYTES_MAX:
        raise ValueError(f"the ending has {len(text)} bytes, and at most {ENDING_BYTES_MAX} are allowed")
    return text
