"""``Context``: what a handler knows of its run, and what it may tell of it while it goes on.

One attempt has one context. The executor makes it and sets ``deadline``; the handler tells; observers read. A handler
may tell from a thread: each telling is one assignment, or an append under a lock.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Final, Literal

from ..task import format_task_id
from ..values import asked, progress_number, raw_text
from .output import LiveOutput, Output

CancelledBy = Literal["timeout", "cancel", "shutdown", "lease"]
"""``lease``: its node was out of reach for so long that others may have begun the task again."""

_one_thread: Final = threading.Lock()
"""Held for no longer than it takes to append a line; one for all runs, since most of them never need it."""


class Context:
    """One attempt of a task, as its handler sees it.

    Parameters:
        id: the task's id, or its serial.
        name: the task's name.
        attempt: which attempt this is, from 1.
        token: of one task, each run has a higher one on a shared store; 0 on a store of one process. Whoever keeps
            something that a late run could spoil refuses a token below the highest he has seen.
        traceparent: which trace the task belongs to, as W3C Trace Context writes it, if it belongs to one.
        cut_off_by: says why the attempt is being cut off, or ``None`` while it is not.
        on_progress: called with each progress, in the thread that told it.
        on_log: called with each line, in the thread that told it.
    """

    __slots__ = (
        "_cut_off_by",
        "_id",
        "_on_log",
        "_on_progress",
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
    ) -> None:
        self._id = id
        self.name: str = name
        self.attempt: int = attempt
        self.token: int = token
        self.traceparent: str | None = traceparent
        self.deadline: float = math.inf
        """When the attempt times out, by Trio's clock."""
        self._cut_off_by = cut_off_by
        self._on_progress = on_progress
        self._on_log = on_log
        self._progress: tuple[float, float | None] | None = None
        self._output: LiveOutput | None = None

    @property
    def id(self) -> str:
        """The task's id."""
        return self._id if isinstance(self._id, str) else format_task_id(self._id)

    @property
    def cancelled_by(self) -> CancelledBy | None:
        """Why the attempt is being cut off; ``None`` while it is not. To be asked on Trio, not in a thread."""
        return self._cut_off_by()

    def progress(self, done: float, total: float | None = None) -> None:
        """Tell how far the work is; without a ``total``, the one told last still holds.

        Raises:
            ValueError: a number is negative, not finite, or no number.
        """
        done = progress_number(done)
        total = self.total if total is None else progress_number(total)
        self._progress = (done, total)
        if self._on_progress is not None:
            self._on_progress(done, total)

    def log(self, message: object) -> None:
        """Add a line to the task's log: the text of any object."""
        text = raw_text(message)
        line = f"{text}\n".encode(errors="replace")
        output = self.output
        with _one_thread:
            output.log.append(line)
        if self._on_log is not None:
            self._on_log(text)

    @property
    def done(self) -> float | None:
        """How far the work is, or ``None`` when nothing was told."""
        return None if self._progress is None else self._progress[0]

    @property
    def total(self) -> float | None:
        """What ``done`` comes to at the end, when it is known."""
        return None if self._progress is None else self._progress[1]

    @property
    def has_output(self) -> bool:
        """Whether there is anything to be read of this run."""
        return bool(self._output)

    @property
    def output(self) -> LiveOutput:
        """What there is to be read of this run. Made when first asked for: most runs of ``sleep`` never are."""
        if self._output is None:
            with _one_thread:
                if self._output is None:  # nobody else was quicker
                    self._output = LiveOutput()
        return self._output

    def snapshot(self) -> Output | None:
        """What there is to be read now, or ``None``. A function may have changed what the output is made of."""
        return asked(lambda context: context.output.snapshot() if context.has_output else None, self, lambda _: None)

    def __repr__(self) -> str:
        return f"<Context {self.id} {self.name!r}, attempt {self.attempt}>"
