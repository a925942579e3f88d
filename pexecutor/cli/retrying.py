"""Wait for outcomes and repeat calls through lost connections, always with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from ..errors import StillWaitingError, UnreachableError
from ..limits.defaults import CLIENT_PAUSE_SECONDS, CLIENT_PAUSE_SECONDS_MAX
from ..limits.times import CLIENT_WAIT_SECONDS_MAX
from .streams import report_failure

if TYPE_CHECKING:
    from ..client.decoding import Document
    from ..client.documents import DocumentClient

T = TypeVar("T")


WAIT_SECONDS: Final = 3600.0
"""The default time that a command waits for outcomes."""


def wait_for_outcome(client: DocumentClient, task_id: str, *, until: float) -> Document:
    """Wait for a task's outcome, and return its record.

    Parameters:
        client: the client of the server.
        task_id: the id of the task.
        until: the deadline, by ``time.monotonic``.

    Raises:
        StillWaitingError: the task has no outcome at the deadline.
        UnreachableError: the connection was lost and is still lost at the deadline.
        RefusedError: the server does not know the task, or no longer keeps its record.
    """
    while True:
        record = persist(lambda: client.show(task_id, wait_seconds=_wait_seconds(until)), until=until)
        if record.value["state"] == "finished":
            return record
        if time.monotonic() >= until:
            state = record.value["state"]
            raise StillWaitingError(f"timed out: the task {task_id} is still {state}, and was not cancelled")
        time.sleep(CLIENT_PAUSE_SECONDS)  # a server that is stopping replies at once, without waiting for the outcome


def _wait_seconds(until: float) -> float:
    return min(max(0.0, until - time.monotonic()), CLIENT_WAIT_SECONDS_MAX)


def persist(call: Callable[[], T], *, until: float) -> T:
    """Return the result of a call, which is repeated while the server is unreachable.

    Use this only for calls that change nothing. The first failure is reported on standard error.

    Raises:
        UnreachableError: the server was still unreachable at ``until``.
    """
    pause = CLIENT_PAUSE_SECONDS
    while True:
        try:
            return call()
        except UnreachableError as error:
            left = until - time.monotonic()
            if left <= 0:
                raise
            if pause == CLIENT_PAUSE_SECONDS:
                report_failure(f"{error}; trying again")
            time.sleep(min(pause, left))
            pause = min(2 * pause, CLIENT_PAUSE_SECONDS_MAX)
