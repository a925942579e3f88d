"""A store of deliveries in memory, deliveries to put into it, and receivers that a test controls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import trio

from pexecutor import StoreUnavailableError
from pexecutor.notifications.sending import DELIVERED, Send, SendResult
from pexecutor.notifications.settings import Address, Target
from pexecutor.stores.deliveries import (
    DELIVERY_SECONDS_MAX,
    Delivery,
    DueDeliveries,
    EndNotice,
    OldDeliveries,
    SkipNotice,
)
from pexecutor.task import make_serial

from ..conftest import EPOCH, virtual_now

TAG: Final = 0xA3F09C

ENDED: Final = EndNotice(
    task_id="a3f09c-42",
    name="nightly",
    handler="dump",
    outcome="failed",
    submitted_at=EPOCH,
    started_at=EPOCH + 1,
    finished_at=EPOCH + 2.5,
    error="exit code 1",
)
SKIPPED: Final = SkipNotice("s", "nightly", "dump", "held", EPOCH, "a3f09c-7")


def delivery(number: int = 43, target: str = "ops", **fields: Any) -> Delivery:
    settings: dict[str, Any] = {"made_at": EPOCH + 3, "due_at": EPOCH + 3, "notice": ENDED}
    return Delivery(make_serial(TAG, number), target, **(settings | fields))


def target(name: str = "ops", **fields: Any) -> Target:
    settings: dict[str, Any] = {"address": Address("https", f"{name}.example.org", 443, "/in?key=secret")}
    return Target(name, **(settings | fields))


class FakeDeliveries:
    """A store of deliveries, as the contract describes it."""

    def __init__(self) -> None:
        self.kept: dict[int, Delivery] = {}
        self.is_down = False
        self.changed: Callable[[], None] = lambda: None

    def make(self, *names: str) -> None:
        """Make a delivery to each target."""
        now = virtual_now()
        for name in names:
            made = delivery(len(self.kept) + 1, name, made_at=now, due_at=now)
            self.kept[made.serial] = made
        self.changed()

    async def _step(self) -> float:
        await trio.lowlevel.checkpoint()
        if self.is_down:
            raise StoreUnavailableError("the disk is full")
        return virtual_now()

    async def take(self, targets: Sequence[str], seconds: float) -> DueDeliveries:
        now = await self._step()
        taken = []
        for name in targets:
            due = [one for one in self.kept.values() if one.target == name and one.due_at <= now]
            taken += sorted(due, key=lambda one: (one.due_at, one.serial))[:1]
        for one in taken:
            self.kept[one.serial] = msgspec.structs.replace(one, due_at=now + seconds)
        waiting = [one.due_at for one in self.kept.values() if one.target in targets]
        return DueDeliveries(now, taken, min(waiting, default=None))

    async def put_off(self, one: Delivery, seconds: float) -> None:
        now = await self._step()
        if (kept := self.kept.get(one.serial)) is not None:
            attempts = kept.attempts + 1
            self.kept[one.serial] = msgspec.structs.replace(kept, attempts=attempts, due_at=now + seconds)
            self.changed()

    async def end(self, deliveries: Sequence[Delivery]) -> None:
        await self._step()
        for one in deliveries:
            self.kept.pop(one.serial, None)

    async def end_old(self, limit: int) -> OldDeliveries:
        now = await self._step()
        old = sorted((one for one in self.kept.values() if one.made_at + DELIVERY_SECONDS_MAX <= now), key=_age)[:limit]
        for one in old:
            del self.kept[one.serial]
        ages = [one.made_at + DELIVERY_SECONDS_MAX for one in self.kept.values()]
        return OldDeliveries(now, old, min(ages, default=None))

    async def page(self, name: str, limit: int, after: int = 0) -> list[Delivery]:
        await self._step()
        return [one for serial, one in sorted(self.kept.items()) if one.target == name and serial > after][:limit]


def _age(one: Delivery) -> float:
    return one.made_at


class Receivers:
    """The receivers of all targets: what each does is a function of the test; by default it accepts."""

    def __init__(self, **does: Callable[[Delivery], Awaitable[SendResult]]) -> None:
        self.does = does
        self.attempts: list[tuple[str, float]] = []
        """The target and the virtual time of each attempt."""
        self.is_open = False

    def times(self, name: str) -> list[float]:
        return [at for target_, at in self.attempts if target_ == name]

    @asynccontextmanager
    async def opened(self, targets: Mapping[str, Target]) -> AsyncIterator[Send]:
        self.is_open = True
        try:
            yield self._send
        finally:
            self.is_open = False

    async def _send(self, one: Delivery) -> SendResult:
        self.attempts.append((one.target, trio.current_time()))
        if one.target in self.does:
            return await self.does[one.target](one)
        await trio.lowlevel.checkpoint()
        return DELIVERED


async def stall(one: Delivery) -> SendResult:
    """Do not reply: the attempt ends when its time is over."""
    await trio.sleep(10)
    return SendResult("failed", "did not reply")


def down_for(attempts: int) -> Callable[[Delivery], Awaitable[SendResult]]:
    """A receiver that refuses its first attempts."""

    async def refuse(one: Delivery) -> SendResult:
        await trio.lowlevel.checkpoint()
        return SendResult("failed", "cannot connect") if one.attempts < attempts else DELIVERED

    return refuse


async def break_down(one: Delivery) -> SendResult:
    """Be a sender with a fault."""
    await trio.lowlevel.checkpoint()
    raise LookupError("https://ops.example.org/in?key=secret")
