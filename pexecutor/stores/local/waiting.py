"""Changes of a task that waits: its priority, and the time at which it becomes due."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec

from ...task import Following, Pending, Scheduled, wait_again


def changed(
    record: Scheduled | Following | Pending, priority: int | None, due_at: float | None, now: float
) -> Scheduled | Following | Pending:
    """Return a waiting task with another priority, another time, or both.

    Parameters:
        record: the task.
        priority: its new priority, or ``None`` to keep it.
        due_at: its new time in seconds since 1970, or ``None`` to keep it; a time before ``now`` stands for ``now``.
        now: the time by the store's clock.
    """
    if priority is not None:
        record = msgspec.structs.replace(record, task=msgspec.structs.replace(record.task, priority=priority))
    if due_at is None or (due_at <= now and _is_due(record, now)):
        return record
    # Whole milliseconds, rounded down, so that no rounding moves the present into the future.
    run_at = datetime.fromtimestamp(due_at if due_at > now else math.floor(now * 1000) / 1000, UTC)
    record = msgspec.structs.replace(record, task=msgspec.structs.replace(record.task, delay=0, run_at=run_at))
    if isinstance(record, Following):
        return record
    if due_at <= now:
        return wait_again(record)
    head = record.serial, record.task, record.submitted_at, record.attempts
    return Scheduled(*head, run_at.timestamp(), rare=record.rare)


def _is_due(record: Scheduled | Following | Pending, now: float) -> bool:
    match record:
        case Pending():
            return True
        case Following():
            return record.task.due_at(record.submitted_at) <= now
        case Scheduled():
            return False
