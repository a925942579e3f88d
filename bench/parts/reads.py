"""Measure how fast each kind of read is answered, with few and with many pending tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from ..frame import Contestant, Field, Figure, Part
from ..load import get, load
from ..results import Run
from ..served import warm_up
from ..server import pexecutor_server
from ..waiting import fill

FEW: Final = 1000
MANY: Final = 100_000
CONNECTIONS: Final = 8

ROUTES: Final = {
    "livez": ("/livez", 400),
    "readyz": ("/readyz", 300),
    "metrics": ("/metrics", 150),
    "task": ("/tasks/{id}", 300),
    "by_name": ("/tasks?name=task-00000500", 200),
    "page100": ("/tasks/pending?limit=100", 150),
    "page1000": ("/tasks/pending?limit=1000", 60),
    "running": ("/tasks/running", 200),
    "finished": ("/tasks/finished?limit=100", 200),
    "handlers": ("/handlers", 200),
    "nodes": ("/nodes", 200),
}
"""The path and the number of requests per run, by figure."""


@contextmanager
def contestants(quick: bool) -> Iterator[Field]:
    """Yield one contestant for each number of pending tasks; each run starts its own server."""
    share = 20 if quick else 1
    yield Field(
        [Contestant(f"pexecutor, {tasks:,} pending", partial(_run, tasks // share, share)) for tasks in (FEW, MANY)]
    )


def _run(tasks: int, share: int) -> Run:
    figures, sent, answered = {}, 0, 0
    with pexecutor_server("--store", "memory", "--pool-size", "1") as server:
        warm_up(server)
        fill(server, tasks)
        [running] = json.loads(server.get("/tasks/running"))
        for name, (path, requests) in ROUTES.items():
            request = get(path.format(id=running["id"]))
            done = load(server.port, [request] * (requests // share), CONNECTIONS)
            figures[name] = done.answered / done.seconds
            sent += requests // share
            answered += done.answered
    return Run(sent, answered, figures)


PART: Final = Part(
    name="reads",
    title="Reads",
    about=(
        f"Requests per second over {CONNECTIONS} connections, each with one request in flight at all times. One task "
        "runs, the others are pending, and a thousand have finished. Only successful replies count."
    ),
    figures={name: Figure(f"`GET {path}`", "/s") for name, (path, _) in ROUTES.items()},
    plotted=("task", "page100", "page1000"),
    bars=[],
    open=contestants,
)
