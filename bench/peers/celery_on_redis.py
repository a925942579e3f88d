"""Celery on Redis: results ignored, a high prefetch limit, and the solo pool, which is the fastest for no-op jobs."""

from __future__ import annotations

from celery import Celery
from stopwatch import ADDRESS, JOBS, Stopwatch

watch = Stopwatch()
app = Celery("bench", broker=ADDRESS)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=1000,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    broker_pool_limit=10,
    task_default_queue="bench",
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
)
watch.on_last = watch.report


@app.task(name="job")
def job() -> None:
    watch.job()


with watch.enqueueing(), app.producer_pool.acquire(block=True) as producer:
    for _ in range(JOBS):
        job.apply_async(producer=producer)
app.Worker(
    pool="solo", loglevel="ERROR", without_gossip=True, without_mingle=True, without_heartbeat=True, quiet=True
).start()
