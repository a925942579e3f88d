"""Kill servers under load repeatedly while schedules fire and tasks fail.

Each occurrence is fired exactly once, and each failure is notified under exactly one id. The counts are what the
handlers wrote into a file and what a receiver of notifications took, not what the servers report. ``TEST_KILLS=30`` in
the environment of pytest sets the number of kills; the default is a few. ``pytest -s`` prints the counts.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx2
import pytest

from pexecutor.limits.times import DELIVERY_TAKEN_SECONDS

from ..stores.valkey.server import valkey_server
from .accounts import Schedules, check_notifications, check_occurrences, finished_records, read_runs
from .conftest import StartServer
from .process import ServerProcess, eventually
from .receiver import Receiver
from .test_crash import in_flight

KILLS: Final = int(os.environ.get("TEST_KILLS", "2"))
SECONDS_TO_LIVE: Final = (0.5, 3.0)
NODES: Final = 3
LOOK_SECONDS: Final = 0.2
SETTLE_SECONDS_MAX: Final = 3 * DELIVERY_TAKEN_SECONDS
"""On a queue, a notification that a dead node was sending is not sent again before ``DELIVERY_TAKEN_SECONDS``."""

SETTINGS: Final = """
pool_size = 8
queue_size = 5000
history_records_max = 1000000
crashes_max = {crashes_max}

[handlers.note]
command = ["sh", "{script}", "{{schedule}}", "{{at}}", "{{status}}", "{{seconds}}"]

