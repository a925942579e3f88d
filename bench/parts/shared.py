"""Compare libraries that share one Valkey server: how fast each enqueues and runs no-op jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from ..environments import peer_command, peer_versions
from ..frame import Bar, Contestant, Field, Figure, Part
from ..program import run_module, run_program
from ..results import Run
from ..served import serve_and_feed
from ..valkey import Valkey, valkey_server

EMBEDDED: Final = "pexecutor"
SERVED: Final = "pexecutor over HTTP"
TASKS: Final = 20_000
POOL_SIZE: Final = 1000

PEERS: Final = {"saq": 3000, "taskiq": 3000, "huey": 5000, "rq": 500, "celery": 2000, "dramatiq": 3000, "arq": 2500}
"""The number of jobs for each peer, enough for a run of one or two seconds."""

COMPARED: Final = ("SAQ", "taskiq", "Huey", "RQ")
TITLES: Final = {"saq": "SAQ", "huey": "Huey", "rq": "RQ", "celery": "Celery", "dramatiq": "Dramatiq"}
"""The names of peers in the report, where they differ from the package's name."""


@contextmanager
def contestants(quick: bool) -> Iterator[Field]:
    """Yield all contestants on one Valkey server, which is emptied before each run."""
    share = 20 if quick else 1
    with valkey_server() as valkey:
        yield Field(
            [
                Contestant(EMBEDDED, partial(_embedded, valkey, TASKS // share)),
                Contestant(SERVED, partial(_served, valkey, TASKS // share)),
                *[
                    Contestant(TITLES.get(peer, peer), partial(_peer, valkey, peer, jobs // share))
                    for peer, jobs in PEERS.items()
                ],
            ]
        )


def _embedded(valkey: Valkey, tasks: int) -> Run:
    valkey.empty()
    return run_module("bench.embedded", valkey.url, str(tasks), "--pool-size", str(POOL_SIZE))


def _served(valkey: Valkey, tasks: int) -> Run:
    valkey.empty()
    flags = ("--store", valkey.url, "--durability", "none", "--pool-size", str(POOL_SIZE))
    return serve_and_feed(flags, tasks=tasks)


def _peer(valkey: Valkey, peer: str, jobs: int) -> Run:
    valkey.empty()
    return run_program([*peer_command(peer, f"{peer}_on_redis"), valkey.redis_url, str(jobs)])


PART: Final = Part(
    name="shared",
    title="On the same Valkey server",
    about=(
        "No-op jobs on one Valkey server without persistence, with a single worker process each. *Enqueued*: one "
        "client submits while no worker runs, in bulk where the library has an API for it. *Drained*: from the start "
        "of the first job to the start of the last; for pexecutor, to the last recorded outcome. *Through*, which is "
        f"measured for pexecutor only: submitted in batches of 1000 while {POOL_SIZE} workers run, from the first "
        "submit to the last outcome. Meanwhile pexecutor holds leases, checks names and keeps outcomes; the peers "
        "keep no results."
    ),
    figures={
        "enqueued": Figure("Enqueued", "/s"),
        "drained": Figure("Drained", "/s"),
        "accepted": Figure("Accepted while working", "/s"),
        "through": Figure("Through: submit to outcome", "/s"),
    },
    plotted=("drained", "enqueued"),
    bars=[
        Bar(
            "drained vs. the best of SAQ, taskiq, Huey and RQ",
            EMBEDDED,
            "drained",
            4,
            against=[(peer, "drained") for peer in COMPARED],
        ),
        Bar(
            "submit to outcome vs. the best drain of these four",
            EMBEDDED,
            "through",
            4,
            against=[(peer, "drained") for peer in COMPARED],
        ),
        Bar(
            "submit to outcome over HTTP vs. the best drain of these four",
            SERVED,
            "through",
            4,
            against=[(peer, "drained") for peer in COMPARED],
        ),
        Bar("enqueued in bulk vs. RQ's `enqueue_many`", EMBEDDED, "enqueued", 2, against=[("RQ", "enqueued")]),
        Bar("submit to outcome, tasks/s", EMBEDDED, "through", None, 50_000),
    ],
    open=contestants,
    versions=partial(peer_versions, *PEERS),
)
