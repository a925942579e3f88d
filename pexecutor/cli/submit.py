"""The command ``submit``: submit one task from options, or a stream of tasks from standard input."""

from __future__ import annotations

import time
from typing import Any

import click

from ..limits.times import WAIT_FOR_ROOM_SECONDS_MAX
from .client_command import ClientCommand, Session
from .exit_status import OF_OUTCOME, Exit
from .retrying import WAIT_SECONDS, wait_for_outcome
from .streams import read_input
from .task_options import task_fields
from .task_params import ParamsSchema, read_params


@click.command(cls=ClientCommand)
@click.argument("name")
@click.argument("pairs", metavar="[KEY=VALUE]...", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--params",
    "whole",
    metavar="JSON",
    type=click.UNPROCESSED,
    help="All params as a JSON object; @FILE reads a file, - standard input.",
)
@task_fields
@click.option(
    "--wait-for-room",
    type=click.FloatRange(0, WAIT_FOR_ROOM_SECONDS_MAX),
    default=0,
    help="Seconds to wait while the queue is full.",
)
@click.option("--wait", is_flag=True, help="Wait for the outcome, which decides the exit status.")
@click.option(
    "--wait-timeout",
    type=click.FloatRange(min=0),
    default=WAIT_SECONDS,
    show_default=True,
    help="Seconds to wait for the outcome, including lost connections.",
)
@click.pass_obj
def submit(
    session: Session,
    /,
    name: str,
    pairs: tuple[str, ...],
    whole: str | None,
    wait_for_room: float,
    wait: bool,
    wait_timeout: float,
    **fields: Any,
) -> int:
    """Submit a task.

    NAME identifies the task: only one task in flight can hold it. With `-` as NAME, each line of standard input is a
    task as JSON (NDJSON). KEY=VALUE is a param in the type that the handler declares; KEY=@FILE reads it from a file.
    """
    given = {field: value for field, value in fields.items() if value is not None}
    if name == "-":
        if given or pairs or whole is not None or wait or wait_for_room:
            raise click.UsageError("`submit -` takes no options of a task or wait: write each task as a line of JSON")
        return _submit_lines(session)
    params = params_of(session, given.get("handler"), pairs, whole)
    task = {"name": name, **given, **({"params": params} if params else {})}
    document = session.client.submit(task, wait_for_room_seconds=wait_for_room)
    if not wait:
        session.report.records([document])
        return Exit.DONE
    ended = wait_for_outcome(session.client, document.value["id"], until=time.monotonic() + wait_timeout)
    session.report.records([ended])
    return OF_OUTCOME.get(ended.value["outcome"], Exit.TROUBLE)


def params_of(session: Session, handler: str | None, pairs: tuple[str, ...], whole: str | None) -> dict[str, Any]:
    """Return the params that the arguments give; the handler's schema gives the types of ``KEY=VALUE`` arguments."""
    return read_params(pairs, whole, _schema(session, handler) if pairs else ParamsSchema())


def _schema(session: Session, handler: str | None) -> ParamsSchema:
    """Return the schema of the handler's params; an empty one for an unknown handler, which the server will refuse."""
    for document in session.client.handlers():
        if document.value["name"] == handler:
            return ParamsSchema(document.value["params"])
    return ParamsSchema()


def _submit_lines(session: Session) -> int:
    reply = session.client.submit_lines(read_input())
    session.report.details(reply)
    return Exit.DUPLICATE if reply.value["DuplicateTasks"] else Exit.DONE
