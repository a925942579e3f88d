"""Three nodes on one server share a limit that counts by key: none is exceeded, none is wasted, and keys are in order.

Each run of a task takes one of the files of its key, of which there are as many as its limit allows, and notes its
begin and its end with the token of its claim. While the gate is closed, every run stays at work. So the tasks that may
start can be counted: all of them run, or all workers are busy.

``TEST_KEYS=100 TEST_KEY_TASKS=1000`` in the environment of pytest sets the size; the default is small.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from ..stores.valkey.server import ValkeyServer, valkey_server
from .process import ServerProcess, eventually

KEYS: Final = int(os.environ.get("TEST_KEYS", "20"))
KEY_TASKS: Final = int(os.environ.get("TEST_KEY_TASKS", "50"))
CONCURRENCY: Final = 10
POOL_SIZE: Final = 50
NODES: Final = 3
PRIORITIES: Final = 2
CLOSINGS: Final = 4
"""How many times the gate is closed; the first time, it is closed from the start."""

SECONDS_MAX: Final = 40 + KEYS * KEY_TASKS / 20

HANDLERS: Final = f"""
import os, pathlib, trio, pexecutor

HERE = pathlib.Path(__file__).parent
NOTES = os.open(HERE / "notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


@pexecutor.handler
async def work(context, *, key: str, index: int):
    slot = take(key)
    note("begin", context, key, index)
    while (HERE / "closed").exists():
        await trio.sleep(0.05)
    note("end", context, key, index)
    slot.unlink()


def take(key):
    for number in range({CONCURRENCY}):
        slot = HERE / "slots" / f"{{key}}-{{number}}"
        try:
            os.close(os.open(slot, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return slot
    (HERE / "exceeded").touch()
    raise RuntimeError("all files of the key are taken")


def note(what, context, key, index):
    os.write(NOTES, f"{{what}} {{key}} {{index}} {{context.token}}\\n".encode())
"""

SETTINGS: Final = f"""
queue_size = 1000000
pool_size = {POOL_SIZE}

[limits.api]
concurrency = {CONCURRENCY}
per = "params.key"

[handlers.work]
limits = ["api"]
"""


class Note(NamedTuple):
    """A line that a run of a task has written."""

    what: str
    key: str
    number: int
    token: int


class Work:
    """The folder that the handlers share, and what they have noted so far."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.gate = home / "closed"
        self.submitted: Counter[str] = Counter()
        """The number of submitted tasks by key."""
        # Changed by read() alone.
        self.notes: list[Note] = []
        self.ended: Counter[str] = Counter()
        self._at = 0

    def read(self) -> None:
        """Read the notes that are new; a line may be incomplete."""
        assert not (self.home / "exceeded").exists(), "more tasks of a key run than its limit allows"
        with (self.home / "notes").open("rb") as file:
            file.seek(self._at)
            text, end, _ = file.read().rpartition(b"\n")
        self._at += len(text + end)
        for line in text.decode().splitlines():
            what, key, index, token = line.split()
            self.notes.append(Note(what, key, int(index), int(token)))
            self.ended[key] += what == "end"

    def all_run_that_may(self) -> bool:
        """Return whether no worker is idle while a task waits that no limit blocks."""
        self.read()
        running = len(self.notes) - 2 * self.ended.total()
        may_run = sum(min(CONCURRENCY, tasks - self.ended[key]) for key, tasks in self.submitted.items())
        return running == min(NODES * POOL_SIZE, may_run)

    def has_ended(self, tasks: int) -> bool:
        """Return whether at least so many tasks have ended."""
        self.read()
        return self.ended.total() >= tasks


def until(condition: Callable[[], bool], complaint: str) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < end, complaint
        time.sleep(0.1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    with valkey_server(tmp_path / "server", "--appendonly", "yes") as server:
        yield server


@pytest.fixture
def work(tmp_path: Path) -> Work:
    (tmp_path / "slots").mkdir()
    (tmp_path / "handlers.py").write_text(HANDLERS)
    (tmp_path / "pexecutor.toml").write_text(SETTINGS)
    work = Work(tmp_path)
    work.gate.touch()
    return work


@pytest.fixture
def nodes(server: ValkeyServer, work: Work) -> Iterator[list[ServerProcess]]:
    settings, handlers = work.home / "pexecutor.toml", work.home / "handlers.py"
    flags = ("--config", str(settings), "--handlers", str(handlers), "--store", server.url, "--port", "0")
    nodes = [ServerProcess(*flags, log=work.home / f"log.{number}") for number in range(NODES)]
    yield nodes
    for node in nodes:
        node.close()


def submit(nodes: list[ServerProcess], work: Work) -> None:
    """Submit the tasks of all keys in turn. So within a key, the indexes are in the order of acceptance."""
    for index in range(KEY_TASKS):
        tasks = [
            {
                "name": f"{key}-{index}",
                "handler": "work",
                "params": {"key": f"{key}", "index": index},
                "priority": index % PRIORITIES,
            }
            for key in range(KEYS)
        ]
        reply = nodes[index % NODES].client.post("/tasks", json=tasks).json()
        assert reply["SubmittedTasks"] == KEYS, reply
        work.submitted.update(str(key) for key in range(KEYS))


def test_a_limit_by_key_is_kept_and_used_up(nodes: list[ServerProcess], work: Work) -> None:
    submit(nodes, work)
    tasks = work.submitted.total()
    for closing in range(1, CLOSINGS + 1):
        until(work.all_run_that_may, "a worker is idle, although a task waits that no limit blocks")
        work.gate.unlink()
        until(partial(work.has_ended, tasks * closing // CLOSINGS), "the tasks do not go on")
        work.gate.touch()
    eventually(lambda: all(node.client.get("/tasks?state=running").json() == [] for node in nodes))

    ends = Counter((note.key, note.number) for note in work.notes if note.what == "end")
    assert (len(ends), ends.total()) == (tasks, tasks), "each task has run once"
    assert nodes[0].client.get("/tasks?state=pending").json() == []
    for tokens in tokens_by_kind(work.notes).values():
        assert tokens == sorted(tokens), "within a key and priority, tasks start in the order of acceptance"


def tokens_by_kind(notes: list[Note]) -> dict[tuple[str, int], list[int]]:
    """Return the tokens of the claims of each key and priority, in the order in which the tasks were accepted."""
    tokens: dict[tuple[str, int], list[int]] = defaultdict(list)
    for note in sorted(notes, key=lambda note: note.number):
        if note.what == "begin":
            tokens[note.key, note.number % PRIORITIES].append(note.token)
    return tokens
