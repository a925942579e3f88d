"""``sleep``: the work of the original, which is to take the time that it was told."""

from __future__ import annotations

from typing import Any, Final

import trio

from ..task import Task
from .context import Context
from .contract import Complaint

_NO_PARAMS: Final = {"type": "object", "properties": {}, "additionalProperties": False}


class Sleep:
    """Takes the task's ``duration``; the only handler that looks at it."""

    description = "takes the task's duration, in milliseconds"
    ends_with_us = True
    contains_itself = True

    @property
    def params_schema(self) -> dict[str, Any]:
        """It has no params."""
        return _NO_PARAMS

    def check(self, task: Task, /) -> Complaint | None:
        """Refuse params."""
        return ("params", "`params`: the handler `sleep` has none; it takes `duration`") if task.params else None

    async def run(self, _context: Context, task: Task, /) -> None:
        """Take the time, if it is any."""
        if task.duration:
            await trio.sleep(task.duration / 1000)
