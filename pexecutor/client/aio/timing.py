"""The time and pauses of whichever event loop runs: that of asyncio or Trio."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType


def _running_trio() -> ModuleType | None:
    """Return Trio if it runs this code. A program that has not imported Trio does not run it."""
    trio = sys.modules.get("trio")
    return trio if trio is not None and trio.lowlevel.in_trio_run() else None


def now() -> float:
    """Return the time of the event loop, in seconds."""
    trio = _running_trio()
    return float(asyncio.get_running_loop().time() if trio is None else trio.current_time())


async def sleep(seconds: float) -> None:
    """Wait."""
    trio = _running_trio()
    await (asyncio.sleep(seconds) if trio is None else trio.sleep(seconds))
