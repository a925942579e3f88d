"""taskiq on Redis: its fastest Redis broker (a list), no results, uvloop. taskiq has no call to enqueue in bulk."""

from __future__ import annotations

import asyncio

import uvloop
from stopwatch import ADDRESS, JOBS, Stopwatch
from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker

AT_ONCE = 100

broker = ListQueueBroker(ADDRESS, queue_name="bench", max_connection_pool_size=AT_ONCE)
watch = Stopwatch()


@broker.task(task_name="job")
async def job() -> None:
    watch.job()


async def main() -> None:
    done = asyncio.Event()
    watch.on_last = done.set
    await broker.startup()
    with watch.enqueueing():
        for first in range(0, JOBS, AT_ONCE):
            await asyncio.gather(*[job.kiq() for _ in range(min(AT_ONCE, JOBS - first))])
    broker.is_worker_process = True
    working = asyncio.create_task(run_receiver_task(broker, max_async_tasks=AT_ONCE, max_prefetch=AT_ONCE))
    await done.wait()
    watch.report()
    await working


uvloop.run(main())
