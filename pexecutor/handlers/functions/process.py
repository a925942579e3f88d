"""A function in a process of its own: this side of it; ``child.py`` is the other.

The process leads a group like a command's, so it is ended like one, with everybody it started. It has the server's
environment, as the function's code is the operator's. It gets its order as JSON on standard input, and reports on a
pipe of its own, a JSON object a line, so standard output and error stay free for whatever the function prints.
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
"""The longest line of a report; the result is one."""


_HERE: Final = str(Path(__file__).parents[3])
"""Where this package is: a child that was started with ``-P`` finds it there when it is not installed."""

_START: Final = """
import sys
sys.path.append(sys.argv.pop(1))
from pexecutor.handlers.functions.child import main
sys.exit(main(*sys.argv[1:]))
"""


class Order(msgspec.Struct):
    """What a process is told: whose attempt this is, of which trace, its params, and where modules are looked for."""

    id: str
    name: str
    attempt: int
    traceparent: str | None
    params: dict[str, Any]
    module_path: list[str]


class ChildReport(msgspec.Struct, omit_defaults=True):
    """What a process tells: how far it is, a line for the log, and at last its result or why it has none."""

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
        HandlerFailedError: it raised, or its process ended without a result.
    """
    reports = _Reports(context)
    # The child's texts are UTF-8, whatever the locale of the server; -P keeps the working directory from shadowing the
    # standard library.
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
    """Read text of the system as UTF-8, as the child does; the server's locale may not be."""
    return os.fsencode(native).decode("utf-8", "surrogateescape")


class _Reports:
    """Puts lines together and acts on them; ``last`` is the one with the result or the error."""

    def __init__(self, context: Context) -> None:
        self.last: ChildReport | None = None
        self._context = context
        self._rest = b""

    def take(self, data: bytes) -> None:
        """The next bytes. What is no report, or too long a one, is no reason to fail: the result is then missing."""
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
            pass  # it was cut, or is somebody else's
