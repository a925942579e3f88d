"""The commands ``schedule``: list, show, set, run, pause, resume and remove the schedules of a server."""

from __future__ import annotations

from typing import Any, get_args

import click

from ..stores.schedules import EVERY_MS_MAX, CatchUp
from .client_command import ClientCommand, Session
from .completion import complete_schedule
from .submit import params_of
from .task_options import milliseconds, milliseconds_up_to, scheduled_task_fields

_name = click.argument("name", shell_complete=complete_schedule)


@click.group()
def schedule() -> None:
    """Submit tasks at set times, like cron. Times are shown in the local time zone."""


@schedule.command("list", cls=ClientCommand)
@click.pass_obj
def list_schedules(session: Session) -> None:
    """List schedules with their next times."""
    for page in session.client.schedules():
        if page:
            session.report.schedules(page)


@schedule.command(cls=ClientCommand)
@_name
@click.pass_obj
def show(session: Session, name: str) -> None:
    """Show a schedule, its next five times and its last ten occurrences."""
    session.report.schedule(session.client.schedule(name))


@schedule.command("set", cls=ClientCommand)
@_name
@click.argument("pairs", metavar="[KEY=VALUE]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--cron", metavar="EXPRESSION", help='Five fields, as in "0 3 * * *": every night at three.')
@click.option("--timezone", metavar="ZONE", help="The time zone of --cron, as in Europe/Berlin.  [default: UTC]")
@click.option(
    "--every",
    metavar="SPAN",
    callback=milliseconds_up_to(EVERY_MS_MAX),
    help="Time between two occurrences; at least 1s.",
)
@click.option("--start-at", metavar="TIME", help="The first time of --every.  [default: in one period]")
@click.option("--jitter", metavar="SPAN", callback=milliseconds, help="Fire each time up to this much later.")
@click.option("--until", metavar="TIME", help="No time is later than this one: RFC 3339, with a time zone.")
@click.option("--catch-up", type=click.Choice(get_args(CatchUp)), help="After a stop, fire the last missed time?")
@click.option("--late-max", metavar="SPAN", callback=milliseconds, help="How late a time may still fire.")
@click.option("--paused/--not-paused", default=None, help="Whether to skip its times.  [default: as before]")
@click.option("--task", "task_name", metavar="NAME", help="Name of the task.  [default: that of the schedule]")
@click.option(
    "--params",
    "whole",
    metavar="JSON",
    type=click.UNPROCESSED,
    help="All params as a JSON object; @FILE reads a file, - standard input.",
)
@scheduled_task_fields
@click.pass_obj
def set_schedule(
    session: Session,
    /,
    name: str,
    pairs: tuple[str, ...],
    whole: str | None,
    task_name: str | None,
    **fields: Any,
) -> None:
    """Store a schedule, in the place of one with the same name.

    KEY=VALUE is a param of its task, as in `submit`. The value {scheduled_for} becomes the time of the occurrence.
    """
    given = {field: value for field, value in fields.items() if value is not None}
    times = {field: given.pop(field) for field in _TIMES if field in given}
    params = params_of(session, given.get("handler"), pairs, whole)
    task = {"name": name if task_name is None else task_name, **given, **({"params": params} if params else {})}
    session.report.schedules([session.client.put_schedule(name, {**times, "task": task})])


_TIMES = ("cron", "timezone", "every", "start_at", "jitter", "until", "catch_up", "late_max", "paused")


@schedule.command(cls=ClientCommand)
@_name
@click.pass_obj
def run(session: Session, name: str) -> None:
    """Submit the task of a schedule now. Its times stay as they are."""
    session.report.records([session.client.run_schedule(name)])


@schedule.command(cls=ClientCommand)
@_name
@click.pass_obj
def pause(session: Session, name: str) -> None:
    """Skip the times of a schedule until it is resumed."""
    session.report.schedules([session.client.pause_schedule(name, paused=True)])


@schedule.command(cls=ClientCommand)
@_name
@click.pass_obj
def resume(session: Session, name: str) -> None:
    """Fire a paused schedule again, from its next time on."""
    session.report.schedules([session.client.pause_schedule(name, paused=False)])


@schedule.command(cls=ClientCommand)
@_name
@click.option("--force", is_flag=True, help="Remove it even if a settings file declares it.")
@click.pass_obj
def remove(session: Session, name: str, force: bool) -> None:
    """Remove a schedule. Tasks that it has submitted stay."""
    session.client.remove_schedule(name, force=force)
