"""Measure the time from sending a task to the start of its handler, on an idle server and at half load."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from ..frame import Bar, Contestant, Field, Figure, Part
from ..load import CONNECTIONS, load, post
from ..results import Run
from ..server import pexecutor_server, plain_server
from ..ways import FAST, FAST_FLAGS, MEMORY, SQLITE

ECHO: Final = "bare echo"
PERCENTILES: Final = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
TASKS: Final = 1000
WARM_UP_TASKS: Final = 100


@contextmanager
def contestants(quick: bool) -> Iterator[Field]:
    """Yield the bare echo, and pexecutor on each store; each run starts its own server."""
    tasks = TASKS // (20 if quick else 1)
    yield Field(
        [
            Contestant(ECHO, partial(_echo, tasks)),
            Contestant(MEMORY, partial(_pexecutor, tasks, ("--store", "memory"))),
            Contestant(SQLITE, partial(_pexecutor, tasks, ())),
            Contestant(FAST, partial(_pexecutor, tasks, FAST_FLAGS[FAST])),
        ]
    )


def stamped(tasks: int, pause_seconds: float = 0.0) -> Iterator[bytes]:
    """Yield requests that contain the time at which they are made, just before they are sent."""
    for number in range(tasks):
        time.sleep(pause_seconds)
        now = time.perf_counter()
        task = {"name": f"{now}-{number}", "handler": "stamp", "params": {"sent_at": now}}
        yield post("/tasks", json.dumps(task).encode())


def _echo(tasks: int) -> Run:
    body = json.dumps({"name": "0123456789.0123-0", "handler": "stamp", "params": {"sent_at": time.perf_counter()}})
    request = post("/echo", body.encode())
    with plain_server() as server:
        load(server.port, [request] * WARM_UP_TASKS, 1)
        trips = load(server.port, [request] * tasks, 1).round_trips
    return Run(tasks, len(trips), _percentiles("idle", trips))


def _pexecutor(tasks: int, flags: Sequence[str]) -> Run:
    with (
        tempfile.TemporaryDirectory() as folder,
        pexecutor_server("--data-dir", folder, *flags) as server,
    ):
        load(server.port, stamped(WARM_UP_TASKS), 1)
        server.take_counts()
        load(server.port, stamped(tasks), 1)
        idle = server.take_counts()
        begin = time.perf_counter()
        load(server.port, stamped(tasks), CONNECTIONS)
        server.take_counts()
        most = tasks / (time.perf_counter() - begin)
        load(server.port, stamped(tasks, pause_seconds=2 / most))
        half = server.take_counts()
    figures = _percentiles("idle", idle["delays"]) | _percentiles("half", half["delays"])
    return Run(2 * tasks, idle["ran"] + half["ran"], figures)


def _percentiles(load_name: str, seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        f"{load_name}_{name}": 1000 * ordered[math.ceil(share * len(ordered)) - 1]
        for name, share in PERCENTILES.items()
    }


PART: Final = Part(
    name="latency",
    title="From submit to start",
    about=(
        "Milliseconds from just before a task is sent over HTTP until its handler starts, by the clock that all "
        f"processes of a machine share; {TASKS:,} tasks, 5 workers. Idle: one connection, one task at a time. Half "
        f"load: tasks are sent at half the rate at which the tasks of {CONNECTIONS} connections finished just before. "
        "A task on SQLite starts once it is flushed to the disk. For the bare echo, quart-trio on Hypercorn, the "
        "figure is the whole round trip of the same body; pexecutor handles a task behind Hypercorn and before Quart."
    ),
    figures={
        f"{load_name}_{name}": Figure(f"{shown}, {name.replace('p999', 'p99.9')}", "ms", 2)
        for load_name, shown in (("idle", "Idle"), ("half", "Half load"))
        for name in PERCENTILES
    },
    plotted=("idle_p50", "idle_p99", "half_p50", "half_p99"),
    bars=[
        Bar(
            "idle, p50, memory vs. round trip of the bare echo",
            MEMORY,
            "idle_p50",
            1.3,
            against=[(ECHO, "idle_p50")],
            at_most=True,
        ),
        Bar(
            "idle, p50, SQLite vs. round trip of the bare echo",
            SQLITE,
            "idle_p50",
            1.3,
            against=[(ECHO, "idle_p50")],
            at_most=True,
        ),
        Bar("idle, p50, memory, fast listener, ms", FAST, "idle_p50", None, 0.4, at_most=True),
    ],
    open=contestants,
)
