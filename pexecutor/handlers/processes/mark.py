"""The mark of a process that runs for a task: which task, of which store, started by which server.

It is in the environment, from the first instant and in words, and once more in the tag (see ``proc.py``), which no
process can lose. A later server reads it to find what a dead server has left at work (see ``leftovers.py``).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from ..context import Context

TASK_ID_VARIABLE: Final = "PEXECUTOR_TASK_ID"
TASK_NAME_VARIABLE: Final = "PEXECUTOR_TASK_NAME"
TASK_TOKEN_VARIABLE: Final = "PEXECUTOR_TASK_TOKEN"
STORE_VARIABLE: Final = "PEXECUTOR_TASK_STORE"
SERVER_VARIABLE: Final = "PEXECUTOR_TASK_SERVER"

_STORE_BITS: Final = 24
_PID_BITS: Final = 22
"""Linux numbers at most 4,194,304 processes."""
_RUN_BITS: Final = 15

_store: ContextVar[Callable[[], str]] = ContextVar("store", default=lambda: "")
_runs: Final = count()


class Tag(NamedTuple):
    """What a tag says.

    Parameters:
        store: which store, as ``store_number`` numbers them.
        server: the pid of the server.
        run: tells the runs of one server from each other.
    """

    store: int
    server: int
    run: int


@contextmanager
def marking_for(store: Callable[[], str]) -> Iterator[None]:
    """Have what is started in this Trio task and in its descendants marked for a store.

    Parameters:
        store: tells the store's identity: two stores have different ones, a copy of a file included.
    """
    token = _store.set(store)
    try:
        yield
    finally:
        _store.reset(token)


def marked(environment: Mapping[str, str], context: Context) -> dict[str, str]:
    """Return the environment of a process that runs for a task."""
    marks = {
        TASK_ID_VARIABLE: context.id,
        TASK_NAME_VARIABLE: context.name,
        TASK_TOKEN_VARIABLE: str(context.token),
        STORE_VARIABLE: store_text(_store.get()()),
        SERVER_VARIABLE: str(os.getpid()),
    }
    return {**environment, **marks}


def next_tag() -> int:
    """Return the tag of one more run."""
    run = next(_runs) % (1 << _RUN_BITS)
    return (store_number(_store.get()()) << _PID_BITS | os.getpid()) << _RUN_BITS | run


def read_tag(tag: int) -> Tag:
    """Return what a tag says."""
    rest, run = divmod(tag, 1 << _RUN_BITS)
    store, server = divmod(rest, 1 << _PID_BITS)
    return Tag(store, server, run)


def store_text(identity: str) -> str:
    """Return a store's identity as it is in the environment; no path and no address is shown there."""
    return _digest(identity).hex()[:16]


def store_number(identity: str) -> int:
    """Return a store's identity as it is in a tag."""
    return int.from_bytes(_digest(identity)[8:11])


def _digest(identity: str) -> bytes:
    # The numbers of processes mean something in one namespace only, so what another one has marked is another's.
    namespace = ""
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{identity}\0{namespace}".encode(errors="surrogateescape")).digest()
