"""The task of an occurrence: ``{scheduled_for}`` as a whole string in its params becomes the occurrence's time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ..stores.schedules import DefinitionFields
from ..task import Task

SLOT: Final = "{scheduled_for}"


def task_at(definition: DefinitionFields, at: float) -> Task:
    """Return the task of the occurrence at a time, in seconds since 1970."""
    task = definition.task
    if not task.params:
        return task
    shown = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    filled = _filled(task.params, shown)
    return task if filled == task.params else msgspec.structs.replace(task, params=filled)


def _filled(value: Any, shown: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, shown) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, shown) for one in value]
    return shown if value == SLOT else value
