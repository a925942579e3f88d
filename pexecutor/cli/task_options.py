"""The options of ``submit`` for the fields of a task. They check only the syntax; the server checks the ranges."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar, get_args

import click

from ..task import PRIORITY_MAX, OnConflict, OnCrash
from .completion import complete_handler

F = TypeVar("F", bound=Callable[..., Any])

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_MILLISECONDS_IN: Final = {None: 1, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """Return a time span in milliseconds, from a number of milliseconds or a number with a unit."""
    if text is None:
        return None
    if (match := _SPAN.fullmatch(text)) is None:
        raise click.BadParameter(f"{text!r} is not a time span: write 1500, 1500ms, 1.5s, 10m, 2h or 7d")
    return round(float(match[1]) * _MILLISECONDS_IN[match[2]])


def _given(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the values of an option that may be repeated, or ``None`` if it was not given."""
    return values or None


_RUN_AT: Final = click.option(
    "--run-at", metavar="TIME", help="Start the task only at this time: RFC 3339, with a time zone."
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


def task_fields(function: F) -> F:
    """Add an option for each field of a task except name and params; an option that is not given is ``None``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def scheduled_task_fields(function: F) -> F:
    """Add the options of ``task_fields`` without ``--run-at``: a schedule sets the times of its tasks."""
    for option in reversed(_OPTIONS):
        function = function if option is _RUN_AT else option(function)
    return function
