"""arq on Redis: many concurrent jobs, a minimal poll delay, no results, uvloop. arq has no call to enqueue in bulk."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker
from stopwatch import ADDRESS, JOBS, Stopwatch

AT_ONCE = 100


async def main() -> None:
    watch = Stopwatch()
    done = asyncio.Event()
    watch.on_last = done.set

    async def job(_context: Any) -> None:
        watch.job()

    job.__qualname__ = "job"
    pool = await create_pool(RedisSettings.from_dsn(ADDRESS))
    with watch.enqueueing():
        for first in range(0, JOBS, AT_ONCE):
            await asyncio.gather(*[pool.enqueue_job("job") for _ in range(min(AT_ONCE, JOBS - first))])
    worker = Worker(
        [job],
        redis_pool=pool,
        max_jobs=AT_ONCE,
        queue_read_limit=2 * AT_ONCE,
        poll_delay=0.001,
        keep_result=0,
        handle_signals=False,
    )
    working = asyncio.create_task(worker.async_run())
    await done.wait()
    watch.report()
    await working


uvloop.run(main())
