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
import http.client
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import msgspec
import trio

from pexecutor import Task

BATCH_TASKS: Final = 1000
POOL_SIZE: Final = 5
QUEUE_SIZE: Final = 10_000_000
"""Big enough that no batch is refused: what is measured is the work, not the waiting."""

POLL_SECONDS: Final = 0.02


class Pace(NamedTuple):
    """Tasks a second."""

    accepted: float
    finished: float


class ReadyStore(msgspec.Struct):
    pending: int
    running: int


class ReadyStatistics(msgspec.Struct):
    store: ReadyStore


class Ready(msgspec.Struct):
    """What of ``/readyz`` is of interest here."""

    statistics: ReadyStatistics


def make_bodies(batches: int, round_number: int) -> list[bytes]:
    """Batches of tasks that take no time, each with a name of its own."""
    return [
        msgspec.json.encode(
            [{"name": f"{round_number}-{batch}-{index}", "duration": 0} for index in range(BATCH_TASKS)]
        )
        for batch in range(batches)
    ]


# The real thing


@contextmanager
def serving() -> Iterator[http.client.HTTPConnection]:
    """A server process on a free port, and a connection to it."""
    flags = [
        "--port",
        "0",
        "--store",
        "memory",
        "--pool-size",
        str(POOL_SIZE),
        "--queue-size",
        str(QUEUE_SIZE),
        "--log-level",
        "error",
    ]
    command = [sys.executable, "-m", "pexecutor", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            announced = re.search(r":(\d+)$", process.stdout.readline().strip())
            if announced is None:
                raise SystemExit("the server did not start")
            connection = http.client.HTTPConnection("127.0.0.1", int(announced[1]), timeout=60)
            yield connection
            connection.close()
        finally:
            process.terminate()


def measure_server(connection: http.client.HTTPConnection, bodies: Sequence[bytes]) -> Pace:
    """Send the batches one after the other, then wait until all has finished."""
    tasks = len(bodies) * BATCH_TASKS
    begin = time.perf_counter()
    for body in bodies:
        connection.request("POST", "/tasks?verdicts=none", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        reply = response.read()
        if response.status != 200:
            raise SystemExit(f"a batch was answered {response.status}: {reply.decode()}")
    accepted = time.perf_counter()
    while in_flight(connection):
        time.sleep(POLL_SECONDS)
    return Pace(tasks / (accepted - begin), tasks / (time.perf_counter() - begin))


def in_flight(connection: http.client.HTTPConnection) -> int:
    """How many tasks have not finished yet."""
    connection.request("GET", "/readyz")
    store = msgspec.json.decode(connection.getresponse().read(), type=Ready).statistics.store
    return store.pending + store.running


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
    with serving() as connection:
        for round_number in range(options.rounds):
            bodies = make_bodies(options.batches, round_number)
            servers.append(measure_server(connection, bodies))
            references.append(trio.run(measure_reference, bodies))
    print(f"{options.rounds} rounds of {options.batches} batches of {BATCH_TASKS} tasks: median (lowest to highest)")
    show("accepted", [pace.accepted for pace in servers], [pace.accepted for pace in references])
    show("finished", [pace.finished for pace in servers], [pace.finished for pace in references])


if __name__ == "__main__":
    main()
