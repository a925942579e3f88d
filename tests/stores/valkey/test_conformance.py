"""A shared store, on a real server, keeps each promise of the contract."""

from __future__ import annotations

import pytest

from pexecutor.conformance import GUARANTEES, Guarantee, Standing
from pexecutor.conformance.shared import ValkeySubject
from pexecutor.conformance.trial import try_one
from pexecutor.stores import Watcher
from pexecutor.stores.address import ValkeyAddress, parse_store
from pexecutor.stores.valkey import ValkeyStore

from . import broken_schedules
from .server import VALKEY, ValkeyServer


def address_of(server: ValkeyServer) -> ValkeyAddress:
    address = parse_store(server.url)
    assert isinstance(address, ValkeyAddress)
    return address


@pytest.mark.parametrize("guarantee", GUARANTEES, ids=lambda guarantee: guarantee.name)
async def test_on_a_server(guarantee: Guarantee, server: ValkeyServer) -> None:
    subject = ValkeySubject(address_of(server))
    async with subject.opened():
        finding = await try_one(subject, guarantee)
    assert finding.standing is Standing.HOLDS, finding.reason
    assert server.command("DBSIZE") == b":0\r\n", "nothing is left of it"
    assert "was not tried" in subject.unproved[0]


class HearsNoCancel(ValkeyStore):
    def watch(self, watcher: Watcher) -> None:
        super().watch(watcher._replace(cancel=lambda _: None))


class KeepsWhatItLost(ValkeyStore):
    def watch(self, watcher: Watcher) -> None:
        super().watch(watcher._replace(lost=lambda _: None))


BROKEN: dict[type[ValkeyStore], str] = {
    HearsNoCancel: "cancels_are_told",
    KeepsWhatItLost: "losses_are_told",
}


@pytest.mark.parametrize("program", [VALKEY], ids=["valkey"], scope="module")
@pytest.mark.parametrize("store", BROKEN, ids=lambda store: store.__name__)
async def test_a_node_that_breaks_a_promise_is_told(store: type[ValkeyStore], server: ValkeyServer) -> None:
    [guarantee] = [guarantee for guarantee in GUARANTEES if guarantee.name == BROKEN[store]]
    subject = ValkeySubject(address_of(server), make=store)
    async with subject.opened():
        finding = await try_one(subject, guarantee)
    assert finding.standing is Standing.BROKEN


@pytest.mark.parametrize("program", [VALKEY], ids=["valkey"], scope="module")
@pytest.mark.parametrize("bug", broken_schedules.BROKEN)
async def test_a_node_that_mistakes_schedules_is_told(
    bug: str, server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, name = broken_schedules.BROKEN[bug]
    plant(monkeypatch)
    [guarantee] = [guarantee for guarantee in GUARANTEES if guarantee.name == name]
    subject = ValkeySubject(address_of(server))
    async with subject.opened():
        finding = await try_one(subject, guarantee)
    assert finding.standing is Standing.BROKEN
