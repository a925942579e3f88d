"""Compare the executor with a model: for any calls in any order, both agree after each step."""

from __future__ import annotations

from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import Executor, LocalStore, PageRequest, State, Task
from pexecutor.handlers import Catalogue, Context

from ..fakes import Doing

Name = st.sampled_from("abcdefgh")
Batch = st.lists(st.tuples(Name, st.integers(-1, 1)), max_size=5)
Step = st.one_of(
    st.tuples(st.just("submit"), Batch, st.booleans()),
    st.tuples(st.just("finish"), Name),
    st.tuples(st.just("fail"), Name),
    st.tuples(st.just("cancel"), Name),
    st.tuples(st.just("drain")),
)


class Model:
    def __init__(self, pool_size: int, queue_size: int) -> None:
        self.pool_size, self.queue_size = pool_size, queue_size
        self.pending: list[tuple[int, int, str]] = []  # (-priority, acceptance, name), sorted
        self.running: list[str] = []
        self.finished: list[tuple[str, str]] = []
        self.acceptances = 0
        self.draining = False

    def submit(self, batch: list[tuple[str, int]], atomic: bool) -> list[str]:
        if self.draining:
            return ["draining"] * len(batch)
        held = {name for _, _, name in self.pending} | set(self.running)
        room = self.queue_size - len(self.pending)
        if atomic and len({name for name, _ in batch} - held) > room:
            room = 0
        words = []
        for name, priority in batch:
            words.append("duplicate" if name in held else "accepted" if room else "full")
            if words[-1] == "accepted":
                room, self.acceptances = room - 1, self.acceptances + 1
                held.add(name)
                self.pending.append((-priority, self.acceptances, name))
        self.start()
        return words

    def start(self) -> None:
        self.pending.sort()
        while self.pending and len(self.running) < self.pool_size and not self.draining:
            self.running.append(self.pending.pop(0)[2])

    def end(self, name: str, outcome: str) -> None:
        if name in self.running:
            self.running.remove(name)
            self.finished.append((name, outcome))
        elif outcome == "cancelled" and (found := [entry for entry in self.pending if entry[2] == name]):
            self.pending.remove(found[0])
            self.finished.append((name, outcome))
        self.start()

    def drain(self) -> None:
        self.draining = True


class Hands(Doing):
    """A handler whose runs end when and how the test decides."""

    def __init__(self) -> None:
        super().__init__(self._wait_to_be_told)
        self.ends: dict[str, trio.MemorySendChannel[bool]] = {}

    async def _wait_to_be_told(self, context: Context, task: Task) -> None:
        self.ends[task.name], told = trio.open_memory_channel[bool](1)
        if not await told.receive():
            raise RuntimeError("told to fail")

    def end(self, name: str, *, well: bool) -> None:
        self.ends[name].send_nowait(well)


@settings(max_examples=300, deadline=None)
@given(pool_size=st.integers(1, 3), queue_size=st.integers(1, 4), steps=st.lists(Step, max_size=30))
def test_the_executor_is_its_model(pool_size: int, queue_size: int, steps: list[Any]) -> None:
    trio.run(_compare, pool_size, queue_size, steps, clock=MockClock(autojump_threshold=0))


async def _compare(pool_size: int, queue_size: int, steps: list[Any]) -> None:
    model, hands = Model(pool_size, queue_size), Hands()
    executor = Executor(LocalStore(queue_size=queue_size), pool_size=pool_size, handlers=Catalogue({"sleep": hands}))
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        for step in steps:
            await _take(step, model, executor, hands)
            await wait_all_tasks_blocked()
            await _agree(model, executor)
        executor.hard_stop()
    assert executor.statistics().phase == "stopped"


async def _take(step: Any, model: Model, executor: Executor, hands: Hands) -> None:
    match step:
        case "submit", batch, atomic:
            tasks = [Task(name, priority=priority) for name, priority in batch]
            verdicts = await executor.submit(tasks, atomic=atomic)
            assert [verdict.verdict for verdict in verdicts] == model.submit(batch, atomic)
        case ("drain",):
            executor.drain()
            model.drain()
        case "cancel", name:
            for record in (await executor.page(PageRequest(name=name))).records:
                if record.state is not State.FINISHED:
                    await executor.cancel(record.id)
            model.end(name, "cancelled")
        case ("finish" | "fail") as how, name if name in model.running:
            hands.end(name, well=how == "finish")
            model.end(name, "succeeded" if how == "finish" else "failed")


async def _agree(model: Model, executor: Executor) -> None:
    async def names(state: State) -> list[str]:
        return [record.task.name for record in (await executor.page(PageRequest(state))).records]

    assert await names(State.PENDING) == [name for _, _, name in model.pending]
    assert sorted(await names(State.RUNNING)) == sorted(model.running)
    finished = (await executor.page(PageRequest(State.FINISHED))).records
    assert [(record.task.name, record.outcome) for record in reversed(finished)] == model.finished  # type: ignore[union-attr]
    assert executor.statistics().store.pending <= model.queue_size
