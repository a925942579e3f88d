"""The command ``wait``: wait for the outcomes of tasks."""

from __future__ import annotations

import time
from functools import partial

import click

from ..errors import PexecutorError
from .client_command import ClientCommand, Session
from .completion import complete_task
from .exit_status import OF_OUTCOME, Exit, exit_of, explain
from .retrying import WAIT_SECONDS, persist, wait_for_outcome
from .streams import report_failure
from .task_lookup import find_latest


@click.command(cls=ClientCommand)
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...", shell_complete=complete_task)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=WAIT_SECONDS,
    show_default=True,
    help="Seconds to wait for all outcomes together, including lost connections.",
)
@click.pass_obj
def wait(session: Session, tasks: tuple[str, ...], timeout: float) -> int:
    """Wait until tasks have ended. The exit status is that of the first TASK that has not succeeded.

    TASK is an id or a name. A name means the task in flight with that name, or else the last finished one. After the
    timeout, the tasks go on.
    """
    until = time.monotonic() + timeout
    status, ended = Exit.DONE, []
    for task_id in _ids(session, tasks, until):
        try:
            if isinstance(task_id, PexecutorError):
                raise task_id
            document = wait_for_outcome(session.client, task_id, until=until)
        except PexecutorError as error:
            report_failure(explain(error))
            status = status or exit_of(error)
        else:
            ended.append(document)
            status = status or OF_OUTCOME.get(document.value["outcome"], Exit.TROUBLE)
    if ended:
        session.report.records(ended)
    return status


def _ids(session: Session, tasks: tuple[str, ...], until: float) -> list[str | PexecutorError]:
    """Return the id of each task, or the error of its lookup. A name means the task that holds it now, not later."""
    found: list[str | PexecutorError] = []
    for task in tasks:
        try:
            found.append(persist(partial(find_latest, session.client, task), until=until))
        except PexecutorError as error:
            found.append(error)
    return found
