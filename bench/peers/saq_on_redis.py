"""SAQ on Redis: many jobs enqueued and run concurrently, uvloop. SAQ has no call to enqueue in bulk."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from saq import Queue, Worker
from stopwatch import ADDRESS, JOBS, Stopwatch

AT_ONCE = 100


async def main() -> None:
    watch = Stopwatch()
    done = asyncio.Event()
    watch.on_last = done.set

    async def job(_context: Any) -> None:
        watch.job()

    queue = Queue.from_url(ADDRESS, name="bench")
    await queue.connect()
    with watch.enqueueing():
        for first in range(0, JOBS, AT_ONCE):
            await asyncio.gather(*[queue.enqueue("job", ttl=-1) for _ in range(min(AT_ONCE, JOBS - first))])
    worker = Worker(queue, functions=[("job", job)], concurrency=AT_ONCE, dequeue_timeout=1)
    working = asyncio.create_task(worker.start())
    await done.wait()
    watch.report()
    await working


uvloop.run(main())
