"""Dramatiq on Redis: eight worker threads, a high prefetch limit, no results, no middleware.

Dramatiq has no call to enqueue in bulk.
"""

from __future__ import annotations

import os
import threading

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from stopwatch import ADDRESS, JOBS, Stopwatch

DRAIN_SECONDS_MAX = 120

os.environ["dramatiq_queue_prefetch"] = "1000"  # noqa: SIM112 - Dramatiq reads this lower-case name
watch = Stopwatch()
done = threading.Event()
watch.on_last = done.set
broker = RedisBroker(url=ADDRESS, middleware=[])
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="bench")
def job() -> None:
    watch.job()


with watch.enqueueing():
    for _ in range(JOBS):
        job.send()
dramatiq.Worker(broker, worker_threads=8, queues={"bench"}).start()
done.wait(DRAIN_SECONDS_MAX)
watch.report()
