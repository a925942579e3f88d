"""What happens inside of the program and below it: what handlers do, and trouble with the disk and with descriptors."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Final

import trio

from pexecutor import Task
from pexecutor.handlers import Context, descriptors
from pexecutor.handlers.descriptors import ExhaustedError

from .deeds import draw, no_descriptors, returning
from .disk import Failure
from .ledger import demand
from .process import Process


async def work(
    process: Process, context: Context, task: Task, *, chance: Random, say: Callable[[str, str], None]
) -> object:
    """One attempt of a task."""
    what = f"{context.id} {task.name}{task.params['mark']}, attempt {context.attempt}"
    if process.dead:
        await trio.sleep_forever()
    say("handler", f"begins {what}")
    process.ledger.tell_run(context.id, context.attempt)
    demand(task.name not in process.at_work, "no name is at work twice", what)
    process.at_work.add(task.name)
    try:
        await trio.sleep(chance.choice([0, 0, 0.01, 0.5, 3, 60]))
        deed = draw(chance, alone=True) if chance.random() < 0.3 else STARTS_A_COMMAND
        process.ledger.tell_given(context.id, context.attempt, deed.given)
        if deed is STARTS_A_COMMAND:
            await _start_a_command(process)
            if chance.random() < 0.1:
                await _overrun(chance)
            if process.may_be_killed and chance.random() < 0.01:
                process.die(f"by {task.name}")
                await trio.sleep_forever()
            return context.attempt
        say("handler", f"{what}: {deed.given.outcome}, {deed.given.error}")
        return await deed.act(context)
    finally:
        process.at_work.discard(task.name)
        if not process.dead:
            say("handler", f"ends {what}")


STARTS_A_COMMAND: Final = returning(lambda: None)
"""What most handlers do: nothing wrong, but they need a descriptor."""


async def _start_a_command(process: Process) -> None:
    """Do what a command does when it is started: wait until there is a descriptor."""

    async def start() -> None:
        await trio.lowlevel.checkpoint()
        if process.disk.free_descriptors < 1:
            raise ExhaustedError(no_descriptors().strerror)

    await descriptors.retry_while_exhausted(start, lambda _: None)


async def _overrun(chance: Random) -> None:
    """Go on for a while, whatever one is told."""
    with trio.CancelScope(shield=True):
        await trio.sleep(chance.choice([0.3, 2]))


async def trouble(process: Process, *, chance: Random, say: Callable[[str, str], None]) -> None:
    """From time to time the disk fails, for some operations or for a while, hangs, or takes all down with it; or there
    are no descriptors left."""
    disk = process.disk
    while True:
        await trio.sleep(chance.expovariate(1 / 5))
        kind = chance.choice(["full", "failing", "failing", "hanging", "out of descriptors"])
        if kind == "hanging":
            process.hang_seconds = chance.choice([1, 7, 12])
        elif kind == "out of descriptors":
            disk.free_descriptors = chance.choice([0, 0, 1])
        else:
            failure: Failure = "full" if kind == "full" else "failing"
            after = chance.randrange(30)
            disk.fail(failure, after=after, operations=chance.choice([1, 2, 6, 30]))
            if chance.random() < 0.2:
                disk.crash_at(disk.operations + after + chance.randint(1, 8))
        say("disk", f"will be {kind}")
        await trio.sleep(chance.choice([0.5, 5, 60, 600]))
        disk.mend()
        disk.free_descriptors = math.inf
