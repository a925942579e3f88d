"""Exit statuses: what a script can go by. One table from outcomes, and one from errors.

1 and 2 mean here what they mean everywhere; what is a task's own begins at 3.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

from ..errors import ConfigError, ForeignReplyError, PexecutorError, RefusedError, UnreachableError
from .streams import OutputClosedError, StreamError


class Exit(enum.IntEnum):
    """How a command ended."""

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


class StillWaitingError(PexecutorError):
    """The time to wait is up, and what was waited for goes on: the caller's move."""


class NoSuchTaskError(PexecutorError):
    """No task goes by this name; or more than one, and the caller has to say which."""


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
"""What a stream that ended early was answered, and how that reads."""


def exit_of(error: PexecutorError) -> Exit:
    """The exit status that says what went wrong."""
    if isinstance(error, RefusedError):
        return _OF_STATUS.get(error.status, Exit.TROUBLE)
    return _OF_ERROR.get(type(error), Exit.TROUBLE)


def explain(error: PexecutorError) -> str:
    """What went wrong, in a line; and in a line each, what is wrong with the tasks that were sent."""
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
    """The first task is 1, as the first line of a file is."""
    return f"task {fault['index'] + 1}: {fault['detail']}"
