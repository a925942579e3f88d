"""The deliveries of a shared store: each ending step makes them, in steps of a bounded size, and none is made twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import pytest
import trio
from trio.testing import MockClock

from pexecutor import Accepted, Ending, Finished, Outcome, PageRequest, Running, Task
from pexecutor.conformance.schedules import put, step_of
from pexecutor.errors import StoreUnavailableError
from pexecutor.stores import Watcher
from pexecutor.stores.deliveries import Delivery, DeliveryBounds, EndNotice, SkipNotice
from pexecutor.stores.valkey import ValkeyStore
from pexecutor.stores.valkey.protocol import CHANGES_MAX
from pexecutor.stores.valkey.steps import cut
from pexecutor.task import Brings, make_serial

from ...conftest import virtual_now
from .fake import FakeValkey
from .links import KEY, SureLink

ALL: Final = Brings(*(("ops",) for _ in Outcome))


class Node:
    """A node with a target for every outcome of its tasks, and what its store has reported."""

    def __init__(self, link: SureLink, name: str, brings: Callable[[Task], Brings | None], **settings: Any) -> None:
        self.store = ValkeyStore(link, node=name, queue_size=5000, **settings)
        self.changed = 0
        self.ended: list[Delivery] = []
        self.store.watch(
            Watcher(brings=brings, deliveries_changed=self._note_change, deliveries_ended=self.ended.extend)
        )

    def _note_change(self) -> None:
        self.changed += 1

    async def run(self, *tasks: Task) -> list[Running]:
        """Submit tasks, and start all of them."""
        assert all(isinstance(verdict, Accepted) for verdict in await self.store.submit(tasks))
        started = list[Running]()
        while len(started) < len(tasks):
            started += await self.store.claim(len(tasks))
        return started

    async def finish(self, running: Sequence[Running], outcome: Outcome, **fields: Any) -> None:
        settled = await self.store.finish([(one, Ending(outcome, **fields)) for one in running])
        assert None not in settled

    async def page(self, target: str = "ops") -> list[Delivery]:
        found: list[Delivery] = []
        while some := await self.store.deliveries.page(target, 100, found[-1].serial if found else 0):
            found += some
        return found

    async def outcomes(self) -> list[tuple[str, str]]:
        """The name and the outcome in each delivery."""
        notices = [delivery.notice for delivery in await self.page()]
        return [(notice.name, notice.outcome) for notice in notices if isinstance(notice, EndNotice)]


@pytest.fixture
def server() -> FakeValkey:
    return FakeValkey(virtual_now)


@asynccontextmanager
async def a_node(
    server: FakeValkey,
    name: str = "n",
    *,
    brings: Callable[[Task], Brings | None] = lambda _: ALL,
    link: SureLink | None = None,
    **settings: Any,
) -> AsyncIterator[Node]:
    node = Node(link or SureLink(server), name, brings, **settings)
    async with node.store.opened():
        await trio.sleep(0.01)
        yield node


async def test_an_outcome_makes_a_delivery_with_its_facts(server: FakeValkey, autojump_clock: MockClock) -> None:
    async with a_node(server, brings=lambda _: Brings(failed=("ops", "dev"), succeeded=("dev",))) as node:
        [running] = await node.run(Task("a", handler="backup"))
        assert running.rare is not None
        await trio.sleep(2)
        changed_before = node.changed
        await node.finish([running], Outcome.FAILED, error="é" * 8000)
        assert node.changed == changed_before + 1
        [to_ops], [to_dev] = await node.page("ops"), await node.page("dev")
        notice = to_ops.notice
        assert isinstance(notice, EndNotice)
        assert (notice.task_id, notice.name, notice.handler) == (running.id, "a", "backup")
        assert [notice.outcome, notice.finished_at] == ["failed", pytest.approx(virtual_now())]
        assert (notice.submitted_at, notice.started_at) == (running.submitted_at, running.started_at)
        assert notice.error is not None
        assert 8000 < len(notice.error.encode()) <= 8192
        assert to_dev.notice == notice
        assert (to_ops.serial, to_dev.serial) == (running.serial + 1, running.serial + 2), "in one sequence with tasks"
        assert (to_ops.made_at, to_ops.due_at, to_ops.attempts) == (notice.finished_at, notice.finished_at, 0)
        [after] = await node.run(Task("b"))
        assert after.serial == running.serial + 3
        assert node.store.statistics().deliveries == 2


async def test_only_an_outcome_with_targets_makes_deliveries(server: FakeValkey, autojump_clock: MockClock) -> None:
    async with a_node(server, brings=lambda task: ALL if task.name == "told" else None) as node:
        [running] = await node.run(Task("told", retries=1, retry_delay=0))
        await node.store.release([running])
        [running] = await node.store.claim(1)
        await node.finish([running], Outcome.FAILED)
        assert await node.outcomes() == [], "a release and a retry have no outcome"
        [running] = await node.store.claim(1)
        await node.finish([running], Outcome.SUCCEEDED, result=b"12345678901234567890.5")
        await node.finish(await node.run(Task("silent")), Outcome.FAILED)
        assert await node.outcomes() == [("told", "succeeded")]


async def test_each_other_step_that_ends_a_task_makes_them(server: FakeValkey, autojump_clock: MockClock) -> None:
    async with a_node(server) as node:
        [waits] = await node.store.submit([Task("cancelled", delay=1000)])
        assert isinstance(waits, Accepted)
        await node.store.cancel(waits.record.id)
        await node.store.submit([Task("superseded", delay=1000)])
        await node.store.submit([Task("superseded", delay=1000, on_conflict="supersede")])
        [running] = await node.run(Task("released"))
        await node.store.cancel(running.id)
        await node.store.release([running])
        await node.finish(await node.run(Task("unwritable")), Outcome.SUCCEEDED, output=b"x", error="\ud800")
        expected = [("cancelled", "cancelled"), ("superseded", "cancelled"), ("released", "cancelled")]
        assert await node.outcomes() == [*expected, ("unwritable", "failed")]
        assert (await node.page())[0].notice.started_at is None  # type: ignore[union-attr]


async def test_latest_replaces_what_a_task_brings(server: FakeValkey, autojump_clock: MockClock) -> None:
    def brings(task: Task) -> Brings | None:
        return Brings(cancelled=(task.handler,)) if task.handler != "none" else None

    async with a_node(server, brings=brings) as node:
        await node.store.submit([Task("a", delay=1000, handler="first")])
        [verdict] = await node.store.submit([Task("a", delay=1000, handler="second", on_conflict="latest")])
        assert isinstance(verdict, Accepted)
        await node.store.change_waiting(verdict.record.id, priority=7)
        await node.store.cancel(verdict.record.id)
        [delivery] = await node.page("second")
        assert isinstance(delivery.notice, EndNotice)
        assert delivery.notice.handler == "second"
        assert await node.page("first") == []
        await node.store.submit([Task("b", delay=1000, handler="first")])
        [verdict] = await node.store.submit([Task("b", delay=1000, handler="none", on_conflict="latest")])
        assert isinstance(verdict, Accepted)
        assert verdict.record.rare is None
        await node.store.cancel(verdict.record.id)
        assert node.store.statistics().deliveries == 1


async def test_a_new_skip_makes_deliveries(server: FakeValkey, autojump_clock: MockClock) -> None:
    async with a_node(server) as node:
        step = msgspec.structs.replace(step_of(await put(node.store)), targets=("ops", "dev"))
        assert await node.store.schedules.skip(step, "late")
        assert len(await node.page("dev")) == 1
        [delivery] = await node.page("ops")
        assert delivery.notice == SkipNotice("s", "task", "sleep", "late", step.at)
        schedule = await node.store.schedules.get("s")
        step = msgspec.structs.replace(step_of(schedule), targets=("ops",))
        await trio.sleep(3600)
        assert await node.store.schedules.skip(step, "late")
        assert len(await node.page("ops")) == 1, "it is counted in the latest entry"
        step = msgspec.structs.replace(step_of(await node.store.schedules.get("s")), targets=("ops",))
        await trio.sleep(3600)
        [held] = await node.store.submit([Task("task", delay=10_000)])
        assert isinstance(held, Accepted)
        assert await node.store.schedules.fire(step, Task("task"))
        notices = [delivery.notice for delivery in await node.page("ops")]
        assert notices[1] == SkipNotice("s", "task", "sleep", "held", step.at, held.record.id)


async def test_one_due_delivery_of_each_target_is_taken(server: FakeValkey, autojump_clock: MockClock) -> None:
    async with a_node(server, brings=lambda _: Brings(succeeded=("a", "b"))) as node:
        deliveries = node.store.deliveries
        await node.finish(await node.run(Task("1")), Outcome.SUCCEEDED)
        await trio.sleep(1)
        await node.finish(await node.run(Task("2")), Outcome.SUCCEEDED)
        due = await deliveries.take(["a", "b", "a", "none"], 60)
        assert [one.target for one in due.deliveries] == ["a", "b"]
        assert {one.notice.name for one in due.deliveries} == {"1"}
        assert due.next_due_at is not None
        assert due.next_due_at <= due.now == pytest.approx(virtual_now()), "the second task's are due already"
        again = await deliveries.take(["a", "b"], 30)
        assert {one.notice.name for one in again.deliveries} == {"2"}
        nothing = await deliveries.take(["a"], 10)
        assert nothing.deliveries == []
        assert nothing.next_due_at == pytest.approx(virtual_now() + 30)
        await deliveries.put_off(due.deliveries[0], 5)
        await trio.sleep(5)
        [once_more] = (await deliveries.take(["a"], 60)).deliveries
        assert (once_more.serial, once_more.attempts) == (due.deliveries[0].serial, 1)
        await deliveries.end([once_more, *due.deliveries, *again.deliveries])
        await deliveries.put_off(once_more, 0)
        assert (await deliveries.take(["a", "b"], 0)).next_due_at is None
        await trio.sleep(1.1)
        assert node.store.statistics().deliveries == 0
        assert not any(server.data[f"{KEY}:{name}"] for name in ("delivery", "deliveries", "deliveries:due"))


async def test_targets_are_not_mixed_up(server: FakeValkey, autojump_clock: MockClock) -> None:
    targets = ("a", "a:", "ab", "b", "00001:a", "a0000000000001", "é" * 100)
    async with a_node(server, brings=lambda _: Brings(succeeded=targets)) as node:
        await node.finish(await node.run(Task("1"), Task("2")), Outcome.SUCCEEDED)
        for target in targets:
            assert [one.target for one in await node.page(target)] == [target] * 2
            [taken] = (await node.store.deliveries.take([target], 60)).deliveries
            assert taken.target == target


async def test_the_oldest_go_when_there_are_too_many(server: FakeValkey, autojump_clock: MockClock) -> None:
    async with a_node(server, delivery_bounds=DeliveryBounds(3, 100.0)) as node:
        await node.finish(await node.run(Task("1"), Task("2")), Outcome.SUCCEEDED)
        assert node.ended == []
        await trio.sleep(1)
        await node.finish(await node.run(Task("3"), Task("4"), Task("5")), Outcome.SUCCEEDED)
        assert [one.notice.name for one in node.ended] == ["1", "2"]
        assert [name for name, _ in await node.outcomes()] == ["3", "4", "5"]
        assert node.store.statistics().deliveries == 3


async def test_old_ones_end(server: FakeValkey, autojump_clock: MockClock) -> None:
    async with a_node(server, delivery_bounds=DeliveryBounds(10, 100.0)) as node:
        nothing = await node.store.deliveries.end_old(10)
        assert (nothing.ended, nothing.next_at) == ([], None)
        await node.finish(await node.run(*[Task(str(number)) for number in range(3)]), Outcome.SUCCEEDED)
        made_at = virtual_now()
        await trio.sleep(50)
        await node.finish(await node.run(Task("later")), Outcome.SUCCEEDED)
        assert (await node.store.deliveries.end_old(10)).next_at == pytest.approx(made_at + 100)
        await trio.sleep(50.001)
        first = await node.store.deliveries.end_old(2)
        assert [one.notice.name for one in first.ended] == ["0", "1"]
        second = await node.store.deliveries.end_old(2)
        assert [one.notice.name for one in second.ended] == ["2"]
        assert second.next_at == pytest.approx(made_at + 150)


class LosesAnswers(SureLink):
    """Calls the functions twice, as a link does whose first answer is lost."""

    async def call(self, verb: str, *arguments: Any) -> bytes:
        reply = await super().call(verb, *arguments)
        return reply if verb == "beat" else await super().call(verb, *arguments)


async def test_a_lost_answer_makes_no_other_delivery(server: FakeValkey, autojump_clock: MockClock) -> None:
    bounds, link = DeliveryBounds(10, 100.0), LosesAnswers(server)
    async with a_node(server) as other, a_node(server, "losing", link=link, delivery_bounds=bounds) as node:
        await node.finish(await node.run(Task("1"), Task("2")), Outcome.FAILED)
        [verdict] = await node.store.submit([Task("3", delay=1000)])
        assert isinstance(verdict, Accepted)
        await node.store.cancel(verdict.record.id)
        assert await other.outcomes() == [("1", "failed"), ("2", "failed"), ("3", "cancelled")]
        [taken] = (await node.store.deliveries.take(["ops"], 60)).deliveries
        await node.store.deliveries.put_off(taken, 0.5)
        assert (await other.page())[0].attempts == 1
        await trio.sleep(100)
        assert len((await node.store.deliveries.end_old(2)).ended) == 2
        assert len(await other.page()) == 1


async def test_other_nodes_are_told_with_their_beats(server: FakeValkey, autojump_clock: MockClock) -> None:
    async with a_node(server, "idle") as idle, a_node(server) as node:
        await trio.sleep(5)
        assert idle.changed == 0, "there are none"
        await node.finish(await node.run(Task("1")), Outcome.FAILED)
        await trio.sleep(5.5)
        assert idle.changed == 5


# Steps


def test_a_list_is_cut_where_a_step_is_full() -> None:
    assert list(cut([])) == []
    assert list(cut([1] * CHANGES_MAX)) == [slice(0, CHANGES_MAX)]
    assert list(cut([CHANGES_MAX, 1, CHANGES_MAX + 7, 2, 3])) == [slice(0, 1), slice(1, 2), slice(2, 3), slice(3, 5)]


class CountsChanges(SureLink):
    """Counts what each call changes: records and deliveries."""

    def __init__(self, server: FakeValkey) -> None:
        super().__init__(server)
        self.most = 0
        self.calls: list[str] = []

    async def call(self, verb: str, *arguments: Any) -> bytes:
        before = self._entries()
        reply = await super().call(verb, *arguments)
        changed = len(dict(self._entries().items() - before.items()))
        if verb not in ("submit", "claim"):
            self.most = max(self.most, changed)
        self.calls.append(verb)
        return reply

    def _entries(self) -> dict[tuple[str, str], str]:
        keys = ("record", "delivery")
        return {(key, field): text for key in keys for field, text in self._server.data.get(f"{KEY}:{key}", {}).items()}


async def test_a_finish_of_many_is_cut(server: FakeValkey, autojump_clock: MockClock) -> None:
    link = CountsChanges(server)
    targets = Brings(succeeded=tuple(f"target-{number}" for number in range(32)))
    async with a_node(server, brings=lambda _: targets, link=link) as node:
        running = await node.run(*[Task(f"task-{number}") for number in range(40)])
        await node.finish(running, Outcome.SUCCEEDED)
        assert len(server.data[f"{KEY}:delivery"]) == 40 * 32
        assert 400 < link.most <= CHANGES_MAX
        assert link.calls.count("finish") == 3


async def test_a_dead_node_is_removed_with_its_last_task(server: FakeValkey, autojump_clock: MockClock) -> None:
    link = CountsChanges(server)
    targets = Brings(abandoned=tuple(f"target-{number}" for number in range(10)))
    async with a_node(server, "watches", brings=lambda _: targets, link=link) as node:
        async with a_node(server, "dies", brings=lambda _: targets) as dying:
            await dying.run(*[Task(f"task-{number}", on_crash="fail") for number in range(100)])
            dying.store._link.call = _refuse  # type: ignore[method-assign]
        seen = list[int]()
        while "dies" in server.data[f"{KEY}:nodes"]:
            await trio.sleep(0.25)
            seen.append(len(server.data.get(f"{KEY}:delivery", {})))
        assert set(seen) == {0, 450, 900, 1000}, "45 endings fill a step, and none is cut"
        assert seen[-1] == 1000
        assert link.most <= CHANGES_MAX
        records = (await node.store.page(PageRequest(limit=1000))).records
        assert {record.outcome for record in records if isinstance(record, Finished)} == {Outcome.ABANDONED}


async def test_a_node_that_is_partly_reaped_compares(server: FakeValkey, autojump_clock: MockClock) -> None:
    """A node that comes back in the middle keeps what is left, and loses the rest."""
    targets = Brings(abandoned=tuple(f"target-{number}" for number in range(10)))
    lost = list[int]()
    async with a_node(server, "watches", brings=lambda _: targets), a_node(server, "cut off") as node:
        node.store.watch(Watcher(brings=lambda _: targets, lost=lost.append))
        running = await node.run(*[Task(f"task-{number}", on_crash="fail") for number in range(100)])
        call, node.store._link.call = node.store._link.call, _refuse  # type: ignore[method-assign]
        server.data[f"{KEY}:nodes"]["cut off"] = virtual_now() - 1
        await trio.sleep(1.5)
        node.store._link.call = call  # type: ignore[method-assign]
        await trio.sleep(5)
        made = len(server.data[f"{KEY}:delivery"])
        assert len(lost) == made // 10 == 45
        await node.finish([one for one in running if one.serial not in lost], Outcome.SUCCEEDED)
        assert len(server.data[f"{KEY}:delivery"]) == made


async def _refuse(verb: str, *arguments: Any) -> bytes:
    await trio.lowlevel.checkpoint()
    raise StoreUnavailableError("the link is cut")


def test_a_delivery_has_an_id() -> None:
    assert Delivery(make_serial(1, 7), "ops", 0, 0, SkipNotice("s", "n", "h", "late", 0)).id == "000001-7"
