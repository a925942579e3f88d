"""Huey on SQLite. With ``fsync`` as the third argument, Huey flushes each change to the disk."""

from __future__ import annotations

import sys

from huey import SqliteHuey
from huey_consumer import drain
from stopwatch import ADDRESS, JOBS, Stopwatch

watch = Stopwatch()
huey = SqliteHuey("bench", filename=ADDRESS, results=False, fsync=sys.argv[3:] == ["fsync"])


@huey.task()
def job() -> None:
    watch.job()


with watch.enqueueing():
    for _ in range(JOBS):
        job()
drain(huey, watch)
