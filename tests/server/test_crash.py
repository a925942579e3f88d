"""Kill a server under load repeatedly, and compare the tasks that it accepted with the effects of their handlers.

``TEST_KILLS=60`` in the environment of pytest sets the number of kills.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from signal import SIGKILL
from typing import Any

import httpx2
import pytest

from ..handlers.test_command import STUBBORN_FAMILY, group_is_gone
from .conftest import StartServer
from .process import ServerProcess, eventually

KILLS = int(os.environ.get("TEST_KILLS", "30"))
CLIENTS = 3
SECONDS_TO_LIVE_MAX = 0.4

HANDLERS = '''
import fcntl, os, pathlib, trio, pexecutor

HERE = pathlib.Path(__file__).parent


@pexecutor.handler
async def work(context, *, seconds: float = 0.0):
    """Notes each start and each end in a file of the task, and that nobody else is at the same one."""
    with (HERE / "locks" / context.name).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (HERE / "twice" / context.name).touch()
        note(context, "started")
        await trio.sleep(seconds)
        note(context, "ended")


def note(context, what):
    file = os.open(HERE / "notes" / context.id, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{what}\\n".encode())
    os.close(file)
'''

SETTINGS = """
[handlers.command]
command = ["flock", "--nonblock", "--conflict-exit-code", "9", "{lock}", "sleep", "0.3"]
kill_after = 0.5

[handlers.family]
command = ["%(python)s", "%(home)s/family.py"]
kill_after = 0.2
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for folder in ("locks", "twice", "notes"):
        (tmp_path / folder).mkdir()
    (tmp_path / "handlers.py").write_text(HANDLERS)
    (tmp_path / "family.py").write_text(STUBBORN_FAMILY)
    (tmp_path / "settings.toml").write_text(SETTINGS % {"python": sys.executable, "home": tmp_path})
    return tmp_path


@pytest.fixture
def start(start_server: StartServer, home: Path) -> StartServer:
    def start(*flags: str) -> ServerProcess:
        settings = ("--config", str(home / "settings.toml"), "--handlers", str(home / "handlers.py"))
        return start_server(*settings, "-queue-size", "5000", "-pool-size", "8", *flags)

    return start


class Ledger:
    """The tasks that the server replied ``accepted`` to, as they were sent, by id."""

    def __init__(self) -> None:
        self.accepted: dict[str, dict[str, Any]] = {}

    def submit_until_it_dies(self, url: str, locks: Path, chance: Random) -> None:
        with httpx2.Client(base_url=url, timeout=10) as client:
            try:
                while True:
                    tasks = [self._task(locks, chance) for _ in range(chance.choice([1, 1, 5, 50]))]
                    reply = client.post("/tasks?verdicts=all", json=tasks)
                    for verdict in reply.json()["Tasks"]:
                        if verdict["verdict"] == "accepted":
                            self.accepted[verdict["id"]] = tasks[verdict["index"]]
            except (httpx2.TransportError, ValueError):
                pass  # The server is dead. Clients cannot rely on tasks that it did not reply to.

    def _task(self, locks: Path, chance: Random) -> dict[str, Any]:
        name = f"task-{chance.randrange(500)}"
        task = {"name": name, "on_crash": chance.choice(["rerun", "fail"])}
        match chance.randrange(20):
            case 0:
                return task | {"handler": "command", "params": {"lock": str(locks / f"{name}.command")}}
            case 1:
                return task | {"handler": "work", "delay": chance.randrange(500)}
            case _:
                return task | {"handler": "work", "params": {"seconds": chance.choice([0, 0.01, 0.2])}}


