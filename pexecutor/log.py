"""The log: one event per line on standard error, as text for people or as JSON for programs.

Changes of tasks can be many thousands per second. So each change is logged at the level ``debug`` and none at ``info``.
A task that has finally failed is logged as a warning, but at most ``WARNINGS_PER_SECOND_MAX`` times per second. Further
failures are counted, and the next warning reports their number. Of consecutive skips of a schedule for one reason, only
the first is logged.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from .config import LogFormat, LogLevel, service_variables
from .process.streams import report_drops
from .stores.schedules import Skipped
from .task import Finished, Outcome, Record, Scheduled

WARNINGS_PER_SECOND_MAX: Final = 10
ERROR_CHARACTERS_MAX: Final = 500

_UNREMARKABLE: Final = frozenset({Outcome.SUCCEEDED, Outcome.CANCELLED})
_NOT_ONE_LINE: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")

_log = structlog.get_logger()


def configure_logging(level: LogLevel, log_format: LogFormat) -> None:
    """Set up the log of the process. Only a program that owns its process calls this; imports never do."""
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
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    set_log_level(level)
    logging.getLogger("coredis").setLevel(logging.CRITICAL)  # its errors are raised to the store's callers anyway
    own = logging.getLogger("pexecutor")
    own.handlers, own.propagate = [_Forwarder()], False
    report_drops(lambda stream, lines: _log.warning("output was dropped", stream=stream, lines=lines))


def set_log_level(level: LogLevel) -> None:
    """Log no lines below this level from now on. A logger that was bound before keeps its level."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()])
    )


def log_ignored_variables(environment: Mapping[str, str]) -> None:
    """Log the environment variables that look like settings but were set by Kubernetes for a service."""
    if variables := service_variables(environment):
        _log.warning("ignored variables that Kubernetes sets for a service", variables=variables)


class _Forwarder(logging.Handler):
    """A handler that forwards records of ``logging`` to structlog; inner modules use only ``logging``."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record as an event."""
        _log.log(record.levelno, record.getMessage())


class _Renderer:
    """A renderer of events that never raises: an event that cannot be rendered is logged with its name only."""

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
    """A log of changed tasks, which the executor calls.

    Parameters:
        level: the level of the log; at levels other than ``debug``, only failures are logged.
        now: a clock, in seconds.
    """

    def __init__(self, level: LogLevel, *, now: Callable[[], float] = time.monotonic) -> None:
        # Only use_level() replaces it.
        self._details = level == "debug"
        self._now = now
        self._window = 0.0
        self._warnings = 0
        self._left_out = 0

    def use_level(self, level: LogLevel) -> None:
        """Log from now on as for this level."""
        self._details = level == "debug"

    def __call__(self, records: Sequence[Record]) -> None:
        """Log the new records of changed tasks."""
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


def log_skip(schedule: str, skipped: Skipped) -> None:
    """Log a skip of a schedule, unless it repeats the one before; the executor calls this."""
    if skipped.count > 1:
        return
    holder = {} if skipped.holder_id is None else {"holder": skipped.holder_id}
    at = datetime.fromtimestamp(skipped.last_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    _log.warning("skipped", schedule=schedule, reason=skipped.reason, scheduled_for=at, **holder)


def _facts(record: Record) -> dict[str, Any]:
    """Return the fields of a log line about a task."""
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
