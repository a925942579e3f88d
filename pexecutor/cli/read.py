"""The commands ``list``, ``show`` and ``handlers``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import click

from ..errors import RefusedError, counted
from .client_command import ClientCommand, Session
from .completion import complete_task
from .filters import criteria_of, filter_options
from .record_text import one_line
from .streams import notify
from .task_lookup import find_latest

LIMIT = 100


@click.command("list", cls=ClientCommand)
@filter_options
@click.option("--limit", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="Maximum number of tasks.")
@click.option("--why", is_flag=True, help="Say of each task that waits why it does not run.")
@click.option("--all", "without_limit", is_flag=True, help="List all tasks, without a limit.")
@click.pass_obj
def list_tasks(session: Session, /, limit: int, without_limit: bool, why: bool, **options: Any) -> None:
    """List tasks: first tasks in flight in start order, then finished tasks with the latest first.

    Says on standard error how many tasks the limit has left out.
    """
    left: float = math.inf if without_limit else limit
    pages = session.client.pages(**criteria_of(options))
    for page in pages:
        if page and left:
            session.report.records(page[: int(min(left, len(page)))], why=why)
        if len(page) > left:
            _report_left_out(len(page) - int(left), more=next(pages, None) is not None)
            return
        left -= len(page)


def _report_left_out(tasks: int, *, more: bool) -> None:
    matched = counted(tasks, "more task matches", "more tasks match")
    notify(f"{'over ' if more else ''}{matched}: raise --limit, or use --all")


@click.command(cls=ClientCommand)
@click.argument("task", shell_complete=complete_task)
@click.pass_obj
def show(session: Session, task: str) -> None:
    """Show all details of a task.

    TASK is an id or a name. A name means the task in flight with that name, or else the last finished one.
    """
    document = session.client.show(find_latest(session.client, task))
    session.report.details(document, why=_first_reason(session, document.value))


def _first_reason(session: Session, record: Mapping[str, Any]) -> str:
    """Return the first reason for which a waiting task does not run; ``""`` if the server gives none."""
    if record["state"] not in ("scheduled", "pending"):
        return ""
    try:
        reasons = session.client.why(record["id"])
    except RefusedError:  # an older server, or the record has just expired
        return ""
    return one_line(reasons[0].value["detail"]) if reasons else ""


@click.command(cls=ClientCommand)
@click.pass_obj
def handlers(session: Session) -> None:
    """List the handlers and their params."""
    session.report.handlers(session.client.handlers())
