"""How fast tasks are taken over HTTP while nothing is run, in each way in which many can be sent."""

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
    """A server of its own for each run."""
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
    """A pool of one, and a job that occupies it; counted are the tasks that wait in the end."""
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
    """Counted are the tasks that it holds in the end."""
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
        "Tasks that are sent over one connection, until the last is answered. The only worker is occupied, so that "
        "none of them is run meanwhile: this is the price of taking a task, durably on SQLite. The plain handler is "
        "quart-trio on Hypercorn; it decodes the same lists, fills a dict and a channel, and that is all. pexecutor "
        "answers lists behind Hypercorn and before Quart. Counted are the tasks that wait in the end."
    ),
    figures={name: Figure(title, "/s") for name, title in TITLES.items()},
    plotted=("batch1000", "stream"),
    bars=[
        Bar("batches of 1000, memory, to the plain handler", MEMORY, "batch1000", 0.5, 0.8, [(PLAIN, "batch1000")]),
        Bar("NDJSON, one connection, memory, tasks/s", MEMORY, "stream", 300_000, 600_000),
    ],
    open=contestants,
)
