"""The mark of a process that runs for a task: its task, its store and its server.

The mark is in the environment, as text, from the start of the process. It is also in the tag (see ``proc.py``), which a
process cannot remove. After a crash, the next server finds the processes of the dead server by their marks (see
``leftovers.py``).
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
"""Linux has at most 4,194,304 process ids."""
_RUN_BITS: Final = 15

_store: ContextVar[Callable[[], str]] = ContextVar("store", default=lambda: "")
_runs: Final = count()


class Tag(NamedTuple):
    """The content of a tag.

    Parameters:
        store: the number of the store, as ``store_number`` returns it.
        server: the pid of the server.
        run: a number that distinguishes the attempts of one server.
    """

    store: int
    server: int
    run: int


@contextmanager
def marking_for(store: Callable[[], str]) -> Iterator[None]:
    """Mark the processes that this Trio task and its descendants start for a store.

    Parameters:
        store: returns the store's identity. Different stores have different identities, even copies of one file.
    """
    token = _store.set(store)
    try:
        yield
    finally:
        _store.reset(token)


def marked(environment: Mapping[str, str], context: Context) -> dict[str, str]:
    """Return an environment with the mark of a task added."""
    marks = {
        TASK_ID_VARIABLE: context.id,
        TASK_NAME_VARIABLE: context.name,
        TASK_TOKEN_VARIABLE: str(context.token),
        STORE_VARIABLE: store_text(_store.get()()),
        SERVER_VARIABLE: str(os.getpid()),
    }
    return {**environment, **marks}


def next_tag() -> int:
    """Return a tag for the next attempt."""
    run = next(_runs) % (1 << _RUN_BITS)
    return (store_number(_store.get()()) << _PID_BITS | os.getpid()) << _RUN_BITS | run


def read_tag(tag: int) -> Tag:
    """Return the content of a tag."""
    rest, run = divmod(tag, 1 << _RUN_BITS)
    store, server = divmod(rest, 1 << _PID_BITS)
    return Tag(store, server, run)


def store_text(identity: str) -> str:
    """Return a store's identity for the environment: a digest, so that it shows no path or address."""
    return _digest(identity).hex()[:16]


def store_number(identity: str) -> int:
    """Return a store's identity for a tag: 24 bits of a digest."""
    return int.from_bytes(_digest(identity)[8:11])


def _digest(identity: str) -> bytes:
    # Process ids are only valid within one pid namespace, so the same store has another identity in another namespace.
    namespace = ""
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{identity}\0{namespace}".encode(errors="surrogateescape")).digest()
