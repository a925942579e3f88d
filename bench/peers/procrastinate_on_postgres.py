"""Procrastinate on PostgreSQL: jobs deferred in batches, finished jobs deleted, uvloop."""

from __future__ import annotations

import asyncio

import procrastinate
import uvloop
from stopwatch import ADDRESS, JOBS, Stopwatch

AT_ONCE = 1000
CONCURRENCY = 20

watch = Stopwatch()
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=ADDRESS, min_size=2, max_size=CONCURRENCY))


@app.task(name="job", queue="bench")
async def job() -> None:
    watch.job()


async def main() -> None:
    done = asyncio.Event()
    watch.on_last = done.set
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        with watch.enqueueing():
            for first in range(0, JOBS, AT_ONCE):
                await job.batch_defer_async(*[{} for _ in range(min(AT_ONCE, JOBS - first))])
        working = asyncio.create_task(
            app.run_worker_async(
                queues=["bench"], concurrency=CONCURRENCY, delete_jobs="successful", listen_notify=False
            )
        )
        await done.wait()
        watch.report()
        await working


uvloop.run(main())
