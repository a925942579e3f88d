"""The options of ``list``, ``cancel``, ``retry`` and ``priority`` that say which tasks are meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from ..task import Outcome, State
from ..validation import TIME_EXAMPLE
from .completion import complete_handler
from .local_time import latest_local_time
from .task_options import DATE, SPAN, all_options, milliseconds_of


def past_time(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    """Return a time in RFC 3339, from a time of day, a time span before now, or RFC 3339.

    Of a time of day, the latest such time in the local time zone is meant.
    """
    if text is None or DATE.match(text):
        return text  # the server checks it
    now = datetime.now(UTC)
    if SPAN.fullmatch(text) is not None:
        return (now - timedelta(milliseconds=milliseconds_of(text))).isoformat()
    if (instant := latest_local_time(text, now)) is None:
        raise click.BadParameter(
            f"{text!r} is not a time: write 2h, 03:00, yesterday, 'yesterday 03:00' or {TIME_EXAMPLE}"
        )
    return instant.isoformat()


_TIME: Final = "2h, 03:00, yesterday or RFC 3339"

_CRITERIA: Final = {
    "state": click.option(
        "--state", type=click.Choice([each.value for each in State]), help="Only tasks in this state."
    ),
    "outcome": click.option(
        "--outcome", type=click.Choice([each.value for each in Outcome]), help="Only tasks that ended so."
    ),
    "handler": click.option("--handler", help="Only tasks of this handler.", shell_complete=complete_handler),
    "tag": click.option("--tag", metavar="TAG", multiple=True, help="Only tasks with this tag; may be repeated."),
    "name": click.option("--name", help="Only tasks with this name."),
    "name_prefix": click.option("--name-prefix", metavar="TEXT", help="Only tasks whose name begins so."),
    "since": click.option(
        "--since", metavar="TIME", callback=past_time, help=f"Only tasks submitted since then: {_TIME}."
    ),
    "until": click.option("--until", metavar="TIME", callback=past_time, help="Only tasks submitted before this time."),
    "finished_since": click.option(
        "--finished-since", metavar="TIME", callback=past_time, help="Only tasks that ended since then."
    ),
    "error": click.option("--error", metavar="TEXT", help="Only finished tasks whose error contains this text."),
}
"""The option of each criterion, by the name of the query parameter."""

filter_options: Final = all_options(*_CRITERIA.values())
"""Add an option for each criterion; ``criteria_of`` takes their values."""


def criteria_of(options: dict[str, Any]) -> dict[str, Any]:
    """Take the values of the filter's options out of all options, and return those that were given."""
    taken = {name: options.pop(name) for name in _CRITERIA}
    return {name: value for name, value in taken.items() if value not in (None, ())}
