# pyright: strict
"""A user's program as strict type checkers see it: a handler, tasks, a store of the user's choice and an executor.

The program is checked and run outside the project, with the wheel.
"""

from __future__ import annotations

from typing import assert_type

import trio
import trio.lowlevel

import pexecutor
from pexecutor import (
    Accepted,
    Context,
    Draining,
    Duplicate,
    Executor,
    Finished,
    Full,
    HandlerFailedError,
    LocalStore,
    Outcome,
    Page,
    PageRequest,
    Record,
    State,
    Statistics,
    Store,
    Task,
    Verdict,
    load_catalogue,
)


@pexecutor.handler
async def greet(context: Context, *, name: str, times: int = 1) -> list[str]:
    """Greet somebody, and fail without a name."""
    if not name:
        raise HandlerFailedError("a name is missing")
    context.progress(0, times)
    assert_type(context.attempt, int)
    assert_type(context.name, str)
    await trio.lowlevel.checkpoint()
    return [f"hello {name}"] * times


@pexecutor.handler(name="add")
def in_a_thread(context: Context, *, left: int, right: int) -> int:
    """Add two numbers in a thread, and log it."""
    context.log(f"{left} + {right}")
    return left + right


def make_store() -> Store:
    """Return a store that keeps its tasks in memory."""
    return LocalStore(queue_size=10)


def explain(verdict: Verdict) -> str:
    """Return a description of a submit's result; a type checker proves that no case is missing."""
    match verdict:
        case Accepted(record):
            return assert_type(record.id, str)
        case Duplicate(holder):
            return f"held by {holder.id}"
        case Full() | Draining():
            return "refused"


async def main() -> None:
    """Run two tasks, and print their results and the statistics."""
    catalogue = load_catalogue(modules=[__name__], declared={}, environment={})
    async with trio.open_nursery() as nursery:
        executor = Executor(make_store(), pool_size=2, handlers=catalogue)
        await nursery.start(executor.run)
        tasks = [
            Task("greeting", handler="greet", params={"name": "you", "times": 2}, retries=1),
            Task("sum", handler="add", params={"left": 1, "right": 2}),
        ]
        verdicts = assert_type(await executor.submit(tasks), list[Verdict])
        for verdict in verdicts:
            record = assert_type(await executor.wait(explain(verdict)), Record)
            if isinstance(record, Finished):
                assert record.outcome is Outcome.SUCCEEDED
                print(record.task.name, (record.ending.result or b"").decode())
        page = assert_type(await executor.page(PageRequest(state=State.FINISHED)), Page)
        statistics = assert_type(executor.statistics(), Statistics)
        print(len(page.records), statistics.phase)
        executor.drain()


if __name__ == "__main__":
    trio.run(main)
