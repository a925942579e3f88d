"""An executor inside of another Trio program: no HTTP, no second process.

``python examples/embed.py`` submits some work of its own kind, waits for the results, prints them, and drains.

The program owns the nursery, so the executor lives exactly as long as the program says. The handler is an ``async``
function of this very module, found by ``load_catalogue`` like those of any other; a cancel or a timeout arrives in it
as ``trio.Cancelled``.
"""
# ruff: noqa: T201  # what an example finds, it prints

from __future__ import annotations

import trio

import pexecutor
from pexecutor import Accepted, Duplicate, Executor, Finished, HandlerFailedError, LocalStore, Task, load_catalogue

WORDS = ["trio", "executor", "level", "drain", "level"]


@pexecutor.handler
async def reverse(context: pexecutor.Context, *, word: str) -> str:
    """Turn a word round, as slowly as a real service would."""
    for done in range(len(word)):
        context.progress(done, len(word))
        await trio.sleep(0.01)
    if word == "drain" and context.attempt == 1:
        raise HandlerFailedError("not today", retry_after_seconds=0.05)
    return word[::-1]


async def main() -> None:
    """Run the executor for as long as there is something to do."""
    handlers = load_catalogue(modules=[__name__], declared={}, environment={})
    async with trio.open_nursery() as nursery:
        executor = Executor(LocalStore(queue_size=100), pool_size=2, handlers=handlers)
        await nursery.start(executor.run)

        async with trio.open_nursery() as waiting:
            tasks = [Task(word, handler="reverse", params={"word": word}, retries=1, retry_delay=10) for word in WORDS]
            for task, verdict in zip(tasks, await executor.submit(tasks), strict=True):
                match verdict:
                    case Accepted(record):
                        waiting.start_soon(report, executor, record.id)
                    case Duplicate(holder):
                        print(f"{task.name}: refused, as a {holder.state} task has this name")
                    case refused:
                        print(f"{task.name}: refused, {refused.verdict}")

        # Nothing new from here on. What is still in flight, if anything were, would have 30 seconds to end.
        executor.drain()
    print(executor)


async def report(executor: Executor, task_id: str) -> None:
    """Wait for a task's outcome, and print it."""
    record = await executor.wait(task_id)
    if isinstance(record, Finished):
        result = (record.ending.result or b"none").decode()
        print(f"{record.task.name}: {record.outcome} in attempt {len(record.attempts)}, {result}")


if __name__ == "__main__":
    trio.run(main)
