"""Huey on Redis: no results, one consumer thread that blocks on the list. More threads are slower for no-op jobs."""

from __future__ import annotations

from huey import RedisHuey
from stopwatch import ADDRESS, JOBS, Stopwatch

from huey_consumer import drain  # isort: skip

watch = Stopwatch()
huey = RedisHuey("bench", url=ADDRESS, results=False)


@huey.task()
def job() -> None:
    watch.job()


with watch.enqueueing():
    for _ in range(JOBS):
        job()
drain(huey, watch)
