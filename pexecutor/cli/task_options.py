"""The options of ``submit`` that are a task's fields: how they are written. Their ranges are the server's matter."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar, get_args

import click

from ..task import OnConflict, OnCrash
from .completion import complete_handler

F = TypeVar("F", bound=Callable[..., Any])

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_MILLISECONDS_IN: Final = {None: 1, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """A time span that was written: a number of milliseconds, or one with a unit behind it."""
    if text is None:
        return None
    if (match := _SPAN.fullmatch(text)) is None:
        raise click.BadParameter(f"{text!r} is no time span: write 1500, 1500ms, 1.5s, 10m, 2h or 7d")
    return round(float(match[1]) * _MILLISECONDS_IN[match[2]])


_OPTIONS: Final = [
    click.option("--handler", help="What runs it.  [default: sleep]", shell_complete=complete_handler),
    click.option("--duration", metavar="SPAN", callback=milliseconds, help="How long `sleep` works."),
    click.option("--priority", type=int, help="-100 to 100; the higher starts first."),
    click.option("--delay", metavar="SPAN", callback=milliseconds, help="How long until it may start."),
    click.option("--run-at", metavar="TIME", help="When it may start: RFC 3339, with a time zone."),
    click.option("--timeout", metavar="SPAN", callback=milliseconds, help="After which an attempt is cancelled."),
    click.option("--retries", type=int, help="How often it is tried again."),
    click.option("--retry-delay", metavar="SPAN", callback=milliseconds, help="The most that the first retry waits."),
    click.option("--retry-delay-max", metavar="SPAN", callback=milliseconds, help="The most that any retry waits."),
    click.option("--on-conflict", type=click.Choice(get_args(OnConflict)), help="When the name is held."),
    click.option(
        "--traceparent", metavar="TRACE", help="The trace that it belongs to, as W3C Trace Context writes it."
    ),
    click.option("--on-crash", type=click.Choice(get_args(OnCrash)), help="When the server dies while it runs."),
    click.option(
        "--keep", metavar="SPAN", callback=milliseconds, help="How long its record can be read once it has ended."
    ),
]


def task_fields(function: F) -> F:
    """Give a command an option for each field of a task but its name and its params; one not given is ``None``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
