"""Tasks that wait: a server filled with them behind one that runs."""

from __future__ import annotations

import json
import time
from typing import Final, NamedTuple

from .server import Server

BATCH_TASKS: Final = 1000


def fill(server: Server, tasks: int) -> None:
    """Have so many tasks wait behind one that watches the loop, on a pool of one."""
    server.submit(json.dumps([{"name": "watch", "handler": "watch", "priority": 1}]).encode())
    for first in range(0, tasks, BATCH_TASKS):
        names = [{"name": f"task-{number:08}"} for number in range(first, min(first + BATCH_TASKS, tasks))]
        server.submit(json.dumps(names).encode())


class Hold(NamedTuple):
    """For how many milliseconds the loop was held at most: of the processor's time, and of all that went by."""

    worked: float
    passed: float


def longest_hold(server: Server) -> Hold:
    """As seen by the one that watches."""
    [watching] = json.loads(server.get("/tasks/running"))
    progress = watching["progress"]
    return Hold(progress["done"] / 1000, progress["total"] / 1000)


def wait_until_busy(server: Server) -> None:
    """Wait until the worker has its task: after a crash a start is written down before it is made.

    Raises:
        SystemExit: it has none after ten seconds.
    """
    for _ in range(1000):
        if server.statistics()["busy"]:
            return
        time.sleep(0.01)
    raise SystemExit("no task was started within 10 s")


def pending(server: Server) -> int:
    """How many wait."""
    return int(server.statistics()["store"]["pending"])
