"""The time and pauses of a thread."""

from __future__ import annotations

from time import monotonic as now
from time import sleep

__all__ = ["now", "sleep"]
