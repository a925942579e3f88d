"""Shell completion of handlers, schedules and tasks.

The candidates come from the server, within ``REPLY_SECONDS_MAX``. On any failure there are no candidates and no
message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from ..errors import PexecutorError
from .schedule_text import times_of

if TYPE_CHECKING:
    from ..client.documents import DocumentClient

REPLY_SECONDS_MAX: Final = 0.5
OFFERED_MAX: Final = 200


def complete_handler(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the handlers whose names begin with ``incomplete``."""
    return _ask(ctx, lambda client: _handlers(client, incomplete))


def complete_schedule(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the schedules whose names begin with ``incomplete``."""
    return _ask(ctx, lambda client: _schedules(client, incomplete))


def complete_task(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the tasks whose ids or names begin with ``incomplete``, tasks in flight first."""
    return _ask(ctx, lambda client: _tasks(client, incomplete))


def _ask(ctx: click.Context, ask: Callable[[DocumentClient], list[CompletionItem]]) -> list[CompletionItem]:
    # Imported here, because only a completion needs the HTTP client to list commands.
    from ..client.documents import DocumentClient

    url = ctx.params.get("url")
    if url is None:  # the option is not valid text
        return []
    try:
        with DocumentClient(url, ctx.params.get("token"), reply_seconds_max=REPLY_SECONDS_MAX) as client:
            return ask(client)
    except PexecutorError:
        return []


def _handlers(client: DocumentClient, incomplete: str) -> list[CompletionItem]:
    known = [document.value for document in client.handlers()]
    return [
        CompletionItem(handler["name"], help=handler["description"])
        for handler in known
        if handler["name"].startswith(incomplete)
    ]


def _schedules(client: DocumentClient, incomplete: str) -> list[CompletionItem]:
    """Return names; a name that contains white space is left out, as the shell would read several words."""
    [page, *_] = client.schedules(schedules_max=OFFERED_MAX)
    return [
        CompletionItem(schedule["name"], help=times_of(schedule))
        for schedule in (document.value for document in page)
        if schedule["name"].startswith(incomplete) and len(schedule["name"].split()) == 1
    ]


def _tasks(client: DocumentClient, incomplete: str) -> list[CompletionItem]:
    """Return ids and names; a name that contains white space is left out, as the shell would read several words."""
    offered: dict[str, str] = {}
    for page in client.pages(records_max=OFFERED_MAX):
        for record in (document.value for document in page):
            offered.setdefault(record["name"], record["state"])
            offered[record["id"]] = f"{record['name']}, {record['state']}"
    return [
        CompletionItem(word, help=about)
        for word, about in offered.items()
        if word.startswith(incomplete) and len(word.split()) == 1
    ]
