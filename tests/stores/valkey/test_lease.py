"""What a node holds: a task that was lost and claimed once more is another one."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from pexecutor.errors import StoreUnavailableError
from pexecutor.limits.times import REFUSED_SECONDS
from pexecutor.stores.valkey.lease import Holdings, Lease
from pexecutor.stores.valkey.wire import Beat

NUMBER = 7


def test_a_late_answer_about_a_lost_task_leaves_it_alone_when_it_is_claimed_once_more() -> None:
    holdings = Holdings()
    holdings.tokens[NUMBER] = 1
    holdings.settling.add((NUMBER, 1))
    holdings.tokens[NUMBER] = 2

    assert holdings.as_arguments() == [[(NUMBER, 2)], [(NUMBER, 1)], 0]
    holdings.settled([(NUMBER, 1)])
    assert holdings.as_arguments() == [[(NUMBER, 2)], [], 0]


def test_a_task_that_is_being_settled_is_not_lost() -> None:
    holdings = Holdings()
    holdings.tokens[NUMBER] = 1
    holdings.settling.add((NUMBER, 1))

    assert not holdings.lose(NUMBER)
    holdings.settled([(NUMBER, 1)])
    assert not holdings.lose(NUMBER)


async def test_what_is_held_is_lost_in_time_although_the_callback_raises(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    holdings = Holdings()
    lost: list[int] = []
    beats = iter([Beat(extended=True, lost=[], cancelled=[])])

    async def beat(_: object) -> Beat:
        await trio.lowlevel.checkpoint()
        for one in beats:
            holdings.tokens[NUMBER] = 1
            return one
        await trio.sleep(1)
        raise StoreUnavailableError("the server is not there")

    def log_that_fails(_: int) -> None:
        raise OSError("no space left on the device")

    lease = Lease(3, holdings, beat=beat, lost=lost.append, cancelled=lost.append, given_up=log_that_fails)
    nursery.start_soon(lease.keep)
    await trio.sleep(2.5)
    assert lost == [NUMBER]
    nursery.cancel_scope.cancel()


async def test_a_server_that_refuses_at_once_is_not_asked_without_a_pause(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    beats = 0

    async def beat(_: object) -> Beat:
        nonlocal beats
        beats += 1
        await trio.lowlevel.checkpoint()
        if beats == 1:
            return Beat(extended=True, lost=[], cancelled=[])
        raise StoreUnavailableError("the server is out of memory")

    lease = Lease(30, Holdings(), beat=beat, lost=lambda _: None, cancelled=lambda _: None)
    nursery.start_soon(lease.keep)
    with trio.fail_after(100):
        await trio.sleep(10)

    assert 10 <= beats <= 1 + 10 / REFUSED_SECONDS
    nursery.cancel_scope.cancel()


async def test_nothing_is_claimed_while_the_server_compares(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A call of a broken connection may still be executed, so a claim could start a task beside its lost run."""
    may_claim: list[bool] = []

    async def beat(holdings: object) -> Beat:
        await trio.sleep(0.5)
        if holdings:
            may_claim.append(lease.is_good(0))
        return Beat(extended=True, lost=[], cancelled=[])

    lease = Lease(30, Holdings(), beat=beat, lost=lambda _: None, cancelled=lambda _: None)
    nursery.start_soon(lease.keep)
    with trio.fail_after(10):
        await lease.good()
        lease.compare_soon()
        await trio.sleep(5)
        assert await lease.good() == 0

    assert may_claim == [False, False], "the first beat compares, too"
    nursery.cancel_scope.cancel()


async def test_a_node_that_has_given_up_is_silent_until_its_work_has_had_time_to_end(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A beat would tell the server that the tasks can run again."""
    begin = trio.current_time()
    beats: list[float] = []

    async def beat(_: object) -> Beat:
        beats.append(trio.current_time() - begin)
        await trio.lowlevel.checkpoint()
        if len(beats) == 1:
            return Beat(extended=True, lost=[], cancelled=[])
        raise StoreUnavailableError("the server is not there")

    lease = Lease(30, Holdings(), beat=beat, lost=lambda _: None, cancelled=lambda _: None)
    nursery.start_soon(lease.keep)
    await trio.sleep(40)

    assert any(0 < at < 20 for at in beats)
    assert not any(20.2 < at < 30 for at in beats), "two thirds of the lease are over, and a third is for the work"
    assert any(at >= 30 for at in beats)
    nursery.cancel_scope.cancel()
