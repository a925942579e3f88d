"""The process of a function: ``main(MODULE, FUNCTION, FD)`` in a new Python.

Started by ``process.py``, which says what the two tell each other. SIGTERM arrives in the function as ``SystemExit``,
so its ``finally`` blocks have their say; what they take too long for is cut off by SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from types import FrameType
from typing import IO, Any, Final, NoReturn

import msgspec

from ...values import result_json
from ..context import Context
from ..contract import HandlerFailedError, failure_of
from ..output import TAIL_BYTES_MAX
from .function import FunctionHandler, load_module
from .module_path import take_over
from .process import ChildReport, Order

PROGRESS_SECONDS: Final = 0.05
"""How often progress is passed on at most: a tight loop may tell it at each turn."""


def main(module: str, function: str, file_descriptor: str) -> int:
    """Call the function as ordered on standard input, and report on the file descriptor."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    os.set_inheritable(int(file_descriptor), False)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    take_over(order.module_path)
    with os.fdopen(int(file_descriptor), "wb") as pipe:
        reporter = _Reporter(pipe)
        context = Context(
            order.id,
            order.name,
            order.attempt,
            traceparent=order.traceparent,
            on_progress=reporter.tell_progress,
            on_log=reporter.tell_log,
        )
        report = _call(module, function, context, order.params)
        if report.error is not None and _left_by:
            return 128 + _left_by[0]  # it has not failed by itself
        reporter.tell(report)
    return 0 if report.error is None else 1


_left_by: Final[list[int]] = []
"""The signal that the function was told to leave by."""


class _Terminated(SystemExit):
    """A signal has arrived: whoever sent it knows why the function ends."""


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    _left_by.append(number)
    raise _Terminated(128 + number)


def _call(module: str, function: str, context: Context, params: dict[str, Any]) -> ChildReport:
    started_in = os.getpid()
    try:
        handler = FunctionHandler(getattr(load_module(module), function), module, function, process=True)
        return ChildReport(done=True, result=msgspec.Raw(_result_json(handler.call_here(context, params))))
    except _Terminated:
        raise
    except BaseException as error:  # whatever it is, the process ends with it
        failure = failure_of(error)
        if not isinstance(error, HandlerFailedError):
            with suppress(BaseException):  # the text of an error may raise anything
                traceback.print_exc()  # onto standard error, whose end is kept with the task
        return ChildReport(
            error=failure.text, retryable=failure.retryable, retry_after_seconds=failure.retry_after_seconds
        )
    finally:
        if os.getpid() != started_in:
            os._exit(0)  # a fork that has come to the function's end: the process that was started reports


def _result_json(result: Any) -> bytes:
    try:
        return result_json(result)
    except ValueError as error:
        raise HandlerFailedError(str(error), retryable=False) from error


class _Reporter:
    """Writes reports, from any thread, each whole."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        # What was told of the progress since it was last passed on; and when that was.
        self._progress: tuple[float, float | None] | None = None
        self._passed_on_at = -PROGRESS_SECONDS

    def tell(self, report: ChildReport) -> None:
        """Write a report, after the progress up to it."""
        with self._lock:
            self._pass_progress_on()
            self._write(report)

    def tell_log(self, line: str) -> None:
        """Report a line of the log; of a very long one the end, as of the log itself."""
        kept = line.encode(errors="replace")[-TAIL_BYTES_MAX:].decode(errors="replace")
        self.tell(ChildReport(log=kept))

    def tell_progress(self, done: float, total: float | None) -> None:
        """Report progress, unless that was done a moment ago: then it waits for the next report."""
        with self._lock:
            self._progress = (done, total)
            if time.monotonic() - self._passed_on_at >= PROGRESS_SECONDS:
                self._pass_progress_on()

    def _pass_progress_on(self) -> None:
        if self._progress is not None:
            self._write(ChildReport(progress=self._progress))
            self._progress = None
            self._passed_on_at = time.monotonic()

    def _write(self, report: ChildReport) -> None:
        # The first line end cuts off what the function itself may have written to this pipe.
        self._pipe.write(b"\n" + msgspec.json.encode(report) + b"\n")
        self._pipe.flush()
