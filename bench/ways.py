"""The ways to send many tasks over one connection, and the server flags for each store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from .jobs import NO_OP
from .served import BATCH_TASKS, make_bodies
from .server import Server
from .valkey import Valkey

PLAIN: Final = "plain handler"
MEMORY: Final = "pexecutor, memory"
SQLITE: Final = "pexecutor, SQLite"
VALKEY: Final = "pexecutor, Valkey"
FAST: Final = "pexecutor, memory, fast"
FAST_SQLITE: Final = "pexecutor, SQLite, fast"


def flags_by_store(valkey: Valkey) -> Mapping[str, Sequence[str]]:
    """Return the server's flags for each store, by contestant name. To measure another server, add its flags here."""
    return {
        MEMORY: ("--store", "memory"),
        SQLITE: ("--store", "sqlite"),
        VALKEY: ("--store", valkey.url, "--durability", "none"),
    }


FAST_FLAGS: Final[Mapping[str, Sequence[str]]] = {
    FAST: ("--store", "memory", "--server", "fast"),
    FAST_SQLITE: ("--store", "sqlite", "--server", "fast"),
}
"""The server's flags for each store with the fast listener, by contestant name."""


class Way(NamedTuple):
    """A way to send tasks: `write` encodes them before the clock starts, `send` sends them."""

    write: Callable[[str, int], Sequence[bytes]]
    send: Callable[[Server, Sequence[bytes]], None]


def send_batches(server: Server, bodies: Sequence[bytes]) -> None:
    """Submit the batches one after the other."""
    for body in bodies:
        server.submit(body)


def _write_lines(prefix: str, tasks: int) -> list[bytes]:
    """Encode one task per line; each piece has as many lines as a batch has tasks."""
    lines = [json.dumps({"name": f"{prefix}-{number}", "handler": NO_OP}).encode() + b"\n" for number in range(tasks)]
    return [b"".join(lines[first : first + BATCH_TASKS]) for first in range(0, tasks, BATCH_TASKS)]


BATCHES: Final = {
    "batch100": Way(partial(make_bodies, batch_tasks=100), send_batches),
    "batch1000": Way(make_bodies, send_batches),
}
WAYS: Final = {**BATCHES, "stream": Way(_write_lines, Server.stream)}
"""All ways, by the name of the figure."""

TITLES: Final = {"batch100": "Batches of 100", "batch1000": "Batches of 1000", "stream": "NDJSON stream"}