[notify.ops]
url = "http://127.0.0.1:{port}/"
on = ["failed", "abandoned", "skipped"]
allow_private = true
"""

SCHEDULES: Final = {
    "quick": {"status": "0", "seconds": "0"},
    "fails": {"status": "1", "seconds": "0"},
    "fails-later": {"status": "1", "seconds": "0.4"},
    "long": {"status": "0", "seconds": "2.3"},
    "rare": {"status": "0", "seconds": "0"},
}
"""The parameters of the tasks of each schedule. ``long`` skips occurrences, because its task still runs."""

PERIODS: Final = dict.fromkeys(SCHEDULES, 1) | {"fails": 5, "rare": 30}
"""The periods in seconds. A server that starts fires the latest missed time alone. So only the time of a period that is
longer than a restart would be fired again if a kill undid what was recorded about it."""

SCRIPT: Final = 'echo "$PEXECUTOR_TASK_ID $1 $2 $3" >> "{file}"\nsleep "$4"\nexit "$3"\n'


class Servers:
    """Servers that share a store, any of which can be killed."""

    def __init__(self, start: StartServer, flags: tuple[str, ...], number: int) -> None:
        self._start = start
        self._flags = flags
        self.up = [start(*flags) for _ in range(number)]

    def start_one(self) -> None:
        self.up.append(self._start(*self._flags))

    def kill_one(self, chance: Random) -> None:
        victim = chance.choice(self.up)
        victim.signal(signal.SIGKILL)
        self.up.remove(victim)
        victim.wait()


class Clients:
    """Threads that put servers under load, and look at their schedules."""

    def __init__(self, servers: Servers, chance: Random) -> None:
        self.schedules = Schedules(PERIODS)
        self._servers = servers
        self._chance = chance
        self._stopped = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._repeat, args=(work,)) for work in (self._look, self._submit)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _repeat(self, work: Any) -> None:
        chance = Random(self._chance.random())
        while not self._stopped.wait(LOOK_SECONDS):
            if up := [*self._servers.up]:
                with suppress(httpx2.TransportError):  # it was killed
                    work(chance.choice(up), chance)

    def _look(self, server: ServerProcess, _: Random) -> None:
        self.schedules.look(server.client)

    def _submit(self, server: ServerProcess, chance: Random) -> None:
        tasks: list[dict[str, Any]] = [
            {"name": f"load-{chance.randrange(1000)}", "duration": chance.randrange(60)} for _ in range(20)
        ]
        params = {"schedule": "-", "at": "-", "status": "1", "seconds": "0.2"}
        name, on_crash = f"load-fails-{chance.randrange(10)}", chance.choice(["rerun", "fail"])
        tasks.append({"name": name, "handler": "note", "params": params, "on_crash": on_crash})
        server.client.post("/tasks", json=tasks)


def put_schedules(client: httpx2.Client) -> None:
    """Put the schedules, all of which fire at the same instants, for the first time in a moment."""
    start_at = datetime.fromtimestamp(round(time.time()) + 1, UTC).isoformat()
    for name, params in SCHEDULES.items():
        task = {"name": name, "handler": "note", "params": {"schedule": name, "at": "{scheduled_for}", **params}}
        definition = {"every": PERIODS[name] * 1000, "start_at": start_at, "task": task}
        client.put(f"/schedules/{name}", json=definition).raise_for_status()


def settle(server: ServerProcess, schedules: Schedules) -> None:
    """Pause the schedules, and wait until all tasks have ended and all notifications are delivered."""
    client = server.client
    for name in SCHEDULES:
        eventually(lambda: client.patch(f"/schedules/{name}", json={"paused": True}).status_code == 200)  # noqa: B023
    schedules.look(client)
    eventually(lambda: is_idle(server), SETTLE_SECONDS_MAX)
    eventually(lambda: client.get("/tasks?handler=notify:ops").json() == [], SETTLE_SECONDS_MAX)


def is_idle(server: ServerProcess) -> bool:
    """Return whether no task is in flight."""
    server.client.get("/tasks?limit=1")  # a node knows the counts of a queue from its last call
    return in_flight(server) == 0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(Random(5)).opened() as receiver:
        yield receiver


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> tuple[str, ...]:
    (tmp_path / "written").touch()
    (tmp_path / "note.sh").write_text(SCRIPT.format(file=tmp_path / "written"))
    settings = SETTINGS.format(crashes_max=KILLS + 1, script=tmp_path / "note.sh", port=receiver.port)
    (tmp_path / "settings.toml").write_text(settings)
    monkeypatch.setenv("PEXECUTOR_DATA_DIR", str(tmp_path / "data"))
    return ("--config", str(tmp_path / "settings.toml"))


def kill_repeatedly(servers: Servers, receiver: Receiver, chance: Random) -> Schedules:
    """Kill servers under load, with a receiver that is down at times; return what was seen of the schedules."""
    put_schedules(servers.up[0].client)
    clients = Clients(servers, chance)
    with clients.at_work():
        for _ in range(KILLS):
            with nullcontext() if chance.randrange(3) == 0 else receiver.up():
                time.sleep(chance.uniform(*SECONDS_TO_LIVE))
                servers.kill_one(chance)
            with receiver.up():
                servers.start_one()
    receiver.is_steady = True
    with receiver.up():
        settle(servers.up[0], clients.schedules)
    return clients.schedules


def check(store: str, schedules: Schedules, servers: Servers, receiver: Receiver, written: Path) -> None:
    records, runs = [*finished_records(servers.up[0].client, SCHEDULES)], read_runs(written)
    counts = check_occurrences(schedules, records, runs)
    counts |= check_notifications(receiver.taken, records, runs, schedules)
    shown = ", ".join(f"{number} {what}" for what, number in counts.items())
    sys.stderr.write(f"\n{store}: {KILLS} kills, {shown}, {receiver.refused} refused requests\n")
    assert counts["occurrences fired"] >= KILLS
    assert counts["failed"] >= KILLS


def test_killed_servers_on_a_file(
    start_server: StartServer, flags: tuple[str, ...], receiver: Receiver, tmp_path: Path
) -> None:
    servers = Servers(start_server, flags, 1)
    schedules = kill_repeatedly(servers, receiver, Random(3))
    check("SQLite", schedules, servers, receiver, tmp_path / "written")


def test_killed_nodes_on_a_queue(
    start_server: StartServer, flags: tuple[str, ...], receiver: Receiver, tmp_path: Path
) -> None:
    with valkey_server(tmp_path / "valkey", "--appendonly", "yes", "--appendfsync", "always") as queue:
        servers = Servers(start_server, (*flags, "--store", queue.url, "--lease", "3"), NODES)
        schedules = kill_repeatedly(servers, receiver, Random(4))
        check("Valkey", schedules, servers, receiver, tmp_path / "written")
        for server in servers.up:
            server.close()
