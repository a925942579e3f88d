"""The bounds on the sizes of log files."""

from __future__ import annotations

from typing import Final

import msgspec

from ..limits.defaults import LOG_BYTES_MAX, LOG_HEAD_BYTES, LOGS_BYTES_MAX

RING_SEGMENTS: Final = 2
"""How many segments are kept besides the head."""

HEAD_SHARE: Final = 10
"""The head has at most this part of the room of a log."""


class LogBounds(msgspec.Struct, frozen=True):
    """The bounds on the files, in bytes.

    Parameters:
        log_bytes_max: the size of one log.
        logs_bytes_max: the size of all logs.
    """

    log_bytes_max: int = LOG_BYTES_MAX
    logs_bytes_max: int = LOGS_BYTES_MAX

    @property
    def head_bytes(self) -> int:
        """The size of the first segment of a log."""
        return min(LOG_HEAD_BYTES, self.log_bytes_max // HEAD_SHARE)

    @property
    def ring_segment_bytes(self) -> int:
        """The size of a later segment."""
        return (self.log_bytes_max - self.head_bytes) // RING_SEGMENTS


DEFAULT_BOUNDS: Final = LogBounds()
