"""The handler contract: what runs a task.

A handler is an async function ``(context, **params)``. It is called in a cancel scope of its own: a timeout, a
cancel and the hard stop all arrive as ``trio.Cancelled``, and a handler that has cleaning up to do does it in
``finally``, within a bounded shield. When it returns, the task has succeeded; when it raises, the task has failed,
and the error's text is what the record says. It leaves nothing running behind: the name is freed when it returns.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..task import Running
from .sleep import sleep


class Handler(Protocol):
    """Runs one attempt of a task."""

    async def __call__(self, context: Running, /, *, duration: int) -> Any: ...


__all__ = ["Handler", "sleep"]
