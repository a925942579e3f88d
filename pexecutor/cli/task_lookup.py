"""Which task is meant: by its id, or by its name where there is only one that goes by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RefusedError
from ..task import parse_task_id
from .exit_status import NoSuchTaskError

if TYPE_CHECKING:
    from ..client.client import Client

_SHOWN_MAX = 3
"""A holder, one that follows it, and the latest that has ended."""


def find_in_flight(client: Client, task: str) -> str:
    """The id of the task in flight that is meant.

    Raises:
        NoSuchTaskError: none in flight has this name, or two have.
    """
    return _find(client, task, or_ended=False)


def find_latest(client: Client, task: str) -> str:
    """The id of the task that is meant; of a name that none in flight has, the one that ended last.

    Raises:
        NoSuchTaskError: none has this name, or two in flight have.
    """
    return _find(client, task, or_ended=True)


def _find(client: Client, task: str, *, or_ended: bool) -> str:
    if parse_task_id(task) is not None and _is_id(client, task):
        return task
    listed = [document.value for page in client.pages(name=task, records_max=_SHOWN_MAX) for document in page]
    in_flight = [record for record in listed if record["state"] != "finished"]
    if len(in_flight) > 1:
        ids = ", ".join(f"{record['id']} ({record['state']})" for record in in_flight)
        raise NoSuchTaskError(f"more than one task is called {task!r}, say which by its id: {ids}")
    if in_flight:
        return str(in_flight[0]["id"])
    if listed and or_ended:
        return str(listed[0]["id"])
    raise NoSuchTaskError(f"no task {'is called' if or_ended else 'in flight is called'} {task!r}")


def _is_id(client: Client, task: str) -> bool:
    """A name may look like an id, so the server is asked."""
    try:
        client.show(task)
    except RefusedError as error:
        if error.status != 404:
            raise
        return False
    return True
