"""The options of ``submit`` for the fields of a task. The server checks all ranges but those of time spans."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, get_args

import click

from ..task import PRIORITY_MAX, SPAN_MS_MAX, OnConflict, OnCrash
from ..validation import TIME_EXAMPLE
from .completion import complete_handler
from .local_time import next_local_time, zoned
from .streams import notify

F = TypeVar("F", bound=Callable[..., Any])

SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_MILLISECONDS_IN: Final = {None: 1, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


SpanCallback = Callable[[click.Context, click.Parameter, str | None], int | None]


def _given(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the values of an option that may be repeated, or ``None`` if it was not given."""
    return values or None


def milliseconds_up_to(milliseconds_max: int) -> SpanCallback:
    """Return a callback that converts a time span to milliseconds, and refuses a longer one than the maximum."""

    def convert(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
        if text is None:
            return None
        if SPAN.fullmatch(text) is None:
            raise click.BadParameter(f"{text!r} is not a time span: write 1500, 1500ms, 1.5s, 10m, 2h or 7d")
        span = milliseconds_of(text)
        if span > milliseconds_max:
            raise click.BadParameter(f"{text} is too long: the maximum is {milliseconds_max // _MILLISECONDS_IN['d']}d")
        return round(span)

    return convert


def milliseconds_of(span: str) -> float:
    """Return the milliseconds of a time span that ``SPAN`` matches."""
    number, unit = SPAN.fullmatch(span).groups()  # type: ignore[union-attr]
    return float(number) * _MILLISECONDS_IN[unit]


milliseconds: Final = milliseconds_up_to(SPAN_MS_MAX)
"""Return a time span of a task in milliseconds, from a number of milliseconds or a number with a unit."""


def run_at(ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    """Return a time in RFC 3339; of a time of day, the next such time in the local time zone, which is reported."""
    if text is None or DATE.match(text):
        return text  # the server checks it
    if (instant := next_local_time(text, datetime.now(UTC))) is None:
        raise click.BadParameter(f"{text!r} is not a time: write 03:00, 'tomorrow 03:00' or {TIME_EXAMPLE}")
    if not ctx.resilient_parsing:
        notify(f"{text} means {zoned(instant)}")
    return instant.isoformat()


DATE: Final = re.compile(r"\d{4}-")

_RUN_AT: Final = click.option(
    "--run-at",
    metavar="TIME",
    callback=run_at,
    help="Start the task only at this time: 03:00 or 'tomorrow 03:00' in the local time zone, or RFC 3339.",
)

_OPTIONS: Final = [
    click.option(
        "--handler", help="The handler that runs the task.  [default: sleep]", shell_complete=complete_handler
    ),
    click.option("--duration", metavar="SPAN", callback=milliseconds, help="How long `sleep` sleeps."),
    click.option(
        "--priority", type=int, help=f"{-PRIORITY_MAX} to {PRIORITY_MAX}; tasks of higher priority start first."
    ),
    click.option("--delay", metavar="SPAN", callback=milliseconds, help="Start the task only after this time."),
    _RUN_AT,
    click.option("--timeout", metavar="SPAN", callback=milliseconds, help="Cancel an attempt after this time."),
    click.option("--retries", type=int, help="Maximum number of retries after a failure or a timeout."),
    click.option("--retry-delay", metavar="SPAN", callback=milliseconds, help="Longest wait before the first retry."),
    click.option("--retry-delay-max", metavar="SPAN", callback=milliseconds, help="Longest wait before any retry."),
    click.option("--on-conflict", type=click.Choice(get_args(OnConflict)), help="What to do if the name is held."),
    click.option("--traceparent", metavar="TRACE", help="The task's trace, in the format of W3C Trace Context."),
    click.option(
        "--on-crash", type=click.Choice(get_args(OnCrash)), help="What to do if the server dies while the task runs."
    ),
    click.option(
        "--keep", metavar="SPAN", callback=milliseconds, help="How long to keep the record after the task has ended."
    ),
    click.option(
        "--tag", "tags", metavar="TAG", multiple=True, callback=_given, help="A label of the task; may be repeated."
    ),
]


def all_options(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Return a decorator that adds options and arguments to a command, in this order."""

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


task_fields: Final = all_options(*_OPTIONS)
"""Add an option for each field of a task except name and params; an option that is not given is ``None``."""

scheduled_task_fields: Final = all_options(*(option for option in _OPTIONS if option is not _RUN_AT))
"""Add the options of ``task_fields`` without ``--run-at``: a schedule sets the times of its tasks."""
