"""Measure an idle server: the time to start, memory, wake-ups and CPU."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from ..frame import Bar, Contestant, Field, Figure, Part
from ..results import Run
from ..served import warm_up
from ..server import Server, pexecutor_server
from ..valkey import valkey_server
from ..ways import MEMORY, SQLITE, VALKEY

SECONDS: Final = 2.0
SETTLING_SECONDS: Final = 1.0
WARM_UP_TASKS: Final = 1000


@contextmanager
def contestants(quick: bool) -> Iterator[Field]:
    """Yield pexecutor on each store; each run starts its own server."""
    seconds = SECONDS / (10 if quick else 1)
    with valkey_server() as valkey:
        flags = {SQLITE: (), MEMORY: ("--store", "memory"), VALKEY: ("--store", valkey.url)}
        yield Field([Contestant(name, partial(_run, seconds, store)) for name, store in flags.items()])


def _run(seconds: float, flags: Sequence[str]) -> Run:
    """Measure a server before its first task and after a thousand tasks; count the tasks that finished."""
    with tempfile.TemporaryDirectory() as folder, pexecutor_server("--data-dir", folder, *flags) as server:
        figures = {"serves_after": server.seconds_to_serve, "memory": server.memory_bytes() / 1e6}
        warm_up(server)
        time.sleep(SETTLING_SECONDS)
        woken, used = _wake_ups(server), server.cpu_seconds()
        time.sleep(seconds)
        figures["wake_ups"] = (_wake_ups(server) - woken) / seconds
        figures["cpu"] = 1000 * (server.cpu_seconds() - used) / seconds
        figures["memory_used"] = server.memory_bytes() / 1e6
        return Run(WARM_UP_TASKS, server.finished() - 1, figures)


def _wake_ups(server: Server) -> int:
    """Return how often the server's threads went to sleep voluntarily, which is how often they were woken."""
    threads = Path(f"/proc/{server.pid}/task").iterdir()
    statuses = [(thread / "status").read_text(encoding="utf-8") for thread in threads]
    return sum(int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for status in statuses)


PART: Final = Part(
    name="idle",
    title="Idle",
    about=(
        "A server with default settings: the time from the start of the process to its first reply, and its memory "
        "then. After a thousand tasks: its memory, how often its threads wake up, and their CPU use during "
        f"{SECONDS:g} s. A node of a shared queue sends a heartbeat every second."
    ),
    figures={
        "serves_after": Figure("Start to first reply", "s", 2),
        "memory": Figure("Memory, before the first task", "MB", 1),
        "memory_used": Figure("Memory, after 1000 tasks", "MB", 1),
        "wake_ups": Figure("Wake-ups", "/s", 1),
        "cpu": Figure("CPU", "‰ of a core", 1),
    },
    plotted=("serves_after", "memory", "wake_ups"),
    bars=[
        Bar("memory, SQLite, MB", SQLITE, "memory", 60, 45, at_most=True),
        Bar("wake-ups, SQLite, /s", SQLITE, "wake_ups", 2, at_most=True),
    ],
    open=contestants,
)
