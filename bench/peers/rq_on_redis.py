"""RQ on Redis: enqueued with ``enqueue_many`` and run by ``SimpleWorker``, which does not fork; no results kept."""

from __future__ import annotations

import logging
import sys
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker
from stopwatch import ADDRESS, JOBS, Stopwatch

AT_ONCE = 1000

logging.disable(logging.WARNING)
watch = Stopwatch()
redis = Redis.from_url(ADDRESS)
queue = Queue("bench", connection=redis)
redis.ping()


def job() -> None:
    watch.job()


def one() -> Any:
    return Queue.prepare_data("rq_on_redis.job", result_ttl=0)


sys.modules["rq_on_redis"] = sys.modules["__main__"]  # the worker imports the job from here
with watch.enqueueing():
    for first in range(0, JOBS, AT_ONCE):
        queue.enqueue_many([one() for _ in range(min(AT_ONCE, JOBS - first))])
SimpleWorker([queue], connection=redis).work(burst=True, logging_level="ERROR")
watch.report()
