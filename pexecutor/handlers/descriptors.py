"""Descriptors, threads and processes that the system has none left of: a reason to wait, never an outcome.

The soft limit on descriptors is raised to the hard one when a server starts. Programs that it starts get the original
limit back: some allocate or close as many descriptors as they may have.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

import trio

T = TypeVar("T")

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS})
"""Errors that say that the system has no descriptor, process or memory left at the moment."""

DESCRIPTORS_OF_A_TASK_MAX: Final = 12
"""What a command needs while it is started: its pipes, the pipe of the start, the null device and the handle of it."""

DESCRIPTORS_OF_A_SERVER: Final = 64
"""The store, the log, the listener, the loop, and some to spare."""

PAUSE_SECONDS_MIN: Final = 0.05
PAUSE_SECONDS_MAX: Final = 1.0

_NO_THREAD: Final = "can't start new thread"

_original_limit: tuple[int, int] | None = None
"""The limit before it was raised; ``None`` when it was not."""


class ExhaustedError(Exception):
    """Something could not be started now, because the system has nothing left for it. Nothing of it was started."""


def is_exhaustion(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that the system has nothing left at the moment."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            return True
        if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
            return True
        if isinstance(error, BaseExceptionGroup) and any(map(is_exhaustion, error.exceptions)):
            return True
        error = error.__cause__ or error.__context__
    return False


def is_any_left() -> bool:
    """Whether a descriptor is left. Some libraries do not pass on that this was the cause of an error."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno not in EXHAUSTED
    return True


async def when_possible(start: Callable[[], Awaitable[T]], waits: Callable[[ExhaustedError], None]) -> T:
    """Start something, and wait while the system has nothing left for it.

    Parameters:
        start: starts it as a whole, or raises ``ExhaustedError``. It keeps nothing while it waits, so those that wait
            for the same thing do not wait for each other.
        waits: called once with the reason when it has to wait.
    """
    pause = PAUSE_SECONDS_MIN
    while True:
        try:
            return await start()
        except ExhaustedError as error:
            if pause == PAUSE_SECONDS_MIN:
                waits(error)
        await trio.sleep(pause)
        pause = min(2 * pause, PAUSE_SECONDS_MAX)


def raise_limit() -> int:
    """Raise the soft limit on descriptors to the hard one; return the limit that holds now."""
    global _original_limit  # noqa: PLW0603  # one process has one
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            if _original_limit is None:
                _original_limit = (soft, hard)
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def give_original_limit(pid: int) -> None:
    """Give a process that was just started the limit that we were started with."""
    if _original_limit is not None and hasattr(resource, "prlimit"):
        with suppress(OSError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, _original_limit)


def connections_bound(wanted: int, pool_size: int, limit: int) -> int:
    """Return how many connections a server may have, so that what runs tasks has descriptors left.

    Parameters:
        wanted: how many the settings allow.
        pool_size: how many tasks run at once.
        limit: how many descriptors the process may have.
    """
    left = limit - DESCRIPTORS_OF_A_SERVER - pool_size * DESCRIPTORS_OF_A_TASK_MAX
    return max(1, min(wanted, max(limit // 2, left)))
