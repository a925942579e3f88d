"""Publish the progress of running tasks as events."""

from __future__ import annotations

from typing import Final, NoReturn

import trio

from ..observe.events import Feed, TaskProgress
from .pool import Pool

PROGRESS_SECONDS: Final = 0.2
"""The shortest time between two progress events of a task."""


async def publish_progress(pool: Pool, events: Feed) -> NoReturn:
    """Put changed progress into the events every ``PROGRESS_SECONDS``, while the events have a reader."""
    published: dict[int, TaskProgress] = {}
    while True:
        await events.wait_for_reader()
        seen = {
            running.serial: TaskProgress(running, context.done, context.total)
            for running, context in pool.at_work()
            if context.done is not None
        }
        for serial, progress in seen.items():
            if published.get(serial) != progress:
                events.put(progress)
        published = seen
        await trio.sleep(PROGRESS_SECONDS)
