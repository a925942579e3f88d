"""Compare queues that need no broker: pexecutor on SQLite and in memory, its peers, and the limits of the machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from ..environments import peer_command, peer_versions
from ..frame import Bar, Contestant, Field, Figure, Part
from ..postgres import find_postgres, postgres_server
from ..program import run_module, run_program
from ..results import Run

DURABLE: Final = "pexecutor, SQLite"
HUEY: Final = "Huey, SQLite"
HUEY_FSYNC: Final = "Huey, SQLite with fsync"
POOL_SIZE: Final = 1000


@contextmanager
def contestants(quick: bool) -> Iterator[Field]:
    """Yield pexecutor, the peers and the limits; each run uses a new file or an empty database."""
    share = 20 if quick else 1
    entries = [
        Contestant(DURABLE, partial(_on_file, partial(_pexecutor, 40_000 // share))),
        Contestant("pexecutor, memory", partial(run_module, "bench.embedded", "memory", str(100_000 // share))),
        Contestant(HUEY, partial(_on_file, partial(_huey, 16_000 // share))),
        Contestant(HUEY_FSYNC, partial(_on_file, partial(_huey, 5000 // share, "fsync"))),
        Contestant("limit: SQLite alone", partial(_on_file, partial(_bare, "sqlite", 300_000 // share))),
        Contestant("limit: Trio channel alone", partial(run_module, "bench.bare", "channel", str(300_000 // share))),
    ]
    programs = find_postgres()
    if programs is None:
        yield Field(entries, {"Procrastinate": "PostgreSQL is not installed on this machine"})
        return
    with postgres_server(programs) as postgres:

        def procrastinate() -> Run:
            postgres.empty()
            command = peer_command("procrastinate", "procrastinate_on_postgres")
            return run_program([*command, postgres.url, str(800 // share)])

        yield Field([*entries, Contestant("Procrastinate, PostgreSQL", procrastinate)])


def _on_file(run: Callable[[Path], Run]) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder) / "tasks.db")


def _pexecutor(tasks: int, file: Path) -> Run:
    return run_module("bench.embedded", f"sqlite:{file}", str(tasks), "--pool-size", str(POOL_SIZE))


def _huey(jobs: int, *arguments: str | Path) -> Run:
    *flags, file = arguments
    return run_program([*peer_command("huey", "huey_on_sqlite"), file, str(jobs), *flags])


def _bare(what: str, rows: int, file: Path) -> Run:
    return run_module("bench.bare", what, str(rows), str(file))


PART: Final = Part(
    name="peers",
    title="Without a broker",
    about=(
        "No-op jobs in one process. *Enqueued* and *drained* are measured as on the Valkey server. *Through*: "
        f"submitted in batches of 1000 while {POOL_SIZE} workers run, from the first submit to the last outcome. "
        "pexecutor flushes each transaction to the disk (`--durability full`), as Huey does with `fsync`. pexecutor "
        "keeps outcomes; Huey does not. The limits: SQLite rows inserted in transactions of a thousand with the same "
        "flush, and items passed through a Trio memory channel one by one."
    ),
    figures={
        "enqueued": Figure("Enqueued", "/s"),
        "drained": Figure("Drained", "/s"),
        "accepted": Figure("Accepted while working", "/s"),
        "through": Figure("Through: submit to outcome", "/s"),
    },
    plotted=("drained", "through", "enqueued"),
    bars=[
        Bar("finished, durable, tasks/s", DURABLE, "drained", 60_000, 120_000),
        Bar("submit to outcome, durable, tasks/s", DURABLE, "through", 60_000, 120_000),
        Bar("drained, durable, vs. Huey with fsync", DURABLE, "drained", 8, against=[(HUEY_FSYNC, "drained")]),
        Bar("submit to outcome vs. Huey's drain with fsync", DURABLE, "through", 8, against=[(HUEY_FSYNC, "drained")]),
        Bar("submit to outcome, memory, tasks/s", "pexecutor, memory", "through", 150_000, 300_000),
    ],
    open=contestants,
    versions=partial(peer_versions, "huey", "procrastinate"),
)
