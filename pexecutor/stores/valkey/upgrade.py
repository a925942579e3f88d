"""The upgrade of a queue that an earlier version has made, some records a call (``functions/upgrade.lua``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from ...errors import UnusableStoreError

LAYOUT: Final = "2"
NODES_SHOWN_MAX: Final = 3


async def upgrade(call: Callable[[str], Awaitable[Any]]) -> None:
    """Bring a queue to the form that this version reads; nothing to do for one that has it.

    Parameters:
        call: calls a function on the server.

    Raises:
        UnusableStoreError: nodes of an earlier version are at work.
    """
    more = True
    while more:
        nodes, more = await call("upgrade")
        if nodes:
            shown = ", ".join(nodes[:NODES_SHOWN_MAX])
            raise UnusableStoreError(
                f"{len(nodes)} nodes of an earlier version use this queue ({shown}), and its stored form has to be "
                "converted: stop them; one that was killed is forgotten when its lease is over"
            )


def check_layout(layout: str) -> None:
    """Raise ``UnusableStoreError`` unless the queue has the form that this version reads and writes."""
    if layout != LAYOUT:
        raise UnusableStoreError(
            f"the queue has layout {layout} and this program writes layout {LAYOUT}: "
            "use the version that made it, or another --queue"
        )
