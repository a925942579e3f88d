"""What callers of the Python client give: the fields of a task and of a schedule, and filters, and their JSON.

They are typed dictionaries, so that each name and type is written once for all methods of both clients, and type
checkers know the keyword arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Required, TypedDict

from ..errors import ConfigError

Span = int | timedelta
"""A span of time: a whole number of milliseconds, as in the HTTP API, or a ``timedelta``."""

Instant = datetime | str
"""A time: a ``datetime`` with a time zone, or a text as in RFC 3339."""

StateName = Literal["scheduled", "pending", "running", "finished"]
OutcomeName = Literal["succeeded", "failed", "timed_out", "cancelled", "abandoned"]


class TaskFields(TypedDict, total=False):
    """The optional fields of a task besides ``handler`` and ``params``.

    Parameters:
        duration: how long the handler ``sleep`` works.
        priority: -100 to 100; higher ones start first.
        delay: start this long after acceptance, at the earliest.
        run_at: the earliest start, instead of ``delay``.
        timeout: the longest that an attempt may take.
        retries: how many times a failed task is tried again.
        retry_delay: the longest pause before the first retry; doubled for each further one.
        retry_delay_max: the longest pause before any retry.
        on_conflict: what to do if another task holds the name.
        on_crash: what to do if the server dies while the task runs.
        keep: how long the record can be read after the end.
        traceparent: the trace that the task belongs to.
        tags: labels by which tasks are found.
    """

    duration: Span
    priority: int
    delay: Span
    run_at: Instant
    timeout: Span
    retries: int
    retry_delay: Span
    retry_delay_max: Span
    on_conflict: Literal["reject", "join", "latest", "supersede"]
    on_crash: Literal["rerun", "fail"]
    keep: Span
    traceparent: str
    tags: Sequence[str]


class NewTask(TaskFields, total=False):
    """A task to submit.

    Parameters:
        name: its name, which at most one task in flight holds.
        handler: the handler that runs it; by default ``sleep``.
        params: the params for the handler.
    """

    name: Required[str]
    handler: str
    params: Mapping[str, Any]


class ScheduleTimes(TypedDict, total=False):
    """The times of a schedule: ``cron`` or ``every``, and options.

    Parameters:
        cron: a cron expression of five fields.
        timezone: the time zone of ``cron``.
        every: the time between two occurrences.
        start_at: the first occurrence of ``every``.
        jitter: fire at most this much later.
        until: the last possible time.
        catch_up: whether to fire the latest missed time: ``one`` or ``none``.
        late_max: how late an occurrence may fire.
        paused: whether the times are skipped.
    """

    cron: str
    timezone: str
    every: Span
    start_at: Instant
    jitter: Span
    until: Instant
    catch_up: Literal["one", "none"]
    late_max: Span
    paused: bool


class Criteria(TypedDict, total=False):
    """Which tasks: those that meet every criterion.

    Parameters:
        name: with this name.
        name_prefix: whose name begins with this text.
        state: in this state.
        outcome: with this outcome.
        handler: of this handler.
        tags: with all of these tags.
        since: submitted at this time or later.
        until: submitted before this time.
        finished_since: ended at this time or later.
        error: ended with an error that contains this text.
    """

    name: str
    name_prefix: str
    state: StateName
    outcome: OutcomeName
    handler: str
    tags: Sequence[str]
    since: Instant
    until: Instant
    finished_since: Instant
    error: str


def json_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a task or a schedule as JSON has them: without ``None``, spans in ms, times as text.

    Raises:
        ConfigError: a time has no time zone.
    """
    return {name: _json_value(name, value) for name, value in fields.items() if value is not None}


def criteria_json(criteria: Criteria) -> dict[str, str | list[str]]:
    """Return criteria as the query of a listing and the body of a bulk have them."""
    found: dict[str, str | list[str]] = {}
    for name, value in json_of(criteria).items():
        found["tag" if name == "tags" else name] = list(value) if name == "tags" else str(value)
    return found


def milliseconds(span: Span) -> int:
    """Return a span in whole milliseconds."""
    return round(span / timedelta(milliseconds=1)) if isinstance(span, timedelta) else span


def _json_value(name: str, value: Any) -> Any:
    match value:
        case timedelta():
            return milliseconds(value)
        case datetime():
            if value.utcoffset() is None:
                raise ConfigError(f"`{name}` has no time zone: use, for example, datetime.now(UTC)")
            return value.isoformat()
        case _:
            return value
