"""Run a function in a process of its own: the server's side. ``child.py`` is the side of the process.

The process is the leader of a process group. When the attempt ends, the process and all processes that it has started
are ended, as for a command. It has the server's environment, because the function is the operator's code. It reads its
order as JSON from standard input, and reports on a separate pipe, one JSON object per line. So standard output and
standard error are free for the function.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from ..command import process_failed
from ..context import Context
from ..contract import HandlerFailedError
from ..processes.group import Program, run_group
from ..processes.mark import marked

REPORT_BYTES_MAX: Final = 1024 * 1024
"""The maximum length of a line with a report. The result of a function is such a line."""


_HERE: Final = str(Path(__file__).parents[3])
"""The directory of this package. A child that was started with ``-P`` imports the package from here if it is not
installed."""

_START: Final = """
import sys
sys.path.append(sys.argv.pop(1))
from pexecutor.handlers.functions.child import main
sys.exit(main(*sys.argv[1:]))
"""


class Order(msgspec.Struct):
    """The server's order to the process: the attempt, its trace and params, and the module search path."""

    id: str
    name: str
    attempt: int
    traceparent: str | None
    params: dict[str, Any]
    module_path: list[str]


class ChildReport(msgspec.Struct, omit_defaults=True):
    """A report of the process: progress, a log line, or (the last report) the result or the error."""

    progress: tuple[float, float | None] | None = None
    log: str | None = None
    done: bool = False
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None
    retryable: bool = True
    retry_after_seconds: float | None = None


async def run_in_process(module: str, function: str, context: Context, params: dict[str, Any]) -> Any:
    """Call a function of a module in a new process.

    Raises:
        HandlerFailedError: the function raised, or its process ended without a result.
    """
    reports = _Reports(context)
    # -X utf8: the child uses UTF-8 in any locale. -P: modules in the working directory do not shadow the standard
    # library.
    child = [sys.executable, "-X", "utf8", "-P", "-c", _START, _HERE, module, function]
    order = Order(context.id, context.name, context.attempt, context.traceparent, params, [_text(p) for p in sys.path])
    program = Program(child, _environment(context))
    exit_code = await run_group(program, context.output, stdin=msgspec.json.encode(order), reports=reports.take)
    if reports.last is None:
        raise process_failed(exit_code, "the handler's process ended without a result: {}")
    if reports.last.error is not None:
        raise HandlerFailedError(
            reports.last.error,
            retryable=reports.last.retryable,
            retry_after_seconds=reports.last.retry_after_seconds,
        )
    try:
        return msgspec.json.decode(reports.last.result)
    except RecursionError as error:
        raise HandlerFailedError(f"the handler's result is not JSON: {error}", retryable=False) from error


def _environment(context: Context) -> dict[str, str]:
    """Return the server's own environment with the marks of a task."""
    return marked({_text(name): _text(value) for name, value in os.environ.items()}, context)


def _text(native: str) -> str:
    """Read a text of the system as UTF-8, as the child does, even if the server's locale is not UTF-8."""
    return os.fsencode(native).decode("utf-8", "surrogateescape")


class _Reports:
    """A parser of the child's reports. ``last`` is the report with the result or the error."""

    def __init__(self, context: Context) -> None:
        self.last: ChildReport | None = None
        self._context = context
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Take the next bytes, and act on complete lines. Lines that are invalid or too long are ignored."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._act(line)
        if len(self._rest) > REPORT_BYTES_MAX:
            self._rest = b""

    def _act(self, line: bytes) -> None:
        try:
            report = msgspec.json.decode(line, type=ChildReport)
            if report.progress is not None:
                self._context.progress(*report.progress)
            if report.log is not None:
                self._context.log(report.log)
            if report.done or report.error is not None:
                self.last = report
        except ValueError:
            pass  # a report that was cut off, or output of other code on this pipe
