"""Tests of ``GET /nodes``: the processes that share the store."""

from __future__ import annotations

from pexecutor.stores import Node, NodeState
from pexecutor.web.api.ops import NodeView, node_view

from ..conftest import Served


async def test_nobody_shares_a_local_store(served: Served) -> None:
    reply = await served.client.get("/nodes")
    assert (reply.status_code, reply.json()) == (200, [])


def test_a_node_is_shown_with_its_times() -> None:
    node = Node("host-1-a", 1_800_000_000.25, 1_800_000_015.25, NodeState(pool_size=4, busy=3, draining=True))
    assert node_view(node) == NodeView(
        "host-1-a", "2027-01-15T08:00:00.250Z", "2027-01-15T08:00:15.250Z", pool_size=4, busy=3, draining=True
    )
