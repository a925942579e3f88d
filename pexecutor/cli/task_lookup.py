"""Find the task that an argument means: by its id, or by its name if the name is unambiguous."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RefusedError
from ..task import parse_task_id
from .exit_status import NoSuchTaskError

if TYPE_CHECKING:
    from ..client.documents import DocumentClient

_SHOWN_MAX = 3
"""Enough for the holder of a name, the task that follows it, and the last finished task."""


def find_in_flight(client: DocumentClient, task: str) -> str:
    """Return the id of the task in flight with this id or name.

    Raises:
        NoSuchTaskError: no task in flight has this name, or two have.
    """
    return _find(client, task, or_ended=False)


def find_latest(client: DocumentClient, task: str) -> str:
    """Return the id of the task with this id or name: of the task in flight, or else of the last finished task.

    Raises:
        NoSuchTaskError: no task has this name, or two tasks in flight have.
    """
    return _find(client, task, or_ended=True)


def _find(client: DocumentClient, task: str, *, or_ended: bool) -> str:
    if parse_task_id(task) is not None and _is_id(client, task):
        return task
    listed = [document.value for page in client.pages(name=task, records_max=_SHOWN_MAX) for document in page]
    in_flight = [record for record in listed if record["state"] != "finished"]
    if len(in_flight) > 1:
        ids = ", ".join(f"{record['id']} ({record['state']})" for record in in_flight)
        raise NoSuchTaskError(f"several tasks have the name {task!r}, use one of these ids: {ids}")
    if in_flight:
        return str(in_flight[0]["id"])
    if listed and or_ended:
        return str(listed[0]["id"])
    raise NoSuchTaskError(f"no task {'has' if or_ended else 'in flight has'} the name {task!r}")


def _is_id(client: DocumentClient, task: str) -> bool:
    """Return whether the server knows a task with this id: a name may look like an id."""
    try:
        client.show(task)
    except RefusedError as error:
        if error.status != 404:
            raise
        return False
    return True
