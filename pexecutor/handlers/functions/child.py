"""The process of a function: ``main(MODULE, FUNCTION, FD)`` in a new Python.

``process.py`` starts it and defines the messages between the two. SIGTERM is raised in the function as ``SystemExit``,
so that its ``finally`` blocks run. If they take too long, SIGKILL ends the process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import IO, Any, Final, NoReturn

import msgspec

from ...values import result_json
from ..context import Context
from ..contract import HandlerFailedError, failure_of
from ..output import TAIL_BYTES_MAX
from .function import FunctionHandler, load_module
from .module_path import use_module_path
from .process import ChildReport, Order
from .traceback_text import traceback_text

PROGRESS_SECONDS: Final = 0.05
"""The shortest time between two progress reports: a tight loop may report progress in each turn."""


def main(module: str, function: str, file_descriptor: str) -> int:
    """Call the function as ordered on standard input, and report on the file descriptor."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    os.set_inheritable(int(file_descriptor), False)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    use_module_path(order.module_path)
    with os.fdopen(int(file_descriptor), "wb") as pipe:
        reporter = _Reporter(pipe)
        context = Context(
            order.id,
            order.name,
            order.attempt,
            traceparent=order.traceparent,
            on_progress=reporter.report_progress,
            on_log=reporter.report_log,
        )
        report = _call(module, function, context, order.params)
        if report.error is not None and _arrived_signals:
            return 128 + _arrived_signals[0]  # the signal is the reason for the error, so the function has not failed
        reporter.report(report)
    return 0 if report.error is None else 1


_arrived_signals: Final[list[int]] = []
"""The signals that have arrived, in order."""


class _Terminated(SystemExit):
    """A signal has arrived. The sender of the signal knows why the function ends."""


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    _arrived_signals.append(number)
    raise _Terminated(128 + number)


def _call(module: str, function: str, context: Context, params: dict[str, Any]) -> ChildReport:
    started_in = os.getpid()
    try:
        handler = FunctionHandler(getattr(load_module(module), function), module, function, process=True)
        return ChildReport(done=True, result=msgspec.Raw(_result_json(handler.call_here(context, params))))
    except _Terminated:
        raise
    except BaseException as error:  # of any class: the process ends after this report
        failure = failure_of(error)
        if not isinstance(error, HandlerFailedError):
            with suppress(BaseException):  # the function may have closed or replaced standard error
                sys.stderr.write(f"{traceback_text(error)}\n")  # its end is part of the task's output
        return ChildReport(
            error=failure.text, retryable=failure.retryable, retry_after_seconds=failure.retry_after_seconds
        )
    finally:
        if os.getpid() != started_in:
            os._exit(0)  # the function has forked: only the original process reports


def _result_json(result: Any) -> bytes:
    try:
        return result_json(result)
    except ValueError as error:
        raise HandlerFailedError(str(error), retryable=False) from error


class _Reporter:
    """A writer of reports. Any thread may report; reports are never mixed."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        # The progress that was not written yet, and when progress was last written.
        self._progress: tuple[float, float | None] | None = None
        self._flushed_at = -PROGRESS_SECONDS

    def report(self, report: ChildReport) -> None:
        """Write a report, preceded by progress that was not written yet."""
        with self._lock:
            self._flush_progress()
            self._write(report)

    def report_log(self, line: str) -> None:
        """Report a log line; of a very long line only the end, because the log keeps only its end."""
        kept = line.encode(errors="replace")[-TAIL_BYTES_MAX:].decode(errors="replace")
        self.report(ChildReport(log=kept))

    def report_progress(self, done: float, total: float | None) -> None:
        """Report progress; within ``PROGRESS_SECONDS`` of the last progress, keep it for the next report."""
        with self._lock:
            self._progress = (done, total)
            if time.monotonic() - self._flushed_at >= PROGRESS_SECONDS:
                self._flush_progress()

    def _flush_progress(self) -> None:
        if self._progress is not None:
            self._write(ChildReport(progress=self._progress))
            self._progress = None
            self._flushed_at = time.monotonic()

    def _write(self, report: ChildReport) -> None:
        # The leading newline ends any text that the function itself may have written to this pipe.
        self._pipe.write(b"\n" + msgspec.json.encode(report) + b"\n")
        self._pipe.flush()
