"""Changes of a task that waits: the new task is made here, because the server does not read the texts of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from ...errors import AlreadyFinishedError, AlreadyStartedError
from ...task import Finished, Following, Pending, Record, Running, Scheduled
from ..local.waiting import changed
from .wire import Found, ServerReply, text_of, to_task_text

Waiting = Scheduled | Following | Pending


class NewTime(NamedTuple):
    """What the server needs for a new time: the time, and the text of the task with it, in the place of ``seen``."""

    due_at: float
    seen: str
    text: str


class AskOfTask(Protocol):
    """Calls a verb for one task, and returns a reply whose result has a row."""

    async def __call__(self, verb: str, *arguments: Any) -> ServerReply[Found]: ...


async def change_waiting(
    ask: AskOfTask, read: Callable[[Any], Record], priority: int | None, due_at: float | None
) -> Waiting:
    """Give a waiting task another priority, another time, or both; return its record.

    Parameters:
        ask: calls a verb for the task.
        read: decodes a row.
        priority: the new priority, or ``None``.
        due_at: the new time, or ``None``.
    """
    wanted = False if priority is None else priority
    while due_at is not None:
        reply = await ask("get", False)  # an expired record is not returned
        time = _new_time(reply.result.row, read(reply.result.row), due_at, reply.at)
        if time is None:
            break
        record = _waiting(read((await ask("change_waiting", wanted, *time)).result.row))
        if record.task.due_at(record.submitted_at) == time.due_at:  # else a submit has changed the task in the meantime
            return record
    return _waiting(read((await ask("change_waiting", wanted)).result.row))


def _waiting(record: Record) -> Waiting:
    """Return the record of a waiting task. Raises ``AlreadyStartedError`` or ``AlreadyFinishedError`` for another."""
    if isinstance(record, Finished):
        raise AlreadyFinishedError(record.id)
    if isinstance(record, Running):
        raise AlreadyStartedError(record.id)
    return record


def _new_time(row: Any, record: Record, due_at: float, now: float) -> NewTime | None:
    """Return the change that gives a waiting task another time, or ``None`` if the task is due already.

    Parameters:
        row: the task as the server has it.
        record: the same task, decoded.
        due_at: the new time, in seconds since 1970.
        now: the time by the server's clock.
    """
    old = _waiting(record)
    new = changed(old, None, due_at, now)
    if new is old:
        return None
    assert new.task.run_at is not None, "the new time"
    return NewTime(new.task.run_at.timestamp(), bytes(text_of(row.task)).decode(), to_task_text(new.task))
