"""Running what a command has to wait for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from ..errors import PexecutorError, first_cause

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run it; an error of ours comes out alone, also out of the groups that nurseries put it in."""
    try:
        return trio.run(main)
    except ExceptionGroup as group:
        cause = first_cause(group)
        if isinstance(cause, PexecutorError):
            raise cause from group
        raise
