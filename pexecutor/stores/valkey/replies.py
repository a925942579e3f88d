"""Conversion of the server's replies to records. A reply contains only facts that this node does not know already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ...task import (
    FULL,
    Accepted,
    Attempt,
    Duplicate,
    Ending,
    Finished,
    Following,
    Pending,
    Rare,
    Record,
    Running,
    Scheduled,
    Task,
    Verdict,
    make_serial,
)
from .protocol import NO_RETRY, NO_ROOM
from .wire import Retry, Row, ServerReply, Taken

_NUMBERS: Final = make_serial(1, 0) - 1
"""The bits of a serial that are the task's number in its queue."""


def number_of(record: Record) -> int:
    """Return a task's number in its queue."""
    return record.serial & _NUMBERS


def verdicts_of(
    tasks: Sequence[Task],
    facts: Sequence[Rare | None],
    reply: ServerReply[list[int | Taken]],
    tag: int,
    read: Callable[[Row], Record],
) -> tuple[list[Verdict], dict[int, Record]]:
    """Return the verdicts on submitted tasks, and by number the records of new tasks that are pending.

    Parameters:
        tasks: the submitted tasks.
        facts: their rare facts.
        reply: the server's reply.
        tag: the tag of the queue.
        read: returns the record of a row.
    """
    verdicts: list[Verdict] = []
    taken: dict[int, Record] = {}
    for task, rare, answer in zip(tasks, facts, reply.result, strict=True):
        if answer == NO_ROOM:
            verdicts.append(FULL)
        elif isinstance(answer, int):
            record = taken[answer] = Pending(make_serial(tag, answer), task, reply.at, (), rare=rare)
            verdicts.append(Accepted(record))
        else:
            verdicts.append(_verdict_of(answer, read))
    return verdicts, taken


def _verdict_of(answer: Taken, read: Callable[[Row], Record]) -> Verdict:
    record = read(answer.row)
    assert not isinstance(record, Finished), "a finished task holds no name"
    if answer.verdict == Duplicate.verdict:
        assert not isinstance(record, Following), "a follower holds no name"
        return Duplicate(record)
    superseded = read(answer.superseded) if isinstance(answer.superseded, Row) else None
    assert superseded is None or isinstance(superseded, Running)
    return Accepted(record, superseded)


def settled_as(running: Running, ending: Ending, answer: Retry | bool, at: float) -> Finished | Scheduled | None:
    """Return the task after an attempt that was recorded at the time ``at``, or ``None`` if the node has lost it."""
    if answer is False:
        return None
    ended_at, due_at = (at, NO_RETRY) if answer is True else (answer.ended_at, answer.due_at)
    attempts = (*running.attempts, Attempt(running.started_at, ended_at, ending.outcome, ending.error))
    head = (running.serial, running.task, running.submitted_at, attempts)
    if due_at == NO_RETRY:
        return Finished(*head, ended_at, ending, rare=running.rare)
    return Scheduled(*head, due_at, rare=running.rare)
