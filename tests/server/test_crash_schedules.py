"""Kill a server under load repeatedly while schedules fire every second: each occurrence is fired exactly once.

The count is what the handlers wrote into a file, not what the servers report. ``TEST_KILLS=30`` in the environment of
pytest sets the number of kills; the default is a few. ``pytest -s`` prints the counts.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from .conftest import StartServer
from .process import ServerProcess, eventually

KILLS = int(os.environ.get("TEST_KILLS", "3"))
SCHEDULES = 4
SECONDS_TO_LIVE = (1.5, 3.5)
"""Short enough that a schedule remembers every occurrence of a life: ten."""

SETTINGS = """
pool_size = 8
history_records_max = 1000000

[handlers.note]
command = ["sh", "{script}", "{{schedule}}", "{{at}}"]
"""

SCHEDULE = """
[schedules.tick-{number}]
every = 1000
task = {{name = "tick-{number}", handler = "note", params = {{schedule = "tick-{number}", at = "{{scheduled_for}}"}}}}
"""

SCRIPT = 'echo "$1 $2 $PEXECUTOR_TASK_ID" >> "{file}"\n'

Occurrence = tuple[str, str]
"""The name of a schedule, and a time."""


class Accounts:
    """The occurrences that were seen in the store, and what the handlers wrote about them."""

    def __init__(self, written: Path) -> None:
        self._written = written
        self.fired: defaultdict[Occurrence, set[str]] = defaultdict(set)
        self.skipped: dict[Occurrence, int] = {}

    def look(self, client: httpx2.Client) -> None:
        """Take down the last ten occurrences of each schedule."""
        reply = client.get("/schedules")
        for schedule in reply.json() if reply.status_code == 200 else []:  # a store in trouble answers 503
            for occurrence in schedule["occurrences"]:
                place = schedule["name"], occurrence["at"]
                if "task_id" in occurrence:
                    self.fired[place].add(occurrence["task_id"])
                else:
                    self.skipped[place] = occurrence["count"]

    def runs(self) -> dict[Occurrence, list[str]]:
        """Return the ids of the tasks that each occurrence has run, one for each start."""
        found: defaultdict[Occurrence, list[str]] = defaultdict(list)
        for line in self._written.read_text().splitlines():
            schedule, at, task_id = line.split()
            found[schedule, at].append(task_id)
        return found

    def check(self, client: httpx2.Client) -> dict[str, int]:
        """Check that each occurrence was fired once and its task ran; return the counts."""
        runs = self.runs()
        assert {place: ids for place, ids in self.fired.items() if len(ids) != 1} == {}, "fired twice"
        assert {place: set(ids) for place, ids in runs.items()} == dict(self.fired), (
            "fired without a run, or the reverse"
        )
        for ids in self.fired.values():
            record = client.get(f"/tasks/{next(iter(ids))}").json()
            assert record["outcome"] == "succeeded", record
        return {
            "fired": len(self.fired),
            "runs": sum(map(len, runs.values())),
            "started again after a kill": sum(len(ids) > 1 for ids in runs.values()),
            "skipped": sum(self.skipped.values()),
        }


def submit_load(client: httpx2.Client, chance: Random) -> None:
    """Submit tasks that take places in the pool beside the schedules."""
    tasks = [{"name": f"load-{chance.randrange(1000)}", "duration": chance.randrange(60)} for _ in range(20)]
    client.post("/tasks", json=tasks)


def live(server: ServerProcess, accounts: Accounts, chance: Random) -> None:
    """Put a server under load for a random time."""
    end = time.monotonic() + chance.uniform(*SECONDS_TO_LIVE)
    while time.monotonic() < end:
        submit_load(server.client, chance)
        accounts.look(server.client)
        time.sleep(0.2)


def settle(client: httpx2.Client, accounts: Accounts) -> None:
    """Pause all schedules, and wait until everything has ended."""
    for number in range(SCHEDULES):
        path = f"/schedules/tick-{number}"
        eventually(lambda: client.patch(path, json={"paused": True}).status_code == 200)  # noqa: B023
    accounts.look(client)
    eventually(lambda: not client.get("/tasks?state=running").json() + client.get("/tasks?state=pending").json())
    accounts.look(client)


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    (tmp_path / "written").touch()
    (tmp_path / "note.sh").write_text(SCRIPT.format(file=tmp_path / "written"))
    tables = "".join(SCHEDULE.format(number=number) for number in range(SCHEDULES))
    (tmp_path / "settings.toml").write_text(SETTINGS.format(script=tmp_path / "note.sh") + tables)
    monkeypatch.setenv("PEXECUTOR_DATA_DIR", str(tmp_path / "data"))
    return ("--config", str(tmp_path / "settings.toml"))


def report(store: str, kills: int, counts: dict[str, Any]) -> None:
    shown = ", ".join(f"{number} {what}" for what, number in counts.items())
    sys.stderr.write(f"\n{store}: {kills} kills, {shown}\n")


def test_in_a_file_each_occurrence_is_fired_once(
    start_server: StartServer, flags: tuple[str, ...], tmp_path: Path
) -> None:
    accounts, chance = Accounts(tmp_path / "written"), Random(3)
    for _ in range(KILLS):
        server = start_server(*flags)
        live(server, accounts, chance)
        server.signal(signal.SIGKILL)
        server.wait()
    server = start_server(*flags)
    settle(server.client, accounts)
    counts = accounts.check(server.client)
    report("SQLite", KILLS, counts)
    assert counts["fired"] >= KILLS
