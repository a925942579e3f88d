"""What the shell offers when TAB is pressed: the handlers and the tasks that the server has.

The server is asked, for a moment only. Whatever goes wrong, nothing is offered, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from ..errors import PexecutorError

if TYPE_CHECKING:
    from ..client.client import Client

REPLY_SECONDS_MAX: Final = 0.5
OFFERED_MAX: Final = 200


def complete_handler(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of handlers."""
    return _ask(ctx, lambda client: _handlers(client, incomplete))


def complete_task(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids and names of tasks, those in flight first."""
    return _ask(ctx, lambda client: _tasks(client, incomplete))


def _ask(ctx: click.Context, ask: Callable[[Client], list[CompletionItem]]) -> list[CompletionItem]:
    # Imported here: whoever does not press TAB needs no HTTP client to know the commands.
    from ..client.client import Client

    url = ctx.params.get("url")
    if url is None:  # it is not text
        return []
    try:
        with Client(url, ctx.params.get("token"), reply_seconds_max=REPLY_SECONDS_MAX) as client:
            return ask(client)
    except PexecutorError:
        return []


def _handlers(client: Client, incomplete: str) -> list[CompletionItem]:
    known = [document.value for document in client.handlers()]
    return [
        CompletionItem(handler["name"], help=handler["description"])
        for handler in known
        if handler["name"].startswith(incomplete)
    ]


def _tasks(client: Client, incomplete: str) -> list[CompletionItem]:
    """A name with white space in it would be several words to the shell; its id is offered."""
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
