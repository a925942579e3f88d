"""``deliveries_of``: the deliveries of a store, or none as long as the store does not keep deliveries."""
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from ..stores import Store
from ..stores.deliveries import Delivery, DeliveryStore, DueDeliveries, OldDeliveries


class NothingKept:
    """The deliveries of a store that keeps none."""

    async def take(self, targets: Sequence[str], seconds: float) -> DueDeliveries:
        """Return no deliveries."""
        await trio.lowlevel.checkpoint()
        return DueDeliveries(0.0, [], None)

    async def put_off(self, delivery: Delivery, seconds: float) -> None:
        """Do nothing."""
        await trio.lowlevel.checkpoint()

    async def end(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing."""
        await trio.lowlevel.checkpoint()

    async def end_old(self, limit: int) -> OldDeliveries:
        """Return no deliveries."""
        await trio.lowlevel.checkpoint()
        return OldDeliveries(0.0, [], None)

    async def page(self, target: str, limit: int, after: int = 0) -> list[Delivery]:
        """Return no deliveries."""
        await trio.lowlevel.checkpoint()
        return []


NOTHING_KEPT: Final = NothingKept()


def deliveries_of(store: Store) -> DeliveryStore:
    """Return the deliveries of a store."""
    return getattr(store, "deliveries", NOTHING_KEPT)
