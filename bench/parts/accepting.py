"""Measure how fast tasks are accepted over HTTP while no task runs, for each way to send many tasks."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from ..frame import Bar, Contestant, Field, Figure, Part
from ..jobs import HOLD
from ..results import Run
from ..served import make_bodies, warm_up
from ..server import Server, pexecutor_server, plain_server
from ..valkey import Valkey, valkey_server
from ..waiting import pending
from ..ways import BATCHES, MEMORY, PLAIN, TITLES, WAYS, Way, flags_by_store, send_batches

TASKS: Final = {"batch100": 20_000, "batch1000": 60_000, "stream": 60_000}
WARM_UP_TASKS: Final = 1000


@contextmanager
def contestants(quick: bool) -> Iterator[Field]:
    """Yield the plain server, and pexecutor on each store; each run starts its own server."""
    tasks = {name: number // (20 if quick else 1) for name, number in TASKS.items()}
    with valkey_server() as valkey:
        yield Field(
            [
                Contestant(PLAIN, partial(_plain, tasks)),
                *[
                    Contestant(name, partial(_pexecutor, valkey, flags, tasks))
                    for name, flags in flags_by_store(valkey).items()
                ],
            ]
        )


def _pexecutor(valkey: Valkey, flags: Sequence[str], tasks: Mapping[str, int]) -> Run:
    """Send tasks to a server whose only worker is occupied; count the tasks that are pending at the end."""
    valkey.empty()
    with (
        tempfile.TemporaryDirectory() as folder,
        pexecutor_server("--data-dir", folder, "--pool-size", "1", *flags) as server,
    ):
        warm_up(server)
        server.submit(json.dumps([{"name": "hold", "handler": HOLD, "priority": 1}]).encode())
        figures = _send(server, WAYS, tasks)
        return Run(sum(tasks.values()), pending(server), figures)


def _plain(tasks: Mapping[str, int]) -> Run:
    """Send tasks to the plain server; count the tasks that it holds at the end."""
    with plain_server() as server:
        send_batches(server, make_bodies("warm-up", WARM_UP_TASKS))
        figures = _send(server, BATCHES, tasks)
        held = json.loads(server.get("/held"))["held"] - WARM_UP_TASKS
        return Run(sum(tasks[name] for name in BATCHES), held, figures)


def _send(server: Server, ways: Mapping[str, Way], tasks: Mapping[str, int]) -> dict[str, float]:
    figures = {}
    for name, way in ways.items():
        bodies = way.write(name, tasks[name])
        begin = time.perf_counter()
        way.send(server, bodies)
        figures[name] = tasks[name] / (time.perf_counter() - begin)
    return figures


PART: Final = Part(
    name="accepting",
    title="Accepted over HTTP",
    about=(
        "Tasks are sent over one connection; the time ends with the reply to the last request. The only worker is "
        "occupied, so no task runs meanwhile, and the figures show the cost of accepting a task, durably on SQLite. "
        "The plain handler is quart-trio on Hypercorn; it decodes the same lists, fills a dict and a channel, and "
        "does nothing else. pexecutor handles lists behind Hypercorn and before Quart. The count is the number of "
        "tasks that are pending at the end."
    ),
    figures={name: Figure(title, "/s") for name, title in TITLES.items()},
    plotted=("batch1000", "stream"),
    bars=[
        Bar("batches of 1000, memory vs. plain handler", MEMORY, "batch1000", 0.5, 0.8, [(PLAIN, "batch1000")]),
        Bar("NDJSON, one connection, memory, tasks/s", MEMORY, "stream", 300_000, 600_000),
    ],
    open=contestants,
)
