"""The commands ``list``, ``show`` and ``handlers``."""

from __future__ import annotations

import click

from ..task import State
from .client_command import ClientCommand, Session
from .completion import complete_task
from .task_lookup import find_latest

LIMIT = 100


@click.command("list", cls=ClientCommand)
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only tasks in this state.")
@click.option("--name", help="Only tasks with this name.")
@click.option("--limit", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="Maximum number of tasks.")
@click.option("--all", "without_limit", is_flag=True, help="List all tasks, without a limit.")
@click.pass_obj
def list_tasks(session: Session, state: str | None, name: str | None, limit: int, without_limit: bool) -> None:
    """List tasks: first tasks in flight in start order, then finished tasks with the latest first."""
    for page in session.client.pages(state=state, name=name, records_max=None if without_limit else limit):
        if page:
            session.report.records(page)


@click.command(cls=ClientCommand)
@click.argument("task", shell_complete=complete_task)
@click.pass_obj
def show(session: Session, task: str) -> None:
    """Show all details of a task.

    TASK is an id or a name. A name means the task in flight with that name, or else the last finished one.
    """
    session.report.details(session.client.show(find_latest(session.client, task)))


@click.command(cls=ClientCommand)
@click.pass_obj
def handlers(session: Session) -> None:
    """List the handlers and their params."""
    session.report.handlers(session.client.handlers())
