"""Run the async part of a command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from ..errors import PexecutorError, first_cause

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run a function in Trio; raise a ``PexecutorError`` alone, without the groups that nurseries wrap it in."""
    try:
        return trio.run(main)
    except ExceptionGroup as group:
        cause = first_cause(group)
        if isinstance(cause, PexecutorError):
            raise cause from group
        raise
