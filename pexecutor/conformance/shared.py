"""A subject for a store that many processes share: its queues on the server are removed at the end."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import trio

from ..errors import StoreUnavailableError
from ..limits.times import LEASE_SECONDS_MIN
from ..stores import Store
from ..stores.address import ValkeyAddress
from ..stores.valkey.client import ValkeyLink
from ..stores.valkey.server_checks import SETTINGS, Durability, settings_warnings
from ..stores.valkey.store import ValkeyStore
from .guarantee import Need

_RESTART: Final = (
    "Whether tasks survive a restart, a power cut or a failover of the server depends on its settings and was not "
    "tried; the death of nodes was tried."
)


class ValkeySubject:
    """A subject whose stores are queues on a server.

    Parameters:
        address: the server.
        durability: how durable a change is when it is acknowledged.
        make: makes a node's store from its settings and its link.
    """

    lacks: Mapping[Need, str] = {}

    def __init__(
        self,
        address: ValkeyAddress,
        *,
        durability: Durability = "aof",
        make: Callable[..., Store] = ValkeyStore,
    ) -> None:
        self.shown: str = address.shown
        self.unproved: list[str] = []
        self._address = address
        self._durability: Durability = durability
        self._make = make
        self._queue = f"conformance-{secrets.token_hex(6)}"
        self._places: list[ValkeyPlace] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect to the server; at the end, remove the queues.

        Raises:
            UnusableStoreError: the server cannot be reached, or lacks the requested durability.
        """
        link = ValkeyLink(self._address, self._queue)
        async with link.opened(lambda _: None):
            self.unproved = [_RESTART, *settings_warnings(await link.settings(*SETTINGS), self._durability)]
            try:
                yield
            finally:
                with trio.move_on_after(10, shield=True):
                    await link.remove()

    def place(self) -> ValkeyPlace:
        """Return a place with a new queue. All queues share one hash tag, so they are on one node of a cluster."""
        place = ValkeyPlace(
            self._address, f"{self._queue}}}-{len(self._places)}", flushed=self._durability == "fsync", make=self._make
        )
        self._places.append(place)
        return place


class ValkeyPlace:
    """A queue, with a switch that cuts the connection of each of its nodes."""

    def __init__(
        self,
        address: ValkeyAddress,
        queue: str,
        *,
        flushed: bool = False,
        make: Callable[..., Store] = ValkeyStore,
    ) -> None:
        self._address = address
        self._queue = queue
        self._flushed = flushed
        self._make = make
        self._links: list[tuple[Store, _LinkWithASwitch]] = []

    def open(self, **settings: Any) -> AbstractAsyncContextManager[Store]:
        link = _LinkWithASwitch(ValkeyLink(self._address, self._queue, flushed=self._flushed))
        node = f"{self._queue}-node-{len(self._links)}"
        store = self._make(link=link, node=node, lease_seconds=LEASE_SECONDS_MIN, **settings)
        self._links.append((store, link))
        return _opened(store)

    async def cut(self, store: Store) -> None:
        await trio.lowlevel.checkpoint()
        self._link_of(store).is_cut = True

    async def mend(self, store: Store) -> None:
        await trio.lowlevel.checkpoint()
        link = self._link_of(store)
        link.is_cut = False
        link.hear("")

    def _link_of(self, store: Store) -> _LinkWithASwitch:
        [link] = [link for known, link in self._links if known is store]
        return link


class _LinkWithASwitch:
    """A link that can be cut, as if the node were dead or the network down."""

    def __init__(self, link: ValkeyLink) -> None:
        self.is_cut = False
        self.hear: Callable[[str], None] = lambda _: None
        self._link = link

    @property
    def trouble(self) -> str | None:
        return "the link is cut" if self.is_cut else self._link.trouble

    @asynccontextmanager
    async def opened(self, hear: Callable[[str], None]) -> AsyncIterator[None]:
        self.hear = hear
        async with self._link.opened(self._hear_unless_cut):
            yield

    def _hear_unless_cut(self, message: str) -> None:
        if not self.is_cut:
            self.hear(message)

    async def call(self, verb: str, *arguments: Any) -> bytes:
        if self.is_cut:
            await trio.lowlevel.checkpoint()
            raise StoreUnavailableError("the link is cut")
        return await self._link.call(verb, *arguments)

    async def settings(self, *names: str) -> Mapping[str, str]:
        return await self._link.settings(*names)

    async def flush(self) -> None:
        await self._link.flush()


@asynccontextmanager
async def _opened(store: Store) -> AsyncIterator[Store]:
    async with store.opened():
        yield store
