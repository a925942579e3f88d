"""``submit``: one task from flags, or a stream of them from standard input."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from .client_command import ClientCommand, Session
from .exit_status import OF_OUTCOME, Exit
from .retrying import wait_for_outcome
from .streams import read_input
from .task_options import task_fields
from .task_params import ParamsSchema, read_params

WAIT_SECONDS: Final = 3600.0


@click.command(cls=ClientCommand)
@click.argument("name")
@click.argument("pairs", metavar="[KEY=VALUE]...", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--params",
    "whole",
    metavar="JSON",
    type=click.UNPROCESSED,
    help="All params: a JSON object, @FILE, or - for standard input.",
)
@task_fields
@click.option(
    "--wait-for-room", type=click.FloatRange(0, 60), default=0, help="Seconds to wait while the queue is full."
)
@click.option("--wait", is_flag=True, help="Wait for the outcome, and exit by it.")
@click.option(
    "--wait-timeout",
    type=click.FloatRange(min=0),
    default=WAIT_SECONDS,
    show_default=True,
    help="Seconds to wait for the outcome, lost connections included.",
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

    NAME is what dedup goes by; `-` submits each line of standard input instead, as NDJSON. A KEY=VALUE is a param, in
    the type that the handler has for it; KEY=@FILE takes it from a file.
    """
    given = {field: value for field, value in fields.items() if value is not None}
    if name == "-":
        if given or pairs or whole is not None or wait or wait_for_room:
            raise click.UsageError("`submit -` takes everything about a task from its line")
        return _submit_lines(session)
    params = read_params(pairs, whole, _schema(session, given.get("handler")) if pairs else ParamsSchema())
    task = {"name": name, **given, **({"params": params} if params else {})}
    document = session.client.submit(task, wait_for_room_seconds=wait_for_room)
    if not wait:
        session.report.records([document])
        return Exit.DONE
    ended = wait_for_outcome(session.client, document.value["id"], until=time.monotonic() + wait_timeout)
    session.report.records([ended])
    return OF_OUTCOME.get(ended.value["outcome"], Exit.TROUBLE)


def _schema(session: Session, handler: str | None) -> ParamsSchema:
    """What the handler takes; of one that is not there, nothing is known, and the server will say so."""
    for document in session.client.handlers():
        if document.value["name"] == handler:
            return ParamsSchema(document.value["params"])
    return ParamsSchema()


def _submit_lines(session: Session) -> int:
    reply = session.client.submit_lines(read_input())
    session.report.details(reply)
    return Exit.DUPLICATE if reply.value["DuplicateTasks"] else Exit.DONE
