"""A server of its own for one run: fed with batches over one connection, until all has its outcome."""

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
    """Batches of no-op jobs, each with a name of its own."""
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
    """Start a server, warm it up with one batch, and time the rest."""
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
        return Run(tasks, server.told()["ran"], {"accepted": tasks / accepted, "through": tasks / through})


def warm_up(server: Server) -> None:
    """Let it do everything once, and forget that it did."""
    [body] = make_bodies("warm-up", BATCH_TASKS)
    server.submit(body)
    server.wait_for(BATCH_TASKS)
    server.told()
