"""``Handle``: one submitted task."""

from __future__ import annotations

from typing import Any

from ...errors import RefusedError, StillWaitingError
from ...limits.defaults import CLIENT_PAUSE_SECONDS
from ...limits.times import CLIENT_WAIT_SECONDS_MAX
from .. import requests
from ..errors import raise_unless_succeeded
from ..fields import Instant, json_of
from ..more_records import ReasonRecord
from ..records import TaskRecord
from . import timing
from .logs import LogLines
from .requester import Requester


class Handle:
    """One task, and what is known of it.

    Attributes:
        record: the record of the task, as the last reply showed it.
    """

    def __init__(self, requester: Requester, record: TaskRecord) -> None:
        self._requester = requester
        self.record: TaskRecord = record

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name!r} {self.record.outcome or self.record.state}>"

    @property
    def id(self) -> str:
        """The id of the task."""
        return self.record.id

    @property
    def name(self) -> str:
        """The name of the task."""
        return self.record.name

    def refresh(self) -> TaskRecord:
        """Read the record again, and return it.

        Raises:
            NotFoundError: the server no longer keeps the record.
        """
        return self._keep(requests.show(self.id))

    def wait(self, timeout_seconds: float | None = None) -> TaskRecord:
        """Wait for the outcome, over restarts of the server, and return the finished record.

        Parameters:
            timeout_seconds: how long to wait; ``None`` for as long as it takes. The task goes on after that.

        Raises:
            StillWaitingError: the task has no outcome yet.
            UnreachableError: the server was unreachable for the client's ``retry_seconds_max``, or until the timeout.
            NotFoundError: the server no longer keeps the record.
        """
        until = None if timeout_seconds is None else timing.now() + timeout_seconds
        record = self.record
        while not record.is_finished:
            record = self._keep(requests.show(self.id, wait_seconds=_wait_seconds(until)), until=until)
            if record.is_finished:
                break
            if until is not None and timing.now() >= until:
                raise StillWaitingError(f"timed out: the task {self.id} is still {record.state}, and was not cancelled")
            timing.sleep(CLIENT_PAUSE_SECONDS)  # a server that is stopping replies early
        return record

    def result(self, timeout_seconds: float | None = None) -> Any:
        """Wait for the outcome, and return what the handler returned.

        Parameters:
            timeout_seconds: how long to wait, as for ``wait``.

        Raises:
            TaskFailedError, TaskTimedOutError, TaskCancelledError, TaskAbandonedError: the task has not succeeded.
            StillWaitingError, UnreachableError, NotFoundError: as for ``wait``.
        """
        record = self.wait(timeout_seconds)
        if record.output is None and not record.attempts:  # a listing shows no result
            record = self.refresh()
        raise_unless_succeeded(record)
        return record.result

    def cancel(self) -> TaskRecord:
        """Cancel the task, and return its record. A running task ends once its handler has handled the cancel.

        A task that had already ended is left as it is: see the outcome of the record.

        Raises:
            NotFoundError: the server no longer keeps the record.
        """
        try:
            return self._keep(requests.cancel(self.id))
        except RefusedError as error:
            if error.status != 409:
                raise
        return self.refresh()

    def change(self, *, priority: int | None = None, run_at: Instant | None = None) -> TaskRecord:
        """Change the priority or the time of a waiting task, and return its record.

        Parameters:
            priority: the new priority.
            run_at: when the task becomes due: a time, or ``"now"``.

        Raises:
            RefusedError: the task has already started or ended (409), or a value is invalid (400).
        """
        return self._keep(requests.change(self.id, json_of({"priority": priority, "run_at": run_at})))

    def why(self) -> tuple[ReasonRecord, ...]:
        """Return the reasons for which the task does not run; none if it runs or has ended."""
        return self._requester.ask(requests.why(self.id), tuple[ReasonRecord, ...])

    def logs(self, *, follow: bool = False, attempt: int | None = None) -> LogLines:
        """Iterate over the output of the task.

        Parameters:
            follow: whether to go on until the task has its outcome, or the attempt has ended if one is given.
            attempt: the number of the attempt, from 1; by default the last one, with ``follow`` also all later ones.
        """
        return LogLines(self._requester, self.id, follow=follow, attempt=attempt)

    def _keep(self, request: requests.ApiRequest, *, until: float | None = None) -> TaskRecord:
        self.record = self._requester.ask(request, TaskRecord, until=until)
        return self.record


def _wait_seconds(until: float | None) -> float:
    left = CLIENT_WAIT_SECONDS_MAX if until is None else until - timing.now()
    return min(max(0.0, left), CLIENT_WAIT_SECONDS_MAX)
