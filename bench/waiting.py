"""Fill a server with pending tasks, behind one task that occupies its only worker."""

from __future__ import annotations

import json
import time
from typing import Final, NamedTuple

from .server import Server

BATCH_TASKS: Final = 1000


def fill(server: Server, tasks: int) -> None:
    """Submit a task that watches the event loop, then `tasks` tasks that wait for it; the server has one worker."""
    server.submit(json.dumps([{"name": "watch", "handler": "watch", "priority": 1}]).encode())
    for first in range(0, tasks, BATCH_TASKS):
        names = [{"name": f"task-{number:08}"} for number in range(first, min(first + BATCH_TASKS, tasks))]
        server.submit(json.dumps(names).encode())


class Hold(NamedTuple):
    """The longest time that the event loop was blocked, in milliseconds: of CPU time, and of elapsed time."""

    worked: float
    passed: float


def longest_hold(server: Server) -> Hold:
    """Return the longest block of the event loop, as measured by the running `watch` task."""
    [watching] = json.loads(server.get("/tasks/running"))
    progress = watching["progress"]
    return Hold(progress["done"] / 1000, progress["total"] / 1000)


def wait_until_busy(server: Server) -> None:
    """Wait until the worker runs a task. After a crash, the start is recorded before the worker begins.

    Raises:
        SystemExit: the worker runs no task after ten seconds.
    """
    for _ in range(1000):
        if server.statistics()["busy"]:
            return
        time.sleep(0.01)
    raise SystemExit("the worker started no task within 10 s")


def pending(server: Server) -> int:
    """Return the number of pending tasks."""
    return int(server.statistics()["store"]["pending"])
