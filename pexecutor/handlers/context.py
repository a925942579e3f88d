"""``Context``: a handler's view of its attempt, and its means to report progress and log lines.

Each attempt has one context. The executor makes the context and sets ``deadline``, the handler reports, and observers
read. A handler may report from a thread: a report is a single assignment, or an append under a lock.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Final, Literal

from ..task import format_task_id
from ..values import call_safely, progress_number, raw_text
from .output import LiveOutput, Output, WholeLog

CancelledBy = Literal["timeout", "cancel", "shutdown", "lease"]
"""Why an attempt is cut off. ``lease``: this node lost contact with the store, and another node may run the task
now."""

_output_lock: Final = threading.Lock()
"""Guards the output of every attempt, and is held only for an append. Shared, since most attempts have no output."""


class Context:
    """One attempt of a task, as its handler sees it.

    Parameters:
        id: the task's id, or its serial.
        name: the task's name.
        attempt: the number of this attempt, from 1.
        token: the fencing token. On a shared store, each attempt of a task has a higher token than the one before; on a
            store of one process, it is 0. A resource that a late attempt could corrupt should refuse any token below
            the highest token that it has seen.
        traceparent: the trace of the task, as in W3C Trace Context, or ``None``.
        cut_off_by: returns why the attempt is being cut off, or ``None``.
        on_progress: called with each progress report, in the thread of the report.
        on_log: called with each log line, in the thread of the report.
        open_log: opens the log that keeps the whole output; ``None`` if only the end of the output is kept.
    """

    __slots__ = (
        "_cut_off_by",
        "_id",
        "_on_log",
        "_on_progress",
        "_open_log",
        "_output",
        "_progress",
        "attempt",
        "deadline",
        "name",
        "token",
        "traceparent",
    )

    def __init__(
        self,
        id: str | int,  # noqa: A002  # it is what a handler reads as `context.id`
        name: str,
        attempt: int = 1,
        *,
        token: int = 0,
        traceparent: str | None = None,
        cut_off_by: Callable[[], CancelledBy | None] = lambda: None,
        on_progress: Callable[[float, float | None], None] | None = None,
        on_log: Callable[[str], None] | None = None,
        open_log: Callable[[], WholeLog] | None = None,
    ) -> None:
        self._id = id
        self.name: str = name
        self.attempt: int = attempt
        self.token: int = token
        self.traceparent: str | None = traceparent
        self.deadline: float = math.inf
        """The time at which the attempt times out, by Trio's clock."""
        self._cut_off_by = cut_off_by
        self._on_progress = on_progress
        self._on_log = on_log
        self._open_log = open_log
        self._progress: tuple[float, float | None] | None = None
        self._output: LiveOutput | None = None

    @property
    def id(self) -> str:
        """Return the task's id."""
        return self._id if isinstance(self._id, str) else format_task_id(self._id)

    @property
    def cancelled_by(self) -> CancelledBy | None:
        """Return why the attempt is being cut off, or ``None``. Call this in a Trio task, not in a thread."""
        return self._cut_off_by()

    def progress(self, done: float, total: float | None = None) -> None:
        """Report how much of the work is done. Without a ``total``, the last reported total still applies.

        Raises:
            ValueError: a value is negative, infinite or not a number.
        """
        done = progress_number(done)
        total = self.total if total is None else progress_number(total)
        self._progress = (done, total)
        if self._on_progress is not None:
            self._on_progress(done, total)

    def log(self, message: object) -> None:
        """Add a line to the task's log: the text of ``message``, which may be any object."""
        text = raw_text(message)
        line = f"{text}\n".encode(errors="replace")
        output = self.output
        with _output_lock:
            output.log.keep(line)
        if output.log.pass_on is not None:
            output.log.pass_on(line)  # without the lock: a thread may have to wait for a slow disk
        if self._on_log is not None:
            self._on_log(text)

    @property
    def done(self) -> float | None:
        """Return how much of the work is done, or ``None`` if the handler has not reported progress."""
        return None if self._progress is None else self._progress[0]

    @property
    def total(self) -> float | None:
        """Return the value that ``done`` has at the end, or ``None`` if it is unknown."""
        return None if self._progress is None else self._progress[1]

    @property
    def has_output(self) -> bool:
        """Return whether this attempt has any output."""
        return bool(self._output)

    @property
    def output(self) -> LiveOutput:
        """Return the output of this attempt. It is made on first use, as most attempts of ``sleep`` have no output."""
        if self._output is None:
            with _output_lock:
                if self._output is None:  # another thread may have made it since the first check
                    self._output = LiveOutput(None if self._open_log is None else self._open_log())
        return self._output

    def snapshot(self) -> Output | None:
        """Return the present output, or ``None``; also ``None`` if a function has corrupted the output object."""
        return call_safely(
            lambda context: context.output.snapshot() if context.has_output else None, self, lambda _: None
        )

    def __repr__(self) -> str:
        return f"<Context {self.id} {self.name!r}, attempt {self.attempt}>"
