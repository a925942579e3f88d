"""Mend records that an older version wrote, or that a file or server cannot hold.

Errors, waits and times that are out of bounds or cannot be represented everywhere are replaced by the nearest valid
ones (see ``values.py``). A task whose outcome cannot be written at all ends as failed, and its error gives the reason.
"""

from __future__ import annotations

import msgspec

from ..task import TIME_MAX, Attempt, Ending, Finished, Record, Scheduled
from ..values import RETRY_AFTER_SECONDS_MAX, error_text, retry_after_seconds
from .endings import not_written


def mended(record: Record) -> Record:
    """Return the record in a form that every store and listing can hold; the argument itself if it is valid already."""
    if record.attempts and any(attempt.error is not None for attempt in record.attempts):
        record = _with_fit_attempts(record)
    match record:
        case Finished(ending=ending) if (fit := _fit_ending(ending)) is not ending:
            return msgspec.structs.replace(record, ending=fit)
        case Scheduled(due_at=due_at) if due_at > (latest := _latest_due(record)):
            return msgspec.structs.replace(record, due_at=latest)
        case _:
            return record


def failed_to_write(record: Finished | Scheduled, reason: str) -> Finished:
    """Return the record, ended as failed because it could not be written for this reason."""
    ending = not_written(reason)
    attempts = _fit_attempts(record.attempts)
    if attempts:
        attempts = (*attempts[:-1], msgspec.structs.replace(attempts[-1], outcome=ending.outcome, error=ending.error))
    return Finished(record.serial, record.task, record.submitted_at, attempts, record.since, ending, rare=record.rare)


def _with_fit_attempts(record: Record) -> Record:
    attempts = _fit_attempts(record.attempts)
    return record if attempts == record.attempts else msgspec.structs.replace(record, attempts=attempts)


def _fit_attempts(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    return tuple(
        attempt
        if attempt.error is None
        else Attempt(attempt.started_at, attempt.ended_at, attempt.outcome, error_text(attempt.error))
        for attempt in attempts
    )


def _fit_ending(ending: Ending) -> Ending:
    error = None if ending.error is None else error_text(ending.error)
    seconds = retry_after_seconds(ending.retry_after_seconds)
    if (error, seconds) == (ending.error, ending.retry_after_seconds):
        return ending
    return msgspec.structs.replace(ending, error=error, retry_after_seconds=seconds)


def _latest_due(record: Scheduled) -> float:
    """Return the latest time at which a record may be due; a retry waits no longer than a handler may request."""
    return min(record.attempts[-1].ended_at + RETRY_AFTER_SECONDS_MAX, TIME_MAX) if record.attempts else TIME_MAX
