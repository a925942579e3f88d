"""Three nodes on one server, under load: one dies, one is paused longer than its lease, and the server is killed.

Handlers record their own effects. Each run of a task takes the lock file of the task's name. A run that finds the lock
taken has detected two concurrent runs, unless the holder of the lock is frozen. Each effect carries the fencing token
of its run, so effects of a run that was frozen for too long are refused.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from typing import Any

import httpx2
import pytest

from ..stores.valkey.server import ValkeyServer, valkey_server
from .process import ServerProcess, eventually

LEASE_SECONDS = 3
CLIENTS = 3
NAMES = 400

HANDLERS = '''
import fcntl, os, pathlib, trio, pexecutor

HERE = pathlib.Path(__file__).parent


@pexecutor.handler
async def work(context, *, steps: int):
    with (HERE / "locks" / context.name).open("a+") as lock:
        has_it = take(lock)
        if not has_it and not is_frozen(await holder_of(lock)):
            (HERE / "twice" / context.name).touch()
        try:
            note(context, "started")
            for _ in range(steps):
                await trio.sleep(0.02)
                effect(context)
            note(context, "ended")
        finally:
            if has_it:
                lock.truncate(0)


def take(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return True


async def holder_of(lock):
    for _ in range(50):
        lock.seek(0)
        if pid := lock.read():
            return pid
        await trio.sleep(0.02)
    return None


def is_frozen(pid):
    """Also one that was frozen before it could say who it is."""
    status = pathlib.Path("/proc") / str(pid) / "stat"
    return pid is None or (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "T")


def effect(context):
    """Something that only the latest run of a name may do."""
    with (HERE / "effects" / context.name).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        highest = max([int(line) for line in file], default=0)
        if context.token < highest:
            note(context, "refused")
            raise RuntimeError("a later run has begun")
        file.write(f"{context.token}\\\\n")


def note(context, what):
    file = os.open(HERE / "notes" / context.id, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{what}\\\\n".encode())
    os.close(file)
'''.replace("\\\\n", "\\n")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    (tmp_path / "server").mkdir()
    with valkey_server(tmp_path / "server", "--appendonly", "yes") as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for folder in ("locks", "twice", "notes", "effects"):
        (tmp_path / folder).mkdir()
    (tmp_path / "handlers.py").write_text(HANDLERS)
    return tmp_path


class Nodes:
    """The running nodes, and the replies that clients got from them."""

    def __init__(self, server: ValkeyServer, home: Path) -> None:
        flags = ("--store", server.url, "--queue", "jobs", "--lease", str(LEASE_SECONDS), "--pool-size", "6")
        self._flags = (*flags, "--port", "0", "--handlers", str(home / "handlers.py"), "--log-format", "json")
        self._log = home / "log"
        self.all: list[ServerProcess] = []
        self.up: list[ServerProcess] = []
        self.accepted: dict[str, str] = {}  # the task's `on_crash`, by its id
        self.trouble: Counter[int] = Counter()
        self.stopped = threading.Event()

    def start(self, *flags: str) -> ServerProcess:
        node = ServerProcess(*self._flags, *flags, log=self._log.with_suffix(f".{len(self.all)}"))
        self.all.append(node)
        self.up.append(node)
        return node

    def submit(self, seed: int) -> None:
        """Submit to random nodes until stopped."""
        chance = Random(seed)
        while not self.stopped.is_set():
            on_crash = chance.choice(["rerun", "rerun", "fail"])
            tasks = [
                {
                    "name": f"{on_crash}-{chance.randrange(NAMES)}",
                    "handler": "work",
                    "params": {"steps": chance.choice([0, 1, 5, 20])},
                    "on_crash": on_crash,
                }
                for _ in range(5)
            ]
            node = chance.choice(self.up)
            try:
                reply = httpx2.post(f"{node.url}/tasks?verdicts=all", json=tasks, timeout=2)
            except httpx2.HTTPError:
                self.trouble[0] += 1
            else:
                self._take_note(reply, on_crash)
            time.sleep(0.03)

    def _take_note(self, reply: httpx2.Response, on_crash: str) -> None:
        if reply.status_code in (200, 429):
            for verdict in reply.json()["Tasks"]:
                if verdict["verdict"] == "accepted":
                    self.accepted[verdict["id"]] = on_crash
        else:
            self.trouble[reply.status_code] += 1

    def get(self, path: str) -> Any:
        """Return the reply of the first node that answers."""
        for node in self.up:
            try:
                reply = node.client.get(path)
            except httpx2.HTTPError:
                continue
            if reply.status_code == 200:
                return reply.json()
        return None

    def close(self) -> None:
        self.stopped.set()
        for node in self.all:
            node.close()


@pytest.fixture
def nodes(server: ValkeyServer, home: Path) -> Iterator[Nodes]:
    nodes = Nodes(server, home)
    yield nodes
    nodes.close()


def all_ended(nodes: Nodes) -> bool:
    listed = [nodes.get(f"/tasks?state={state}&limit=1") for state in ("scheduled", "pending", "running")]
    return listed == [[], [], []]


def test_what_was_accepted_is_accounted_for_whatever_happens(nodes: Nodes, server: ValkeyServer, home: Path) -> None:
    first, paused, _ = (nodes.start() for _ in range(3))
    clients = [threading.Thread(target=nodes.submit, args=(seed,)) for seed in range(CLIENTS)]
    for client in clients:
        client.start()
    eventually(lambda: len(nodes.accepted) > 50)
    nodes.up.remove(first)
    first.signal(SIGKILL)
    time.sleep(0.5)
    nodes.up.remove(paused)
    paused.signal(SIGSTOP)
    time.sleep(LEASE_SECONDS + 2)
    paused.signal(SIGCONT)
    nodes.up.append(paused)
    nodes.start()
    time.sleep(1)
    server.kill()
    time.sleep(1)
    server.start()
    before = len(nodes.accepted)
    eventually(lambda: len(nodes.accepted) > before + 50)
    nodes.stopped.set()
    for client in clients:
        client.join()
    eventually(lambda: all_ended(nodes))

    assert list((home / "twice").iterdir()) == []
    runs = {path.name: Counter(path.read_text().split()) for path in (home / "notes").iterdir()}
    outcomes = {task_id: nodes.get(f"/tasks/{task_id}")["outcome"] for task_id in nodes.accepted}
    assert set(outcomes.values()) <= {"succeeded", "abandoned"}
    for task_id, outcome in outcomes.items():
        if outcome == "abandoned":
            assert nodes.accepted[task_id] == "fail"
        else:
            assert runs[task_id]["ended"] >= 1, "what succeeded was done"
        if nodes.accepted[task_id] == "fail":
            assert runs.get(task_id, Counter())["started"] <= 1
    assert Counter(outcomes.values())["abandoned"] < len(outcomes) / 2
    assert nodes.trouble.keys() <= {0, 503}


def test_a_node_that_stops_hands_its_tasks_back_at_once(nodes: Nodes, home: Path) -> None:
    leaving = nodes.start()
    reply = leaving.client.post("/tasks", json=[{"name": "long", "duration": 8000}]).json()
    eventually(lambda: nodes.get("/tasks/running"))
    staying = nodes.start()
    assert reply["SubmittedTasks"] == 1
    assert [node["busy"] for node in eventually(lambda: two_nodes(staying))] in ([1, 0], [0, 1])
    leaving.signal(SIGTERM)
    eventually(lambda: leaving.client.get("/readyz").status_code == 503)
    leaving.signal(SIGTERM)
    assert leaving.wait() == 0
    assert [node["busy"] for node in staying.client.get("/nodes").json()] != []
    assert len(staying.client.get("/nodes").json()) == 1
    assert eventually(lambda: staying.client.get("/tasks/finished").json())[0]["outcome"] == "succeeded"


def two_nodes(node: ServerProcess) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = node.client.get("/nodes").json()
    busy = sum(one["busy"] for one in listed)
    return listed if len(listed) == 2 and busy == 1 else []


def test_a_node_that_drains_hands_over_what_it_cannot_end(nodes: Nodes, home: Path) -> None:
    leaving = nodes.start()
    leaving.client.post("/tasks", json=[{"name": "long", "handler": "work", "params": {"steps": 400}}])
    [running] = eventually(lambda: nodes.get("/tasks/running"))
    staying = nodes.start()
    eventually(lambda: two_nodes(staying))
    assert leaving.client.post("/drain").status_code == 202
    eventually(lambda: sorted(map(draining_and_busy, nodes_of(staying))) == [(False, 0), (True, 1)])
    leaving.signal(SIGTERM)
    eventually(lambda: [*map(draining_and_busy, nodes_of(staying))] == [(False, 1)])
    assert leaving.wait() == 0
    assert eventually(lambda: staying.client.get("/tasks/finished").json())[0]["outcome"] == "succeeded"
    assert (home / "notes" / running["id"]).read_text().split() == ["started", "started", "ended"]
    assert list((home / "twice").iterdir()) == []


def draining_and_busy(node: dict[str, Any]) -> tuple[bool, int]:
    return node["draining"], node["busy"]


def nodes_of(node: ServerProcess) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = node.client.get("/nodes").json()
    return listed


def test_a_server_that_is_gone_for_longer_than_anybody_waits(nodes: Nodes, server: ValkeyServer, home: Path) -> None:
    node = nodes.start("--lease", "30")
    tasks = [{"name": f"task-{n}", "handler": "work", "params": {"steps": 50}} for n in range(10)]
    reply = node.client.post("/tasks?verdicts=all", json=tasks).json()
    eventually(lambda: len(nodes.get("/tasks/running")) == 6)
    server.kill()
    eventually(lambda: node.client.get("/readyz").status_code == 503)
    refused = node.client.post("/tasks", json=[{"name": "refused"}])
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["detail"].endswith("cannot be reached: Connection refused; nothing was sent: try again")
    eventually(lambda: [text.count("ended") for text in notes_of(home)] == [1] * 6)
    server.start()
    ids = [task["id"] for task in reply["Tasks"]]
    eventually(lambda: [(nodes.get(f"/tasks/{task}") or {}).get("outcome") for task in ids] == ["succeeded"] * 10)
    assert notes_of(home) == ["started\nended\n"] * 10
    assert "Connection attempt failed" not in node.log_text(), "the driver says nothing of its own"


def notes_of(home: Path) -> list[str]:
    return [path.read_text() for path in (home / "notes").iterdir()]
