"""Measure one, two and three nodes on one Valkey server, with jobs of 20 ms."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from ..frame import Bar, Contestant, Field, Figure, Part
from ..jobs import NAP, NAP_SECONDS
from ..results import Run
from ..server import POLL_SECONDS, RUN_SECONDS_MAX, Server, pexecutor_server
from ..valkey import Valkey, valkey_server

NODES: Final = (1, 2, 3)
POOL_SIZE: Final = 10
"""Small enough that the number of workers limits the rate, not the cores."""

SECONDS: Final = 2.0
"""The shortest possible duration of a run."""

WARM_UP_JOBS: Final = 50


@contextmanager
def contestants(quick: bool) -> Iterator[Field]:
    """Yield one contestant for each number of nodes; each run starts its own nodes on an empty Valkey server."""
    seconds = SECONDS / 10 if quick else SECONDS
    with valkey_server() as valkey:
        yield Field([Contestant(_name(nodes), partial(_run, valkey, nodes, seconds)) for nodes in NODES])


def _name(nodes: int) -> str:
    return f"pexecutor, {nodes} {'node' if nodes == 1 else 'nodes'}"


def _run(valkey: Valkey, nodes: int, seconds: float) -> Run:
    valkey.empty()
    most = nodes * POOL_SIZE / NAP_SECONDS
    jobs = round(most * seconds)
    flags = ("--store", valkey.url, "--durability", "none", "--pool-size", str(POOL_SIZE))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = [stack.enter_context(pexecutor_server(*flags)) for _ in range(nodes)]
        _take(servers, "warm-up", Path(folder) / "warm-up", WARM_UP_JOBS, 0)
        tally = Path(folder) / "tally"
        begin = time.perf_counter()
        _take(servers, "job", tally, jobs, WARM_UP_JOBS)
        rate = jobs / (time.perf_counter() - begin)
        return Run(jobs, tally.stat().st_size, {"through": rate, "share": rate / most})


def _take(servers: list[Server], prefix: str, tally: Path, jobs: int, before: int) -> None:
    """Submit jobs to the first node, and wait until the nodes have recorded all outcomes."""
    tally.touch()
    servers[0].submit(
        msgspec.json.encode(
            [{"name": f"{prefix}-{number}", "handler": NAP, "params": {"tally": str(tally)}} for number in range(jobs)]
        )
    )
    deadline = time.monotonic() + RUN_SECONDS_MAX
    while tally.stat().st_size < jobs or sum(server.finished() for server in servers) < before + jobs:
        if time.monotonic() > deadline:
            raise SystemExit(f"only {tally.stat().st_size} of {jobs} jobs ran within {RUN_SECONDS_MAX} s")
        time.sleep(POLL_SECONDS)


PART: Final = Part(
    name="nodes",
    title="More nodes",
    about=(
        f"Jobs of 20 ms on one Valkey server, {POOL_SIZE} workers per node. All jobs are submitted to the first node "
        "in one batch; the time is from the submit to the last outcome. The share is relative to the highest "
        "possible rate of the workers, 50 jobs per second each."
    ),
    figures={"through": Figure("Through", "/s"), "share": Figure("Share of the highest possible rate", "0 to 1", 2)},
    plotted=("through",),
    bars=[
        Bar("3 nodes vs. 1 node", _name(3), "through", 2.7, 3, against=[(_name(1), "through")]),
        Bar("2 nodes vs. 1 node", _name(2), "through", 1.8, 2, against=[(_name(1), "through")]),
    ],
    open=contestants,
)
