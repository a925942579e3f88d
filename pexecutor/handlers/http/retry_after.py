"""Read the header ``Retry-After`` of a response."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Final

RETRY_AFTER_SECONDS_MAX: Final = 24 * 60 * 60


def retry_after_seconds(value: str | None) -> float | None:
    """Return the seconds to wait by a ``Retry-After`` header (RFC 9110, section 10.2.3), ``None`` if it is invalid."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.isdecimal() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return min(max(0.0, seconds), RETRY_AFTER_SECONDS_MAX)
