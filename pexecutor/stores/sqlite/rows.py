"""The row of a record in a file. All states share one table, and each fact has a column of its own.

The facts that every state has are always present. ``at`` is the time at which the task is due, was started or has
ended, depending on its state. The task itself is the JSON that was submitted, so a file can be inspected with SQL
alone. A row that is not valid raises ``ValueError``: the file is damaged, or was edited by hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import msgspec

from ...task import (
    TIME_MAX,
    Attempt,
    Ending,
    Finished,
    Following,
    Outcome,
    Pending,
    Rare,
    Record,
    Running,
    Scheduled,
    Task,
)

Row = tuple[Any, ...]

COLUMNS: Final = (
    "serial",
    "state",
    "submitted_at",
    "at",
    "task",
    "attempts",
    "follows",
    "supersedes",
    "ending",
    "result",
    "output",
    "rare",
)

FOLLOWING: Final = "following"
"""The only state that the HTTP API does not distinguish from ``scheduled``."""

_encode = msgspec.json.Encoder().encode
_decode_task = msgspec.json.Decoder(Task).decode
_decode_attempts = msgspec.json.Decoder(tuple[Attempt, ...]).decode
_decode_rare = lru_cache(maxsize=1024)(msgspec.json.Decoder(Rare).decode)
"""Returns the same object for equal texts: many tasks have the same targets."""


def to_row(record: Record) -> Row:
    """Return the row of a record, in the order of ``COLUMNS``."""
    at: float | None = None
    follows: int | None = None
    supersedes: bool | None = None
    ending: str | None = None
    result: bytes | None = None
    output: bytes | None = None
    state: str = record.state
    match record:
        case Scheduled():
            at = record.due_at
        case Following():
            state, follows, supersedes = FOLLOWING, record.follows, record.supersedes
        case Running():
            at = record.started_at
        case Finished():
            at, result, output = record.finished_at, record.ending.result, record.ending.output
            ending = ending_text(record.ending)
    attempts = text(record.attempts) if record.attempts else None
    return (
        record.serial,
        state,
        record.submitted_at,
        at,
        text(record.task),
        attempts,
        follows,
        supersedes,
        ending,
        result,
        output,
        None if record.rare is None else text(record.rare),
    )


WAITING_COLUMNS: Final = ("serial", "state", "submitted_at", "task")
"""The columns that are set for a task that was never tried and is due."""


def to_waiting_row(record: Pending) -> Row:
    """Return the row of a task that was never tried, in the order of ``WAITING_COLUMNS``."""
    return record.serial, "pending", record.submitted_at, text(record.task)


ENDED_COLUMNS: Final = ("serial", "state", "submitted_at", "at", "task", "attempts", "ending", "result")
"""The columns that are set for a task that ran and has left no output."""


def to_ended_row(record: Finished) -> Row:
    """Return the row of a task that has left no output, in the order of ``ENDED_COLUMNS``."""
    return (
        record.serial,
        "finished",
        record.submitted_at,
        record.finished_at,
        text(record.task),
        text(record.attempts) if record.attempts else None,
        ending_text(record.ending),
        record.ending.result,
    )


def from_row(row: Row) -> Record:
    """Return the record of a row.

    Raises:
        ValueError: the row is not one that ``to_row`` makes.
    """
    try:
        return _read(row)
    except TypeError as error:  # a value of another type in the place of a text
        raise ValueError(str(error)) from error


def _read(row: Row) -> Record:
    serial, state, submitted_at, at, task, attempts, follows, supersedes, ending, result, output, facts = row
    rare = None if facts is None else _decode_rare(facts)
    tried = () if attempts is None else _decode_attempts(attempts)
    for attempt in tried:
        _time(attempt.started_at)
        _time(attempt.ended_at)
    head = (serial, _decode_task(task), _time(submitted_at), tried)
    match state if isinstance(state, str) else state.decode():
        case "pending":
            return Pending(*head, rare=rare)
        case "scheduled":
            return Scheduled(*head, _time(at, math.inf), rare=rare)
        case "following":
            return Following(*head, follows, bool(supersedes), rare=rare)
        case "running":
            return Running(*head, _time(at), rare=rare)
        case "finished":
            stored = _decode_ending(ending)
            wait = math.nan if stored.retry_after_seconds is None else stored.retry_after_seconds
            end = Ending(stored.outcome, stored.error, stored.retryable, wait, result, output)
            return Finished(*head, _time(at), end, rare=rare)
        case _:
            raise ValueError(f"unknown state {state!r}")


def _time(seconds: float, seconds_max: float = TIME_MAX) -> float:
    """Return a time if it can be shown as a date. ``None`` raises ``TypeError``."""
    if not 0 <= seconds <= seconds_max:
        raise ValueError(f"the time {seconds!r} is out of range")
    return seconds


def tasks_by_serial(records: Iterable[Pending]) -> str:
    """Return the tasks of records as one JSON object, from which SQLite reads the texts that ``to_row`` writes."""
    return text({record.serial: _own_task(record.task) for record in records})


def _own_task(task: Task) -> Task | str:
    """Return a task with params as a string: params may be nested more deeply than SQLite reads JSON."""
    return text(task) if task.params else task


def attempts_by_serial(records: Iterable[Finished]) -> str:
    """Return the attempts of records as one JSON object."""
    return text({record.serial: record.attempts for record in records})


def serials_of(records: Iterable[Record]) -> str:
    """Return the serials of records as a JSON list."""
    return text([record.serial for record in records])


def ending_text(ending: Ending) -> str:
    """Return an ending as JSON, without the parts that have columns of their own."""
    return text(_Ending(ending.outcome, ending.error, ending.retryable, ending.retry_after_seconds))


class _Ending(msgspec.Struct, frozen=True, omit_defaults=True):
    """The stored part of an ending, with the defaults of ``Ending``.

    Older versions wrote ``null`` for a wait that is not a number.
    """

    outcome: Outcome
    error: str | None = None
    retryable: bool = True
    retry_after_seconds: float | None = 0.0


_decode_ending = msgspec.json.Decoder(_Ending).decode


def text(value: Any) -> str:
    """Return a value as JSON."""
    return _encode(value).decode()
