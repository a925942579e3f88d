"""Time pexecutor embedded in a program, as the peers are timed: ``python -m bench.embedded STORE TASKS``.

The program runs two measurements of ``TASKS`` tasks each:

1. Enqueue, then drain. All tasks are submitted while no worker runs. Then a pool drains them, timed from the start of
   the first job to the last outcome.
2. Submit while the pool works, timed from the first submit to the last outcome. No peer is measured this way; it
   includes more work than a drain.

Jobs count their own runs. ``STORE`` is ``memory``, ``sqlite:FILE``, or a URL. Tasks in memory are lost when the first
measurement's store closes, so ``memory`` runs the second measurement only.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

import msgspec
import trio

from pexecutor import Executor, LocalStore, Task
from pexecutor.handlers import Catalogue, load_catalogue
from pexecutor.stores import Store
from pexecutor.stores.address import SqliteAddress, ValkeyAddress, parse_store
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.stores.valkey import make_store

from .jobs import NO_OP, counter
from .results import Run

BATCH_TASKS: Final = 1000
QUEUE_SIZE: Final = 10_000_000
POLL_SECONDS: Final = 0.005


def open_store(where: str, handlers: Catalogue) -> Store:
    """Return a store that has room for all tasks and keeps the default number of records."""
    match parse_store(where):
        case ValkeyAddress() as address:
            return make_store(address, "bench", durability="none", queue_size=QUEUE_SIZE)
        case SqliteAddress(Path() as file):
            journal = SqliteJournal(Database(file))
            return LocalStore(queue_size=QUEUE_SIZE, journal=journal, ends_with_us=handlers.ending_with_us())
        case _:
            return LocalStore(queue_size=QUEUE_SIZE)


def make_batches(prefix: str, tasks: int) -> list[list[Task]]:
    """Return batches of no-op tasks with unique names."""
    return [
        [Task(f"{prefix}-{number:08}", handler=NO_OP) for number in range(first, min(first + BATCH_TASKS, tasks))]
        for first in range(0, tasks, BATCH_TASKS)
    ]


async def enqueue(where: str, handlers: Catalogue, tasks: int) -> float:
    """Submit all tasks while no worker runs; return the seconds that it took."""
    store, batches = open_store(where, handlers), make_batches("apart", tasks)
    async with store.opened():
        begin = time.perf_counter()
        for batch in batches:
            await store.submit(batch)
        return time.perf_counter() - begin


async def drain(where: str, handlers: Catalogue, pool_size: int, tasks: int) -> float:
    """Run the tasks that are in the store; return the seconds from the first start to the last outcome."""
    async with trio.open_nursery() as nursery:
        executor = Executor(open_store(where, handlers), pool_size=pool_size, handlers=handlers)
        await nursery.start(executor.run)
        await wait_until_finished(executor, tasks)
        end = time.perf_counter()
        executor.drain()
    return end - counter.first_at


async def submit_and_run(where: str, handlers: Catalogue, pool_size: int, tasks: int) -> tuple[float, float]:
    """Submit while the pool works; return the seconds until all tasks were accepted, and until all had an outcome."""
    batches = make_batches("through", tasks)
    async with trio.open_nursery() as nursery:
        executor = Executor(open_store(where, handlers), pool_size=pool_size, handlers=handlers)
        await nursery.start(executor.run)
        begin = time.perf_counter()
        for batch in batches:
            await executor.submit(batch)
        accepted = time.perf_counter()
        await wait_until_finished(executor, tasks)
        end = time.perf_counter()
        executor.drain()
    return accepted - begin, end - begin


async def wait_until_finished(executor: Executor, tasks: int) -> None:
    """Wait until `tasks` tasks have an outcome."""
    while sum(executor.statistics().store.finished.values()) < tasks:  # noqa: ASYNC110 - the executor has no such event
        await trio.sleep(POLL_SECONDS)


async def run(where: str, pool_size: int, tasks: int) -> Run:
    """Run the measurements that the store allows, one after the other."""
    handlers = load_catalogue(declared={}, modules=["bench.jobs"], environment={})
    figures, ran = {}, 0
    if where != "memory":
        figures["enqueued"] = tasks / await enqueue(where, handlers, tasks)
        figures["drained"] = tasks / await drain(where, handlers, pool_size, tasks)
        ran += counter.ran
        counter.reset()
    accepted, through = await submit_and_run(where, handlers, pool_size, tasks)
    figures |= {"accepted": tasks / accepted, "through": tasks / through}
    return Run(tasks * (1 if where == "memory" else 2), ran + counter.ran, figures)


def main() -> None:
    """Run the measurements and print them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("tasks", type=int)
    parser.add_argument("--pool-size", type=int, default=1000)
    options = parser.parse_args()
    done = trio.run(run, options.store, options.pool_size, options.tasks)
    sys.stdout.write(msgspec.json.encode(done).decode() + "\n")


if __name__ == "__main__":
    main()
