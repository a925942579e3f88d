"""The commands ``cancel``, ``retry`` and ``priority``: for named tasks, or for all tasks that a filter matches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from ..errors import PexecutorError, counted
from ..limits.defaults import BULK_TASKS_MAX
from ..task import PRIORITY_MAX
from .client_command import ClientCommand, Session
from .completion import complete_task
from .confirmation import is_confirmed
from .exit_status import Exit, exit_of, explain
from .filters import criteria_of, filter_options
from .streams import report_failure
from .task_lookup import find_in_flight, find_latest
from .task_options import all_options

_bulk_options: Final = all_options(
    click.argument("tasks", nargs=-1, metavar="[TASK]...", shell_complete=complete_task),
    filter_options,
    click.option(
        "--max",
        "tasks_max",
        type=click.IntRange(1, BULK_TASKS_MAX),
        default=BULK_TASKS_MAX,
        show_default=True,
        help="Maximum number of tasks.",
    ),
    click.option("--dry-run", is_flag=True, help="Only count the tasks that match."),
    click.option("--yes", is_flag=True, help="Do not ask for a confirmation."),
    click.pass_obj,
)


@click.command(cls=ClientCommand)
@_bulk_options
def cancel(session: Session, /, tasks: tuple[str, ...], **options: Any) -> int:
    """Cancel tasks. A running task ends once its handler has handled the cancel.

    TASK is an id, or the name of a task in flight. Instead of tasks, give a filter: then all matching tasks in flight
    are cancelled, after a confirmation on a terminal.
    """
    if _names_tasks(tasks, options):
        return _cancel_each(session, tasks)
    return _act_on_many(session, {"action": "cancel"}, "Cancel", options)


def _cancel_each(session: Session, tasks: tuple[str, ...]) -> int:
    status, cancelled = Exit.DONE, []
    for task in tasks:
        try:
            document = session.client.cancel(find_in_flight(session.client, task))
        except PexecutorError as error:
            report_failure(explain(error))
            status = status or exit_of(error)
        else:
            cancelled.append(document)
    if cancelled:
        session.report.records(cancelled)
    return status


@click.command(cls=ClientCommand)
@_bulk_options
def retry(session: Session, /, tasks: tuple[str, ...], **options: Any) -> int:
    """Submit finished tasks again, without their delay.

    TASK is an id, or the name of a finished task. Instead of tasks, give a filter: then all matching finished tasks
    are submitted, the latest first, after a confirmation on a terminal. Of several tasks with one name, the latest is
    submitted. A task whose name is held is left out. While the queue is full, the command waits for room.
    """
    if _names_tasks(tasks, options):
        ids = [find_latest(session.client, task) for task in tasks]
        return _report(session, session.client.act_on_many({"action": "retry", "ids": ids}))
    return _act_on_many(session, {"action": "retry"}, "Submit", options)


@click.command(cls=ClientCommand)
@click.argument("priority", type=click.IntRange(-PRIORITY_MAX, PRIORITY_MAX))
@_bulk_options
def priority(session: Session, /, priority: int, tasks: tuple[str, ...], **options: Any) -> int:
    """Change the priority of waiting tasks. Tasks of higher priority start first. Write -- before a negative number.

    TASK is an id, or the name of a task in flight. Instead of tasks, give a filter: then all matching tasks that wait
    are changed, after a confirmation on a terminal.
    """
    action = {"action": "priority", "priority": priority}
    if _names_tasks(tasks, options):
        ids = [find_in_flight(session.client, task) for task in tasks]
        return _report(session, session.client.act_on_many({**action, "ids": ids}))
    return _act_on_many(session, action, "Change", options)


def _names_tasks(tasks: tuple[str, ...], options: dict[str, Any]) -> bool:
    """Return whether tasks are named; otherwise a filter is given, which is put into ``options["filter"]``.

    Raises:
        click.UsageError: neither is given, or both.
    """
    options["filter"] = criteria_of(options)
    if tasks and options["filter"]:
        raise click.UsageError("name tasks or give a filter, but not both")
    if not tasks and not options["filter"]:
        raise click.UsageError("name tasks, or give a filter such as --name-prefix")
    if tasks and options["dry_run"]:
        raise click.UsageError("--dry-run is for a filter: the tasks are named")
    return bool(tasks)


def _act_on_many(session: Session, action: Mapping[str, Any], verb: str, options: Mapping[str, Any]) -> int:
    request = {**action, "filter": options["filter"], "max": options["tasks_max"]}
    dry_run = {**request, "dry_run": True}
    if options["dry_run"]:
        return _report(session, session.client.act_on_many(dry_run))

    def question() -> str:
        matched = session.client.act_on_many(dry_run).value["matched"]
        return f"{verb} {counted(matched, 'task')} of {session.client.url}?"

    if not is_confirmed(question, yes=options["yes"]):
        report_failure("nothing was changed: it was not confirmed")
        return Exit.TROUBLE
    return _report(session, session.client.act_on_many(request))


def _report(session: Session, document: Any) -> int:
    session.report.counts(document)
    return Exit.DONE
