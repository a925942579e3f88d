"""Decide whether a request is sent again, and after what pause. Plain code: nothing here sends or sleeps.

Only requests that are safe to repeat are sent again: reads, cancels, removals of schedules, and submits with an
``Idempotency-Key``. They are repeated after a lost connection, after the statuses 502, 503 and 504, and after the reply
that the first request with the key is under way.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from ..errors import PexecutorError, RefusedError, UnreachableError
from ..limits.defaults import CLIENT_PAUSE_SECONDS_MAX
from .refusals import is_under_way
from .replies import GATEWAY_STATUSES
from .requests import ApiRequest

RETRY_SECONDS_MAX: Final = 30.0
"""How long a client repeats a request by default, from its first failure on."""

FIRST_PAUSE_SECONDS: Final = 0.1


class Repeats:
    """The repetitions of one request.

    Parameters:
        request: the request.
        now: the present time, in seconds.
        retry_seconds_max: how long to repeat the request, from its first failure on.
        until: when the caller's own deadline is; ``None`` for none.
        jitter: returns the share of the longest pause to wait.
    """

    def __init__(
        self,
        request: ApiRequest,
        *,
        now: Callable[[], float],
        retry_seconds_max: float,
        until: float | None = None,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),
    ) -> None:
        self._request = request
        self._now = now
        self._retry_seconds_max = retry_seconds_max
        self._until = until
        self._jitter = jitter
        self._pause = FIRST_PAUSE_SECONDS
        self._ends_at: float | None = None  # set by the first failure
        self.made: int = 0

    def pause_after(self, error: PexecutorError) -> float | None:
        """Return how many seconds to wait before the request is sent again; ``None`` if it must not be sent again."""
        if not (self._request.is_safe_to_repeat and _is_passing(self._request, error)):
            return None
        return self._pause_until(self._deadline(), error)

    def _deadline(self) -> float:
        if self._ends_at is None:
            self._ends_at = self._now() + self._retry_seconds_max
        return self._ends_at if self._until is None else min(self._ends_at, self._until)

    def _pause_until(self, deadline: float, error: PexecutorError) -> float | None:
        left = deadline - self._now()
        asked = (error.retry_after_seconds or 0.0) if isinstance(error, RefusedError) else 0.0
        if left <= 0 or asked > left:
            return None  # the server asks for a longer pause than the caller allows
        pause = max(self._pause * self._jitter(), asked)
        self._pause = min(2 * self._pause, CLIENT_PAUSE_SECONDS_MAX)
        self.made += 1
        return min(pause, left)


def _is_passing(request: ApiRequest, error: PexecutorError) -> bool:
    """Return whether the same request may succeed soon."""
    match error:
        case UnreachableError():
            return True
        case RefusedError():
            is_submit = request.subject in ("submit", "batch")
            return (error.status in GATEWAY_STATUSES and not _is_final(error)) or (is_submit and is_under_way(error))
        case _:
            return False


def _is_final(error: RefusedError) -> bool:
    """Return whether a repeated request gets the same reply, or whether the reply has what the caller wants.

    If a part of a list was accepted, the same request is always answered in the same way. A server that accepts no
    tasks still shows its statistics.
    """
    return bool(error.problem.get("SubmittedTasks")) or "statistics" in error.problem
