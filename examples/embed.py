"""Embed an executor in another Trio program, without HTTP and without a second process.

``python examples/embed.py`` submits some tasks, waits for the results, prints them, and drains the executor.

The program owns the nursery, so it decides how long the executor runs. The handler is an ``async`` function of this
module; ``load_catalogue`` finds it as in any other module. A cancel or a timeout raises ``trio.Cancelled`` in the
handler.
"""
# ruff: noqa: T201  # the example prints its results

from __future__ import annotations

import trio

import pexecutor
from pexecutor import Accepted, Duplicate, Executor, Finished, HandlerFailedError, LocalStore, Task, load_catalogue

WORDS = ["trio", "executor", "level", "drain", "level"]


@pexecutor.handler
async def reverse(context: pexecutor.Context, *, word: str) -> str:
    """Reverse a word, as slowly as a real service would."""
    for done in range(len(word)):
        context.progress(done, len(word))
        await trio.sleep(0.01)
    if word == "drain" and context.attempt == 1:
        raise HandlerFailedError("not today", retry_after_seconds=0.05)
    return word[::-1]


async def main() -> None:
    """Run the executor until all tasks have finished."""
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

        # From here on, the executor accepts no tasks. Running tasks would have 30 s to end; here, all have finished.
        executor.drain()
    print(executor)


async def report(executor: Executor, task_id: str) -> None:
    """Wait for a task's outcome and print it."""
    record = await executor.wait(task_id)
    if isinstance(record, Finished):
        result = (record.ending.result or b"none").decode()
        print(f"{record.task.name}: {record.outcome} in attempt {len(record.attempts)}, {result}")


if __name__ == "__main__":
    trio.run(main)
