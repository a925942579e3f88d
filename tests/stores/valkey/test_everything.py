"""Everything that a handler may do, on a shared queue."""

from __future__ import annotations

import secrets

from pexecutor.stores.valkey import ValkeyStore
from pexecutor.stores.valkey.client import ValkeyLink

from ...everything import try_everything
from .node import address_of
from .server import ValkeyServer


async def test_everything_that_a_handler_may_do_on_a_shared_queue(server: ValkeyServer) -> None:
    queue = f"test-{secrets.token_hex(4)}"

    def make_store() -> ValkeyStore:
        link = ValkeyLink(address_of(server.url), queue)
        return ValkeyStore(link, node=f"node-{secrets.token_hex(3)}", queue_size=1000, durability="aof")

    await try_everything(make_store, keeps=True)
