"""``POST /reload``: read the settings again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ...observe.events import Reloaded
from .reply import Reply, json_reply
from .request import IncomingRequest

Reload = Callable[[], Awaitable[Reloaded]]
"""Reads the settings again and applies them; returns what has changed."""


async def _nothing_to_read() -> Reloaded:
    return Reloaded()


class ReloadAnswers:
    """Answers requests to reload.

    Until ``use`` is called, as in an app that another program has made from an executor, there are no settings to read.
    """

    def __init__(self) -> None:
        # Only use() replaces it.
        self._reload: Reload = _nothing_to_read

    def use(self, reload: Reload) -> None:
        """Reload with this function from now on."""
        self._reload = reload

    async def reload(self, _: IncomingRequest) -> Reply:
        """Read the settings again, and show what has changed."""
        return json_reply(await self._reload())
