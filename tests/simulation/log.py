"""``FailingLog``: the stream that the program's log is written to, some or all of whose writes fail."""

from __future__ import annotations

import errno
import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from random import Random
from typing import Final

import structlog

from pexecutor.log import configure_logging

ERRORS: Final[list[tuple[type[Exception], *tuple[object, ...]]]] = [
    (OSError, errno.ENOSPC, os.strerror(errno.ENOSPC)),
    (BrokenPipeError, errno.EPIPE, os.strerror(errno.EPIPE)),
    (BlockingIOError, errno.EAGAIN, os.strerror(errno.EAGAIN)),
    (ValueError, "I/O operation on closed file"),
]
"""Classes and arguments: an error that is raised again and again would keep the frames of all worlds in memory."""


class FailingLog(io.TextIOBase):
    """A stream.

    Parameters:
        chance: decides which writes fail.
        failing: how many of them do, from 0 to 1.
    """

    def __init__(self, chance: Random, failing: float) -> None:
        super().__init__()
        self.failing = failing
        self._chance = chance

    def write(self, text: str) -> int:
        """Take a text, or fail."""
        if self._chance.random() < self.failing:
            kind, *arguments = self._chance.choice(ERRORS)
            raise kind(*arguments)
        return len(text)

    def say(self, text: str) -> None:
        """Write a line."""
        self.write(f"{text}\n")

    @contextmanager
    def written_to(self) -> Iterator[None]:
        """Have everything that the program logs written to this stream."""
        was_configured, before = structlog.is_configured(), structlog.get_config()
        log, handler = logging.getLogger("pexecutor"), _Handler(self)
        with redirect_stderr(self):
            configure_logging("debug", "json")
        log.addHandler(handler)
        log.propagate = False
        try:
            yield
        finally:
            log.propagate = True
            log.removeHandler(handler)
            structlog.reset_defaults()
            if was_configured:
                structlog.configure(**before)


class _Handler(logging.Handler):
    """Writes to a stream, and does not keep its errors to itself."""

    def __init__(self, stream: io.TextIOBase) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        self._stream.write(f"{record.getMessage()}\n")
