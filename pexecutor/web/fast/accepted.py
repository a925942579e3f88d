"""Encode in one step the most frequent reply: that a submitted task was accepted.

The bytes are equal to those that are encoded through ``Reply``; a test checks that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeGuard

import msgspec

from ...task import Pending, Record
from ..api.reply import encode
from ..api.wire import TaskDetail, timestamp
from .response import date_line

_New: Final[Callable[..., msgspec.Struct]] = msgspec.defstruct(
    "_New", [(field.name, field.type) for field in msgspec.structs.fields(TaskDetail) if field.required], gc=False
)
"""The required fields of ``TaskDetail`` in their order: a new task has no others. Positional arguments are faster."""


def is_new(record: Record) -> TypeGuard[Pending]:
    """Return whether a record has no fields beyond the required ones of ``TaskDetail``."""
    if type(record) is not Pending or record.attempts:
        return False
    task = record.task
    return task.traceparent is None and not task.tags


def encode_accepted(record: Pending, tasks_link: str, request_id: str) -> bytes:
    """Return the bytes of the reply to the submit of a new task, for a connection that stays open.

    Parameters:
        tasks_link: the link to the tasks; the link to the record begins with it.
    """
    task, task_id = record.task, record.id
    content = encode(
        _New(
            task_id,
            task.name,
            "pending",
            task.duration,
            task.handler,
            task.priority,
            timestamp(record.submitted_at),
            task.params,
            task.timeout,
            task.retries,
            task.retry_delay,
            task.retry_delay_max,
            task.on_conflict,
            task.on_crash,
            task.keep,
            (),
        )
    )
    head = (
        f"HTTP/1.1 202 Accepted\r\nlocation: {tasks_link}/{task_id}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\nx-request-id: {request_id}\r\n"
    )
    return b"%b%b%b" % (head.encode("ascii"), date_line(), content)
