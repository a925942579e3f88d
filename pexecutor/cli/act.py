"""The commands ``change`` and ``drain``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from ..errors import StillWaitingError, UnreachableError, counted
from ..limits.times import CLIENT_DRAIN_SECONDS
from ..task import PRIORITY_MAX
from .client_command import ClientCommand, Session
from .completion import complete_task
from .confirmation import is_confirmed
from .exit_status import Exit
from .streams import report_failure
from .task_lookup import find_in_flight

if TYPE_CHECKING:
    from ..client.documents import DocumentClient

LOOK_SECONDS: Final = 0.2


@click.command(cls=ClientCommand)
@click.argument("task", shell_complete=complete_task)
@click.option("--priority", type=int, help=f"{-PRIORITY_MAX} to {PRIORITY_MAX}; tasks of higher priority start first.")
@click.option("--run-at", metavar="TIME", help="When the task becomes due: `now`, or RFC 3339 with a time zone.")
@click.pass_obj
def change(session: Session, task: str, priority: int | None, run_at: str | None) -> None:
    """Change the priority or the time of a task that waits.

    TASK is an id, or the name of a task in flight.
    """
    changes = {field: value for field, value in (("priority", priority), ("run_at", run_at)) if value is not None}
    if not changes:
        raise click.UsageError("give --priority, --run-at or both")
    session.report.records([session.client.change(find_in_flight(session.client, task), changes)])


@click.command(cls=ClientCommand)
@click.option("--wait", is_flag=True, help="Wait until the server has stopped.")
@click.option(
    "--wait-timeout",
    type=click.FloatRange(min=0),
    default=CLIENT_DRAIN_SECONDS,
    show_default=True,
    help="Seconds to wait for the stop.",
)
@click.option("--yes", is_flag=True, help="Do not ask for a confirmation.")
@click.pass_obj
def drain(session: Session, wait: bool, wait_timeout: float, yes: bool) -> int:
    """Stop the server gracefully.

    The server accepts and starts no more tasks. Running tasks may take its drain timeout to end. On a terminal, the
    command asks for a confirmation.
    """
    if not is_confirmed(lambda: _drain_question(session.client), yes=yes):
        report_failure("the server goes on: the drain was not confirmed")
        return Exit.TROUBLE
    session.report.details(session.client.drain())
    if wait:
        _wait_for_stop(session, until=time.monotonic() + wait_timeout)
    return Exit.DONE


def _drain_question(client: DocumentClient) -> str:
    store = client.readiness().value["statistics"]["store"]
    waiting = store["pending"] + store["scheduled"]
    return f"Stop the server {client.url}? Tasks: {store['running']} running, {waiting} waiting"


def _wait_for_stop(session: Session, *, until: float) -> None:
    """Wait until the server is unreachable, reports that it has stopped, or serves again after a restart."""
    while True:
        try:
            statistics = session.client.readiness().value["statistics"]
        except UnreachableError:
            return
        if statistics["phase"] != "draining":
            return
        if time.monotonic() >= until:
            running = statistics["store"]["running"]
            raise StillWaitingError(f"timed out: the server is still draining, with {counted(running, 'task')} running")
        time.sleep(LOOK_SECONDS)
