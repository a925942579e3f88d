from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pexecutor.conformance.steps import cancelled_at_step, every_await
from pexecutor.stores.local.registry import ShardedLockDict


async def test_an_entry_changes_only_under_its_lock() -> None:
    registry: ShardedLockDict[int] = ShardedLockDict()
    with pytest.raises(RuntimeError, match=r"without its lock: change it within locked\(\)"):
        registry["a"] = 1
    async with registry.locked(["a"]):
        registry["a"] = 1
    assert registry.get("a") == 1
    with pytest.raises(RuntimeError, match=r"without its lock: change it within locked\(\)"):
        del registry["a"]


@pytest.mark.parametrize("names", [["a"], ["a", "b"], [f"task-{number}" for number in range(2000)]])
async def test_many_entries_change_only_under_their_locks(names: list[str]) -> None:
    registry: ShardedLockDict[int] = ShardedLockDict()
    with pytest.raises(RuntimeError, match=rf"'{names[0]}' was changed without its lock"):
        registry.hold_all(names, range(len(names)))
    async with registry.locked(names):
        registry.hold_all(names, range(len(names)))
    with pytest.raises(RuntimeError, match=rf"'{names[0]}' was changed without its lock"):
        registry.free_all(names)
    assert len(registry) == len(names)


async def test_many_names_of_one_shard_need_its_lock_alone() -> None:
    registry: ShardedLockDict[int] = ShardedLockDict(shards=2)
    names = [name for name in (f"task-{number}" for number in range(1000)) if registry._shards_of([name]) == [0]]
    async with registry.locked(names[:1]):
        registry.hold_all(names, range(len(names)))
    assert len(registry) == len(names) > 256


async def test_locks_are_taken_without_waiting_only_if_nobody_has_or_awaits_them(nursery: trio.Nursery) -> None:
    registry: ShardedLockDict[int] = ShardedLockDict()
    with registry.locked_nowait(["a", "b"]) as is_locked:
        assert is_locked
        registry.hold_all(["a", "b"], [1, 2])

    async def decide() -> None:
        async with registry.locked(["a", "b"]):
            pass

    async with registry.locked(["a"]):
        nursery.start_soon(decide)
        await wait_all_tasks_blocked()
        for name in ("a", "b"):
            with registry.locked_nowait([name]) as is_locked:
                assert not is_locked
        with registry.locked_nowait(["c"]) as is_locked:
            assert is_locked
    await wait_all_tasks_blocked()
    assert registry.statistics().shards_locked == 0


async def test_a_second_decision_about_a_name_waits_for_the_first(nursery: trio.Nursery) -> None:
    registry: ShardedLockDict[str] = ShardedLockDict()
    seen: list[str | None] = []

    async def second() -> None:
        async with registry.locked(["a"]):
            seen.append(registry.get("a"))

    async with registry.locked(["a"]):
        nursery.start_soon(second)
        await wait_all_tasks_blocked()
        assert repr(registry) == "<ShardedLockDict 0 held, 1 of 1024 shards locked, 1 waiting>"
        registry["a"] = "the first one's"
    await wait_all_tasks_blocked()
    assert seen == ["the first one's"]


async def test_a_name_of_another_shard_does_not_wait() -> None:
    registry: ShardedLockDict[int] = ShardedLockDict(shards=2)
    one = "a"
    other = next(name for name in "bcdefghijkl" if registry._shards_of([name]) != registry._shards_of([one]))
    async with registry.locked([one]):
        with trio.fail_after(1):
            async with registry.locked([other]):
                pass


async def test_decisions_about_crossing_sets_of_names_never_wait_for_each_other(nursery: trio.Nursery) -> None:
    registry: ShardedLockDict[int] = ShardedLockDict(shards=8)
    names = [f"task-{number}" for number in range(50)]
    done = []

    async def decide(turn: int) -> None:
        for shift in range(20):
            start = (turn * 7 + shift * 3) % 50
            order = names[start:] + names[:start]
            async with registry.locked(order if turn % 2 else order[::-1]):
                await trio.lowlevel.checkpoint()
        done.append(turn)

    with trio.fail_after(10):
        async with trio.open_nursery() as deciders:
            for turn in range(20):
                deciders.start_soon(decide, turn)
    assert len(done) == 20
    assert registry.statistics().shards_locked == 0


async def test_who_waits_has_no_lock_and_its_place_in_line(nursery: trio.Nursery) -> None:
    registry: ShardedLockDict[int] = ShardedLockDict(shards=4)
    by_shard = {registry._shards_of([name])[0]: name for name in (f"task-{number}" for number in range(40))}
    order: list[str] = []
    scope = trio.CancelScope()

    async def decide(who: str, *shards: int) -> None:
        with scope if who == "first" else trio.CancelScope():
            async with registry.locked([by_shard[shard] for shard in shards]):
                order.append(who)
                await trio.lowlevel.checkpoint()

    async with registry.locked([by_shard[0]]):
        for who, *shards in (("first", 0, 1), ("behind", 1, 2), ("beside", 3)):
            nursery.start_soon(decide, who, *shards)
            await wait_all_tasks_blocked()
        assert order == ["beside"]
        assert registry.statistics().shards_locked == 1
        assert registry.statistics().decisions_waiting == 2
        scope.cancel()
        await wait_all_tasks_blocked()
        assert order == ["beside", "behind"], "nobody is before it any more"
    assert registry.statistics().shards_locked == 0


async def test_a_lock_that_is_given_back_goes_to_who_came_first(nursery: trio.Nursery) -> None:
    registry: ShardedLockDict[int] = ShardedLockDict(shards=1)
    order: list[int] = []

    async def decide(turn: int) -> None:
        async with registry.locked([f"task-{turn}"]):
            order.append(turn)
            await trio.lowlevel.checkpoint()

    async with registry.locked(["a"]):
        for turn in range(5):
            nursery.start_soon(decide, turn)
            await wait_all_tasks_blocked()
    await wait_all_tasks_blocked()
    assert order == [0, 1, 2, 3, 4]


async def test_a_cancel_at_any_await_gives_back_all_locks() -> None:
    registry: ShardedLockDict[int] = ShardedLockDict(shards=4)

    async def decide() -> None:
        async with registry.locked([f"task-{number}" for number in range(40)]):
            await trio.lowlevel.checkpoint()

    for step in every_await():
        cancelled = await cancelled_at_step(step, decide)
        assert registry.statistics().shards_locked == 0
        if not cancelled:
            break
