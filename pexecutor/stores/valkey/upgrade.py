"""The upgrade of a queue from an earlier version, some records per call (``functions/upgrade.lua``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from ...errors import UnusableStoreError, counted
from .protocol import LAYOUT
from .queue_rows import UpgradeStep

NODES_SHOWN_MAX: Final = 3


async def upgrade(call: Callable[[str], Awaitable[Any]]) -> None:
    """Convert a queue to the layout of this version. A queue that has this layout is not changed.

    Parameters:
        call: calls a function on the server.

    Raises:
        UnusableStoreError: nodes of an earlier version use the queue.
    """
    more = True
    while more:
        step: UpgradeStep = await call("upgrade")
        nodes, more = step.nodes, step.more
        if nodes:
            shown = ", ".join(nodes[:NODES_SHOWN_MAX])
            use = counted(len(nodes), "node of an earlier version uses", "nodes of an earlier version use")
            raise UnusableStoreError(
                f"{use} this queue ({shown}), and its stored form has to be "
                "converted: stop them, or wait until the leases of killed nodes have ended"
            )


def check_layout(layout: str) -> None:
    """Raise ``UnusableStoreError`` unless the queue has the layout of this version."""
    if layout != LAYOUT:
        raise UnusableStoreError(
            f"the queue has layout {layout}, and this version uses layout {LAYOUT}: "
            "use the version that wrote the queue, or another --queue"
        )
