"""``sleep``: the built-in handler, which waits for the task's ``duration`` and does nothing else."""

from __future__ import annotations

from typing import Any, Final

import trio

from ..task import Task
from .context import Context
from .contract import Complaint

_NO_PARAMS: Final = {"type": "object", "properties": {}, "additionalProperties": False}


class Sleep:
    """The handler ``sleep``, and the only one that uses a task's ``duration``."""

    description = "Sleeps for the task's duration, in milliseconds"
    ends_with_us = True
    contains_itself = True

    @property
    def params_schema(self) -> dict[str, Any]:
        """Return the schema of no params."""
        return _NO_PARAMS

    def check(self, task: Task, /) -> Complaint | None:
        """Refuse a task with params."""
        return ("params", "`params`: the handler `sleep` takes no params; set `duration`") if task.params else None

    async def run(self, _context: Context, task: Task, /) -> None:
        """Sleep for the task's duration."""
        if task.duration:
            await trio.sleep(task.duration / 1000)
