"""The errors of the Python client. Their names say who acts next.

* The caller, with another task: ``DuplicateError``, ``NotFoundError``, ``TaskFailedError`` and its siblings;
* the caller, with another token: ``NotAuthenticatedError``, ``NotAllowedError``;
* the caller, later: ``QueueFullError``; on another server: ``DrainingError``.

``pexecutor/errors.py`` has ``InvalidTaskError``, ``InvalidScheduleError``, ``UnreachableError``, ``ForeignReplyError``
and ``StillWaitingError``, because other parts raise them, too.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ..errors import PexecutorError, RefusedError
from ..task import Outcome
from .decoding import foreign
from .records import TaskRecord


class DuplicateError(RefusedError):
    """Another task holds the name: use that task, or choose another name or ``on_conflict``."""

    @property
    def holder(self) -> TaskRecord:
        """The task that holds the name."""
        try:
            return msgspec.convert(self.problem.get("holder"), TaskRecord)
        except msgspec.ValidationError as error:
            raise foreign() from error


class QueueFullError(RefusedError):
    """The queue has no room. Submit the task again after ``retry_after_seconds``, or with ``wait_for_room_seconds``."""


class DrainingError(RefusedError):
    """The server is stopping, and accepts no tasks: use another server, or the same one after its restart."""


class NotFoundError(RefusedError):
    """The server does not know the task, schedule or handler, or no longer keeps the record of the task."""


class NotAuthenticatedError(RefusedError):
    """The token is missing or unknown: use a token that the server is configured with."""


class NotAllowedError(RefusedError):
    """The scope of the token is too small: use another token."""


class UnsuccessfulTaskError(PexecutorError):
    """A task has ended, but did not succeed. The caller decides what to do.

    Parameters:
        record: the record of the task.
        log_end: the end of what the task printed.
    """

    verb: ClassVar[str] = "did not succeed"

    def __init__(self, record: TaskRecord) -> None:
        self.record: TaskRecord = record
        output = record.output
        parts = () if output is None else (output.stdout, output.stderr, output.log, output.body)
        self.log_end: str = "".join(parts)
        reason = f": {record.error}" if record.error else ""
        super().__init__(f"the task {record.name!r} ({record.id}) {self.verb}{reason}")


class TaskFailedError(UnsuccessfulTaskError):
    """The last attempt of the task failed, and no retry is left."""

    verb = "failed"


class TaskTimedOutError(UnsuccessfulTaskError):
    """The last attempt of the task took longer than its ``timeout``."""

    verb = "timed out"


class TaskCancelledError(UnsuccessfulTaskError):
    """The task was cancelled, or another task superseded it."""

    verb = "was cancelled"


class TaskAbandonedError(UnsuccessfulTaskError):
    """The server that ran the task died, and the task must not run again."""

    verb = "was abandoned"


OF_OUTCOME: dict[Outcome, type[UnsuccessfulTaskError]] = {
    Outcome.FAILED: TaskFailedError,
    Outcome.TIMED_OUT: TaskTimedOutError,
    Outcome.CANCELLED: TaskCancelledError,
    Outcome.ABANDONED: TaskAbandonedError,
}


def raise_unless_succeeded(record: TaskRecord) -> None:
    """Raise the error of a finished task that has not succeeded."""
    if record.outcome is not None and (kind := OF_OUTCOME.get(record.outcome)) is not None:
        raise kind(record)
