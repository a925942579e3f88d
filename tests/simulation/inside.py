"""What happens inside of the program and below it: what handlers do, and trouble with the disk."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import trio

from pexecutor import Task
from pexecutor.handlers import Context, HandlerFailedError

from .disk import Failure
from .ledger import demand
from .process import Process


async def work(
    process: Process, context: Context, task: Task, *, chance: Random, say: Callable[[str, str], None]
) -> int:
    """One attempt of a task."""
    what = f"{context.id} {task.name}{task.params['mark']}, attempt {context.attempt}"
    if process.dead:
        await trio.sleep_forever()
    say("handler", f"begins {what}")
    process.ledger.tell_run(context.id)
    demand(task.name not in process.at_work, "no name is at work twice", what)
    process.at_work.add(task.name)
    try:
        await trio.sleep(chance.choice([0, 0, 0.01, 0.5, 3, 60]))
        match chance.randrange(10):
            case 0 | 1:
                raise _error(context)
            case 2:
                raise HandlerFailedError("for good", retryable=False)
            case 3:
                await _overrun(chance)
            case 4 if process.may_be_killed and chance.random() < 0.1:
                process.die(f"by {task.name}")
                await trio.sleep_forever()
        return context.attempt
    finally:
        process.at_work.discard(task.name)
        if not process.dead:
            say("handler", f"ends {what}")


def _error(context: Context) -> BaseException:
    """Any exception; which one follows from the attempt, so that it takes nothing from the chance of a seed."""
    errors: list[BaseException] = [
        LookupError("by chance"),
        SystemExit(3),
        ValueError("caf\udce9.txt \0 \x1b[31m"),
        KeyboardInterrupt(),
        BaseExceptionGroup("several", [GeneratorExit(), LookupError("by chance")]),
        HandlerFailedError("at once", retry_after_seconds=float("nan")),
        ValueError("x" * 20_000),
    ]
    _, _, acceptance = context.id.rpartition("-")
    return errors[(int(acceptance) + context.attempt) % len(errors)]


async def _overrun(chance: Random) -> None:
    """Go on for a while, whatever one is told."""
    with trio.CancelScope(shield=True):
        await trio.sleep(chance.choice([0.3, 2]))


async def trouble(process: Process, *, chance: Random, say: Callable[[str, str], None]) -> None:
    """From time to time the disk fails, for some operations or for a while, hangs, or takes all down with it."""
    disk = process.disk
    while True:
        await trio.sleep(chance.expovariate(1 / 5))
        kind = chance.choice(["full", "failing", "failing", "hanging"])
        if kind == "hanging":
            process.hang_seconds = chance.choice([1, 7, 12])
        else:
            failure: Failure = "full" if kind == "full" else "failing"
            after = chance.randrange(30)
            disk.fail(failure, after=after, operations=chance.choice([1, 2, 6, 30]))
            if chance.random() < 0.2:
                disk.crash_at(disk.operations + after + chance.randint(1, 8))
        say("disk", f"will be {kind}")
        await trio.sleep(chance.choice([0.5, 5, 60, 600]))
        disk.mend()
