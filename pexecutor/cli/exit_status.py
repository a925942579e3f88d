"""The exit statuses of commands, with a table from outcomes and a table from errors.

1 and 2 have their usual meanings. The statuses that are specific to tasks begin at 3.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

from ..errors import (
    ConfigError,
    ForeignReplyError,
    PexecutorError,
    RefusedError,
    StillWaitingError,
    UnreachableError,
)
from .streams import OutputClosedError, StreamError


class Exit(enum.IntEnum):
    """The exit status of a command."""

    DONE = 0
    TROUBLE = 1
    USAGE = 2
    FAILED = 3
    TIMED_OUT = 4
    CANCELLED = 5
    ABANDONED = 6
    DUPLICATE = 7
    FULL = 8
    UNAVAILABLE = 9
    NOT_FOUND = 10
    NOT_AUTHORISED = 11
    STILL_WAITING = 12
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141


class NoSuchTaskError(PexecutorError):
    """The caller gave a name that no task has, or that several tasks have."""


OF_OUTCOME: Final = {
    "succeeded": Exit.DONE,
    "failed": Exit.FAILED,
    "timed_out": Exit.TIMED_OUT,
    "cancelled": Exit.CANCELLED,
    "abandoned": Exit.ABANDONED,
}

_OF_STATUS: Final = {
    400: Exit.USAGE,
    401: Exit.NOT_AUTHORISED,
    403: Exit.NOT_AUTHORISED,
    404: Exit.NOT_FOUND,
    409: Exit.DUPLICATE,
    410: Exit.NOT_FOUND,
    413: Exit.USAGE,
    429: Exit.FULL,
    503: Exit.UNAVAILABLE,
}

_OF_ERROR: Final[Mapping[type[PexecutorError], Exit]] = {
    ConfigError: Exit.USAGE,
    UnreachableError: Exit.UNAVAILABLE,
    ForeignReplyError: Exit.TROUBLE,
    NoSuchTaskError: Exit.NOT_FOUND,
    StillWaitingError: Exit.STILL_WAITING,
    StreamError: Exit.TROUBLE,
    OutputClosedError: Exit.OUTPUT_CLOSED,
}

_COUNTS: Final = {"SubmittedTasks": "accepted", "DuplicateTasks": "duplicates", "RejectedTasks": "rejected"}
"""The counts in the problem details of a stream that ended early, and their names in messages."""


def exit_of(error: PexecutorError) -> Exit:
    """Return the exit status of an error."""
    if isinstance(error, RefusedError):
        return _OF_STATUS.get(error.status, Exit.TROUBLE)
    return _OF_ERROR.get(type(error), Exit.TROUBLE)


def explain(error: PexecutorError) -> str:
    """Return the message of an error, with one more line for each invalid task."""
    if not isinstance(error, RefusedError):
        return str(error)
    lines = [str(error)]
    if error.status == 429 and error.retry_after:
        lines[0] += f" (in {error.retry_after} s)"
    faults = error.problem.get("errors", [])
    if _COUNTS.keys() <= error.problem.keys() or any(fault["detail"] != str(error) for fault in faults):
        lines += map(_fault, faults)
    if _COUNTS.keys() <= error.problem.keys():
        lines.append(", ".join(f"{error.problem[member]} {word}" for member, word in _COUNTS.items()))
    return "\n".join(lines)


def _fault(fault: Mapping[str, Any]) -> str:
    """Return the message on one task. Tasks are counted from 1, like the lines of a file."""
    return f"task {fault['index'] + 1}: {fault['detail']}"
