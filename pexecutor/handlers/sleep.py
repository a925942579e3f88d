"""``sleep``: the work of the original, which is to take the time that it was told."""

from __future__ import annotations

import trio

from ..task import Running


async def sleep(_context: Running, /, *, duration: int) -> None:
    """Take ``duration`` milliseconds."""
    await trio.sleep(duration / 1000)
