"""How fast batches go in over HTTP and are finished, next to a loop that does only the unavoidable part of it.

The real thing is a ``pexecutor`` process of its own on a loopback port, fed over one keep-alive connection by this
process. Its tasks take no time, so what is measured is the way of a task through the program. The reference is one
Trio program without HTTP, records or verdicts: it decodes the same bodies, holds each name in a dict while its task is
in flight, and lets as many workers take the tasks from a bounded memory channel.

Both are measured in turn, round by round, so that whatever else the machine does falls on both. A number on its own
says something about the machine; the ratio says something about the program.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import trio

from pexecutor import Task

from .server import Server

BATCH_TASKS: Final = 1000
POOL_SIZE: Final = 5
QUEUE_SIZE: Final = 10_000_000
"""Big enough that no batch is refused: what is measured is the work, not the waiting."""

POLL_SECONDS: Final = 0.02


class Pace(NamedTuple):
    """Tasks a second."""

    accepted: float
    finished: float


def make_bodies(batches: int, round_number: int) -> list[bytes]:
    """Batches of tasks that take no time, each with a name of its own."""
    return [
        msgspec.json.encode(
            [{"name": f"{round_number}-{batch}-{index}", "duration": 0} for index in range(BATCH_TASKS)]
        )
        for batch in range(batches)
    ]


# The real thing


def measure_server(server: Server, bodies: Sequence[bytes]) -> Pace:
    """Send the batches one after the other, then wait until all has finished."""
    tasks = len(bodies) * BATCH_TASKS
    begin = time.perf_counter()
    for body in bodies:
        server.submit(body)
    accepted = time.perf_counter()
    while server.in_flight():
        time.sleep(POLL_SECONDS)
    return Pace(tasks / (accepted - begin), tasks / (time.perf_counter() - begin))


# The reference


async def measure_reference(bodies: Sequence[bytes]) -> Pace:
    """The same bodies through a dict and a channel."""
    decode = msgspec.json.Decoder(list[Task]).decode
    held: dict[str, Task] = {}
    to_workers, from_queue = trio.open_memory_channel[Task](QUEUE_SIZE)
    tasks = len(bodies) * BATCH_TASKS

    async def work(channel: trio.MemoryReceiveChannel[Task]) -> None:
        async with channel:
            async for task in channel:
                await trio.sleep(task.duration / 1000)
                del held[task.name]

    begin = time.perf_counter()
    async with trio.open_nursery() as nursery, from_queue:
        for _ in range(POOL_SIZE):
            nursery.start_soon(work, from_queue.clone())
        async with to_workers:
            for body in bodies:
                for task in decode(body):
                    if task.name not in held:
                        held[task.name] = task
                        to_workers.send_nowait(task)
                await trio.lowlevel.checkpoint()
        accepted = time.perf_counter()
    if held:
        raise SystemExit("the reference lost tasks")
    return Pace(tasks / (accepted - begin), tasks / (time.perf_counter() - begin))


def show(title: str, paces: Sequence[float], references: Sequence[float]) -> None:
    """One line of the result: the median of the rounds, and the lowest and the highest."""
    ratios = [pace / reference for pace, reference in zip(paces, references, strict=True)]
    print(
        f"{title:9}  {statistics.median(paces):9,.0f}/s ({min(paces):,.0f} to {max(paces):,.0f})"
        f"   reference {statistics.median(references):9,.0f}/s"
        f"   ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=20, help=f"batches of {BATCH_TASKS} tasks a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    servers, references = [], []
    flags = ["--store", "memory", "--pool-size", str(POOL_SIZE), "--queue-size", str(QUEUE_SIZE)]
    with Server(*flags) as server:
        for round_number in range(options.rounds):
            bodies = make_bodies(options.batches, round_number)
            servers.append(measure_server(server, bodies))
            references.append(trio.run(measure_reference, bodies))
    print(f"{options.rounds} rounds of {options.batches} batches of {BATCH_TASKS} tasks: median (lowest to highest)")
    show("accepted", [pace.accepted for pace in servers], [pace.accepted for pace in references])
    show("finished", [pace.finished for pace in servers], [pace.finished for pace in references])


if __name__ == "__main__":
    main()
