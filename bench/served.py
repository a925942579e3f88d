"""One run of pexecutor over HTTP: start a server, submit batches over one connection, wait until all tasks finish."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from .jobs import NO_OP
from .results import Run
from .server import Server, pexecutor_server

BATCH_TASKS: Final = 1000


def make_bodies(prefix: str, tasks: int, batch_tasks: int = BATCH_TASKS) -> list[bytes]:
    """Return the JSON bodies of batches of no-op tasks with unique names."""
    return [
        msgspec.json.encode(
            [
                {"name": f"{prefix}-{number:08}", "handler": NO_OP}
                for number in range(first, min(first + batch_tasks, tasks))
            ]
        )
        for first in range(0, tasks, batch_tasks)
    ]


def serve_and_feed(flags: Sequence[str], *, tasks: int) -> Run:
    """Start a server, warm it up with one batch, then time `tasks` tasks."""
    with pexecutor_server(*flags) as server:
        warm_up(server)
        before = server.finished()
        bodies = make_bodies("task", tasks)
        begin = time.perf_counter()
        for body in bodies:
            server.submit(body)
        accepted = time.perf_counter() - begin
        server.wait_for(before + tasks)
        through = time.perf_counter() - begin
        return Run(tasks, server.take_counts()["ran"], {"accepted": tasks / accepted, "through": tasks / through})


def warm_up(server: Server) -> None:
    """Run one batch of no-op tasks, and reset the counts."""
    [body] = make_bodies("warm-up", BATCH_TASKS)
    server.submit(body)
    server.wait_for(BATCH_TASKS)
    server.take_counts()