@contextmanager
def until_killed(server: ServerProcess, ledger: Ledger, locks: Path, chance: Random) -> Iterator[threading.Thread]:
    """Put a server under load and kill it at the end; yield a client thread, which ends when the server does."""
    clients = [
        threading.Thread(target=ledger.submit_until_it_dies, args=(server.url, locks, Random(chance.random())))
        for _ in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    yield clients[0]
    server.signal(SIGKILL)
    assert server.wait() == -SIGKILL
    for client in clients:
        client.join()


def one_life(server: ServerProcess, ledger: Ledger, locks: Path, chance: Random) -> None:
    """Put a server under load, and kill it after a random time."""
    with until_killed(server, ledger, locks, chance) as client:
        client.join(chance.uniform(0, SECONDS_TO_LIVE_MAX))


def test_nothing_is_lost_and_nothing_runs_twice_at_once(
    start: StartServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEXECUTOR_HISTORY_RECORDS_MAX", "1000000")
    monkeypatch.setenv("PEXECUTOR_CRASHES_MAX", str(KILLS + 1))
    ledger, chance = Ledger(), Random(4)
    for _ in range(KILLS):
        one_life(start(), ledger, home / "locks", chance)
    server = start()
    eventually(lambda: in_flight(server) == 0)

    assert list((home / "twice").iterdir()) == []
    outcomes: Counter[tuple[str, str]] = Counter()
    for task_id, task in ledger.accepted.items():
        record = server.client.get(f"/tasks/{task_id}").json()
        assert record["name"] == task["name"]
        outcomes[task["on_crash"], record["outcome"]] += 1
        if task["handler"] == "work":
            check_notes(record, home / "notes" / task_id)
    assert set(outcomes) == {("rerun", "succeeded"), ("fail", "succeeded"), ("fail", "abandoned")}
    assert outcomes.total() > KILLS * 10, "it was under load"
    names = [{"name": f"task-{number}"} for number in range(500)]
    assert server.client.post("/tasks", json=names).json()["SubmittedTasks"] == 500, "and no name is held"


def in_flight(server: ServerProcess) -> int:
    store = server.client.get("/readyz").json()["statistics"]["store"]
    return int(store["pending"] + store["scheduled"] + store["running"])


def check_notes(record: dict[str, Any], notes: Path) -> None:
    """Check that the record agrees with the notes of the task's handler."""
    noted = Counter(notes.read_text().split()) if notes.exists() else Counter()
    if record["outcome"] == "succeeded":
        assert noted["ended"] >= 1
    if record["on_crash"] == "fail":
        assert noted["started"] <= 1


def test_ten_thousand_that_waited_wait_again(start: StartServer) -> None:
    server = start("-queue-size", "20000", "-pool-size", "1")
    names = [f"task-{number}" for number in range(10_000)]
    blocker = server.client.post("/tasks", json={"name": "blocker", "duration": 600_000}).json()["id"]
    eventually(lambda: server.client.get(f"/tasks/{blocker}").json()["state"] == "running")
    assert server.client.post("/tasks", json=[{"name": name} for name in names]).json()["SubmittedTasks"] == 10_000
    server.signal(SIGKILL)
    server.wait()

    server = start("-queue-size", "20000", "-pool-size", "1")
    eventually(lambda: server.client.get(f"/tasks/{blocker}").json()["state"] == "running")
    assert [record["name"] for record in server.client.get("/tasks/pending?limit=1000").json()] == names[:1000]
    reply = server.client.post("/tasks?verdicts=none", json=[{"name": name} for name in names]).json()
    assert (reply["DuplicateTasks"], reply["SubmittedTasks"]) == (10_000, 0)


def test_a_command_that_outlived_its_server_is_ended_before_it_runs_again(start: StartServer) -> None:
    server = start()
    task_id = server.client.post("/tasks", json={"name": "a", "handler": "family"}).json()["id"]
    group = int(eventually(lambda: server.client.get(f"/tasks/{task_id}").json().get("output", {}).get("stdout")))
    server.signal(SIGKILL)
    server.wait()
    assert not group_is_gone(group), "a server that is killed can end nobody"

    server = start()
    assert group_is_gone(group)
    output = eventually(lambda: server.client.get(f"/tasks/{task_id}").json().get("output", {}).get("stdout"))
    assert int(output) != group


def test_a_second_server_is_refused_and_harms_nobody(start: StartServer, home: Path) -> None:
    first = start()
    with pytest.raises(AssertionError, match="did not start"):
        start()
    [log] = [path for path in home.glob("log-*") if "in use" in path.read_text()]
    assert f"is in use by the server with pid {first.pid}: stop that server" in log.read_text()
    assert first.client.post("/tasks", json=[{"name": "a"}]).json()["SubmittedTasks"] == 1
