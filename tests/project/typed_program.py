# pyright: strict
"""A user's program as strict type checkers see it: a handler, tasks, a store of the user's choice and an executor.

The program is checked and run outside the project, with the wheel.
"""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

import trio
import trio.lowlevel

import pexecutor
from pexecutor import (
    Accepted,
    AsyncClient,
    AsyncHandle,
    Client,
    Context,
    Draining,
    Duplicate,
    DuplicateError,
    Executor,
    Finished,
    Full,
    GapEvent,
    Handle,
    HandlerFailedError,
    LocalStore,
    LogRow,
    OtherEvent,
    Outcome,
    Page,
    PageRequest,
    ProgressEvent,
    Record,
    State,
    Statistics,
    Store,
    SubmittedTasks,
    Task,
    TaskEvent,
    TaskRecord,
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


def use_client(client: Client) -> None:
    """Use a server from a thread."""
    handle = assert_type(client.submit("a", "greet", params={"name": "you"}, timeout=timedelta(minutes=1)), Handle)
    assert_type(handle.wait(timeout_seconds=1.0), TaskRecord)
    assert_type(handle.record.outcome, Outcome | None)
    for record in client.list(state="running", tags=["a"]):
        assert_type(record, TaskRecord)
    for row in handle.logs(follow=True):
        assert_type(row, LogRow)
    assert_type(client.submit_many([{"name": "a", "retries": 2}]), SubmittedTasks)
    assert_type(client.schedules.put("s", {"name": "a"}, cron="0 3 * * *").paused, bool)
    try:
        client.submit("a")
    except DuplicateError as duplicate:
        assert_type(duplicate.holder, TaskRecord)


async def use_async_client(client: AsyncClient) -> None:
    """Use a server from an event loop."""
    handle = assert_type(await client.submit("a", priority=1, on_conflict="join"), AsyncHandle)
    assert_type(await handle.cancel(), TaskRecord)
    async for record in client.list():
        assert_type(record, TaskRecord)
    async with client.events(handler="greet") as events:
        async for event in events:
            match event:
                case TaskEvent(record=record):
                    assert_type(record, TaskRecord)
                case ProgressEvent() | GapEvent() | OtherEvent():
                    assert_type(event.id, int)


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
