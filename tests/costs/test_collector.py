"""Tests that the garbage collector tracks few objects: a collection visits all of them and blocks the event loop."""

from __future__ import annotations

import gc
from contextlib import closing
from pathlib import Path

import trio

from pexecutor import Accepted, Context, Executor, LocalStore, Task

from ..server.process import ServerProcess

WAITING = 20_000

HANDLERS = """
import gc
from pexecutor import handler

@handler
async def looked_at(context):
    return len(gc.get_objects())
"""


def references_looked_at() -> int:
    """Return the number of references that a full collection follows."""
    gc.collect()
    return sum(len(gc.get_referents(known)) for known in gc.get_objects())


def contexts() -> int:
    """Count the live contexts. Other tests may have left some, and objects whose ``__class__`` raises."""
    return sum(type(known) is Context for known in gc.get_objects())


async def test_it_does_not_look_at_tasks_that_wait() -> None:
    store = LocalStore(queue_size=2 * WAITING)
    async with store.opened():
        await store.submit([Task("first")])
        before = references_looked_at()
        await store.submit([Task(f"task-{number}") for number in range(WAITING)])

        assert references_looked_at() - before < WAITING / 10


async def test_an_attempt_that_has_ended_is_gone_without_it(nursery: trio.Nursery) -> None:
    executor = Executor(LocalStore())
    await nursery.start(executor.run)
    gc.collect()
    before = contexts()
    gc.disable()
    try:
        [*_, last] = await executor.submit([Task(f"task-{number}") for number in range(100)])
        assert isinstance(last, Accepted)
        await executor.wait(last.record.id)
        assert contexts() == before
    finally:
        gc.enable()
    executor.drain()


def test_it_does_not_look_at_what_the_start_of_a_server_has_made(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HANDLERS)
    with closing(ServerProcess("--port", "0", "--handlers", str(tmp_path / "mine.py"))) as server:
        task = server.client.post("/tasks", json={"name": "a", "handler": "looked_at"}).json()
        known = server.client.get(f"/tasks/{task['id']}?wait=10").json()["result"]

    assert known < 20_000, "the start makes some 60,000"
