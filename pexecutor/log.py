"""Logs: one event a line on standard error, as text for people or JSON for machines.

What becomes of a task is an event too, and there may be many thousands of them a second. So each change of its state is
logged at debug, and at info none of that; only a task that has ended in failure for good is a warning, and of those no
more than a few a second. The rest is counted, and the next warning says how many.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from .config import LogFormat, LogLevel, service_variables
from .process.streams import report_drops
from .task import Finished, Outcome, Record, Scheduled

WARNINGS_PER_SECOND_MAX: Final = 10
ERROR_CHARACTERS_MAX: Final = 500

_UNREMARKABLE: Final = frozenset({Outcome.SUCCEEDED, Outcome.CANCELLED})
_NOT_ONE_LINE: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")

_log = structlog.get_logger()


def configure_logging(level: LogLevel, log_format: LogFormat) -> None:
    """Set up the process's log. Called by whoever owns the process, never by importing anything."""
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if log_format == "text":
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if log_format == "text" else [structlog.processors.format_exc_info]),
        renderer,
    ]
    structlog.configure(
        processors=[_Renderer(processors, log_format)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("coredis").setLevel(logging.CRITICAL)  # whoever asks the store is told of its troubles
    own = logging.getLogger("pexecutor")
    own.handlers, own.propagate = [_Forwarder()], False
    report_drops(lambda stream, lines: _log.warning("output was dropped", stream=stream, lines=lines))


def log_ignored_variables(environment: Mapping[str, str]) -> None:
    """Log, once, which variables look like settings and are a service's."""
    if variables := service_variables(environment):
        _log.warning("ignored variables that Kubernetes sets for a service", variables=variables)


class _Forwarder(logging.Handler):
    """Logs what the package's inner parts say with ``logging``; they do not know of structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record as an event."""
        _log.log(record.levelno, record.getMessage())


class _Renderer:
    """Makes a line of an event; one that cannot be shown is logged by its name alone, so no log call raises."""

    def __init__(self, processors: Sequence[structlog.typing.Processor], log_format: LogFormat) -> None:
        self._processors = processors
        self._format = log_format

    def __call__(self, logger: Any, level: str, event: structlog.typing.EventDict) -> str:
        name = event.get("event")
        try:
            shown: Any = event
            for process in self._processors:
                shown = process(logger, level, shown)
            return str(shown)
        except Exception as error:
            facts = {
                "event": name if isinstance(name, str) else "log",
                "level": level,
                "hidden_by": type(error).__name__,
            }
            return json.dumps(facts) if self._format == "json" else " ".join(f"{k}={v}" for k, v in facts.items())


class TaskLog:
    """Logs what becomes of tasks; told by the executor.

    Parameters:
        level: the log's level; at any but debug, only failures are looked at.
        now: a clock, in seconds.
    """

    def __init__(self, level: LogLevel, *, now: Callable[[], float] = time.monotonic) -> None:
        self._details = level == "debug"
        self._now = now
        self._window = 0.0
        self._warnings = 0
        self._left_out = 0

    def __call__(self, records: Sequence[Record]) -> None:
        """Log changes."""
        if not self._details and Finished not in set(map(type, records)):
            return
        for record in records:
            if isinstance(record, Finished) and record.ending.outcome not in _UNREMARKABLE:
                self._warn(record)
            elif self._details:
                _log.debug("task", **_facts(record))

    def _warn(self, record: Finished) -> None:
        now = self._now()
        if now >= self._window + 1:
            self._window, self._warnings = now, 0
        if self._warnings == WARNINGS_PER_SECOND_MAX:
            self._left_out += 1
            return
        self._warnings += 1
        left_out = {"left_out": self._left_out} if self._left_out else {}
        self._left_out = 0
        _log.warning("task", **_facts(record), **left_out)


def _facts(record: Record) -> dict[str, Any]:
    """What a line says of a task."""
    facts: dict[str, Any] = {"id": record.id, "task": record.task.name, "handler": record.task.handler}
    facts |= {"state": record.state.value, "attempts": len(record.attempts)}
    if isinstance(record, Finished):
        facts["outcome"] = record.outcome.value
    if record.attempts and isinstance(record, Scheduled | Finished):
        last = record.attempts[-1]
        facts["seconds"] = round(last.ended_at - last.started_at, 3)
        if last.error is not None:
            facts["error"] = _NOT_ONE_LINE.sub(" ", last.error)[:ERROR_CHARACTERS_MAX]
    return facts
