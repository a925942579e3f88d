"""Waiting for what takes its time, through lost connections, and never without a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from ..errors import UnreachableError
from .exit_status import StillWaitingError
from .streams import report_failure

if TYPE_CHECKING:
    from ..client.client import Client, Document

T = TypeVar("T")

ASKED_SECONDS_MAX: Final = 20.0
"""How long one request waits for an outcome; short enough for what stands between us and the server to bear it."""

PAUSE_SECONDS: Final = 0.2
PAUSE_SECONDS_MAX: Final = 2.0


def wait_for_outcome(client: Client, task_id: str, *, until: float) -> Document:
    """A task's record once it has its outcome.

    Parameters:
        client: the server.
        task_id: which task.
        until: when to give up, by ``time.monotonic``.

    Raises:
        StillWaitingError: it has none by then.
        UnreachableError: the connection was lost, and has not come back by then.
        RefusedError: there is no such task (any more).
    """
    while True:
        record = persist(lambda: client.show(task_id, wait_seconds=_asked(until)), until=until)
        if record.value["state"] == "finished":
            return record
        if time.monotonic() >= until:
            state = record.value["state"]
            raise StillWaitingError(f"the task {task_id} is {state}: it goes on, and the time to wait for it is up")
        time.sleep(PAUSE_SECONDS)  # a server that stops answers at once


def _asked(until: float) -> float:
    return min(max(0.0, until - time.monotonic()), ASKED_SECONDS_MAX)


def persist(call: Callable[[], T], *, until: float) -> T:
    """What a call returns, made again for as long as the server cannot be reached.

    Only for calls that change nothing. Says once on standard error that the connection is lost.

    Raises:
        UnreachableError: it could not be made by ``until``.
    """
    pause = PAUSE_SECONDS
    while True:
        try:
            return call()
        except UnreachableError as error:
            left = until - time.monotonic()
            if left <= 0:
                raise
            if pause == PAUSE_SECONDS:
                report_failure(f"{error}; trying again")
            time.sleep(min(pause, left))
            pause = min(2 * pause, PAUSE_SECONDS_MAX)
