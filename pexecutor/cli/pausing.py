"""The commands ``pause``, ``resume``, ``status`` and ``why``."""

from __future__ import annotations

import click

from .client_command import ClientCommand, Session
from .completion import complete_handler, complete_task
from .task_lookup import find_in_flight

_handler = click.argument("handler", required=False, shell_complete=complete_handler)


@click.command(cls=ClientCommand)
@_handler
@click.pass_obj
def pause(session: Session, handler: str | None) -> None:
    """Start no more tasks of a handler, or none at all. Submits and running tasks go on.

    A pause lasts until `resume`, also over a restart of the server.
    """
    session.report.pauses(session.client.pause(handler))


@click.command(cls=ClientCommand)
@_handler
@click.pass_obj
def resume(session: Session, handler: str | None) -> None:
    """End the pause of a handler, or that of everything. Prints the pauses that are left."""
    session.report.pauses(session.client.resume(handler))


@click.command(cls=ClientCommand)
@click.pass_obj
def status(session: Session) -> None:
    """Show the state of the server: its workers, its queue, its limits and its pauses."""
    session.report.status(session.client.readiness())


@click.command(cls=ClientCommand)
@click.argument("task", shell_complete=complete_task)
@click.pass_obj
def why(session: Session, task: str) -> None:
    """Show why a task does not run, one reason per line; no line if it runs or will start at once.

    TASK is an id, or the name of a task in flight.
    """
    session.report.reasons(session.client.why(find_in_flight(session.client, task)))
