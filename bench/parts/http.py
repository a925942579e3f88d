"""Measure how fast tasks are accepted and finished over HTTP while workers run them: each way to send, each store."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from ..frame import Bar, Contestant, Field, Figure, Part
from ..load import CONNECTIONS
from ..results import Run
from ..served import warm_up
from ..server import Server, pexecutor_server, plain_server
from ..singles import send_singles
from ..valkey import Valkey, valkey_server
from ..ways import FAST, FAST_FLAGS, FAST_SQLITE, MEMORY, SQLITE, TITLES, WAYS, flags_by_store

ECHO: Final = "bare echo"
POOL_SIZE: Final = 1000
TASKS: Final = {"batch100": 10_000, "batch1000": 30_000, "stream": 30_000}


@contextmanager
def contestants(quick: bool) -> Iterator[Field]:
    """Yield the bare echo, and pexecutor on each store and listener; each run starts its own server."""
    with valkey_server() as valkey:
        yield Field(
            [
                Contestant(ECHO, partial(_echo, quick)),
                *[
                    Contestant(name, partial(_pexecutor, valkey, flags, quick))
                    for name, flags in {**flags_by_store(valkey), **FAST_FLAGS}.items()
                ],
            ]
        )


def _pexecutor(valkey: Valkey, flags: Sequence[str], quick: bool) -> Run:
    valkey.empty()
    figures, sent = {}, 0
    with (
        tempfile.TemporaryDirectory() as folder,
        pexecutor_server("--data-dir", folder, "--pool-size", str(POOL_SIZE), *flags) as server,
    ):
        warm_up(server)
        for name, way in WAYS.items():
            tasks, before = TASKS[name] // (20 if quick else 1), server.finished()
            bodies = way.write(name, tasks)
            begin = time.perf_counter()
            way.send(server, bodies)
            figures[f"{name}_accepted"] = tasks / (time.perf_counter() - begin)
            server.wait_for(before + tasks)
            figures[f"{name}_finished"] = tasks / (time.perf_counter() - begin)
            sent += tasks
        ran = server.take_counts()["ran"]
        return _with_singles(server, Run(sent, ran, figures), quick=quick)


def _with_singles(server: Server, run: Run, *, quick: bool) -> Run:
    """Add one task per request to a run. Tasks that ran but were not answered by the end of the load do not count."""
    before = server.finished()
    begin = time.perf_counter()
    sent = send_singles(server.port, "/tasks", "one", quick=quick)
    server.wait_for(before + sent.answered)
    figures = {"one_accepted": sent.rate, "one_finished": sent.answered / (time.perf_counter() - begin)}
    ran = min(sent.answered, server.take_counts()["ran"])
    return Run(run.sent + sent.answered, run.ran + ran, run.figures | figures)


def _echo(quick: bool) -> Run:
    with plain_server() as server:
        sent = send_singles(server.port, "/echo", "one", quick=quick)
        return Run(sent.answered, sent.answered, {"one_accepted": sent.rate})


def _figures() -> Iterator[tuple[str, Figure]]:
    for name, title in {"one": "One per request", **TITLES}.items():
        yield f"{name}_accepted", Figure(f"{title}: accepted", "/s")
        yield f"{name}_finished", Figure(f"{title}: finished", "/s")


PART: Final = Part(
    name="http",
    title="Accepted and finished over HTTP",
    about=(
        f"{POOL_SIZE} workers run no-op jobs as they arrive: in batches and as a stream over one connection, and one "
        f"per request over {CONNECTIONS} connections. *Accepted* is the rate until the last reply, *finished* the "
        "rate until the last outcome is recorded. One thread does both, so it accepts tasks more slowly here than "
        "while no task runs. The bare echo is quart-trio on Hypercorn and replies with the request's body; pexecutor "
        "handles lists and single tasks behind Hypercorn and before Quart. *fast* means `--server fast`, which uses "
        "neither Hypercorn nor Quart."
    ),
    figures=dict(_figures()),
    plotted=("one_finished", "batch1000_finished", "stream_finished"),
    bars=[
        Bar("finished, batches of 1000, memory, tasks/s", MEMORY, "batch1000_finished", 150_000, 300_000),
        Bar("finished, batches of 1000, SQLite, tasks/s", SQLITE, "batch1000_finished", 60_000, 120_000),
        Bar("one per request, memory vs. bare echo", MEMORY, "one_accepted", 0.95, against=[(ECHO, "one_accepted")]),
        Bar("one per request, SQLite vs. memory", SQLITE, "one_accepted", 0.9, 1, [(MEMORY, "one_accepted")]),
        Bar("one per request, memory, fast listener, requests/s", FAST, "one_accepted", 25_000, 40_000),
        Bar(
            "one per request, fast listener, SQLite vs. memory",
            *(FAST_SQLITE, "one_accepted", 0.9, 1, [(FAST, "one_accepted")]),
        ),
    ],
    open=contestants,
)
