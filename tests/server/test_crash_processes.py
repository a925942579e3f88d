"""Kill a server under load repeatedly while child processes of its commands escape.

``TEST_KILLS=60`` in the environment of pytest sets the number of kills; the default is a few.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from pexecutor.handlers.processes import proc
from pexecutor.handlers.processes.mark import read_tag

from .conftest import StartServer
from .process import ServerProcess, eventually
from .test_crash import Ledger, in_flight, until_killed

KILLS = int(os.environ.get("TEST_KILLS", "4"))
SECONDS_TO_LIVE_MAX = 1.5
TWICE = 9

ESCAPES = """
case $1 in
  0) setsid sleep 600 & ;;
  1) env -i /usr/bin/setsid -f /bin/sleep 600 ;;
  2) timeout 600 sleep 600 & ;;
  3) set -m; sleep 600 & ;;
  4) nohup sleep 600 >/dev/null 2>&1 & ;;
  5) (setsid sh -c '(sleep 600 &) & sleep 600' &) ;;
  6) env -i /bin/sh -c 'trap "" TERM; while :; do /bin/sleep 1; done' >/dev/null 2>&1 </dev/null & ;;
esac
sleep 0.$2
"""
"""Each escaped process holds its task's lock. A later run of the task cannot get the lock while the process lives."""

SETTINGS = """
[handlers.escapes]
command = ["flock", "-n", "-E", "{twice}", "{{lock}}", "bash", "{script}", "{{way}}", "{{tenths}}"]
kill_after = 0.3
"""


class EscapingLedger(Ledger):
    """Submits commands whose child processes escape."""

    def _task(self, locks: Path, chance: Random) -> dict[str, Any]:
        name = f"task-{chance.randrange(40)}"
        if chance.randrange(3) == 0:
            return {"name": f"{name}-short", "duration": chance.randrange(100), "on_crash": "rerun"}
        params = {"lock": str(locks / name), "way": chance.randrange(7), "tenths": chance.randrange(5)}
        on_crash = chance.choice(["rerun", "fail"])
        return {"name": name, "handler": "escapes", "params": params, "on_crash": on_crash}


class Found(NamedTuple):
    """A running process of a task."""

    pid: int
    started: int
    server: int
    task_id: str


def processes_of_tasks() -> list[Found]:
    """Return all processes with a tag; an escaped process may have no other mark."""
    found = []
    for pid in proc.list_processes():
        tag, seen = proc.tag_of(pid), proc.look(pid)
        if tag is not None and seen is not None and not seen.zombie:
            variables = dict(variable.split(b"=", 1) for variable in proc.variables_of(pid) if b"=" in variable)
            task_id = variables.get(b"PEXECUTOR_TASK_ID", b"").decode()
            found.append(Found(pid, seen.started, read_tag(tag).server, task_id))
    return found


def check_processes(server: ServerProcess, dead: set[int]) -> None:
    """Check that no process remains of a dead server or of a task that has ended."""
    for found in processes_of_tasks():
        assert found.server not in dead, "it has outlived its server and the start of the next one"
        if found.server == server.pid and found.task_id:
            record = server.client.get(f"/tasks/{found.task_id}").json()
            if record["state"] == "finished":
                seen = proc.look(found.pid)
                assert seen is None or seen.zombie or seen.started != found.started, "its task has ended"


def one_life(server: ServerProcess, ledger: Ledger, locks: Path, chance: Random, dead: set[int]) -> None:
    """Put a server under load, check its processes, and kill it after a random time."""
    with until_killed(server, ledger, locks, chance) as client:
        client.join(chance.uniform(0, SECONDS_TO_LIVE_MAX))
        check_processes(server, dead)
        client.join(chance.uniform(0, SECONDS_TO_LIVE_MAX))
    dead.add(server.pid)


def test_no_task_is_lost_and_no_process_outlives_its_task(
    start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEXECUTOR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PEXECUTOR_HISTORY_RECORDS_MAX", "1000000")
    (tmp_path / "locks").mkdir()
    (tmp_path / "escapes.sh").write_text(ESCAPES)
    (tmp_path / "settings.toml").write_text(SETTINGS.format(script=tmp_path / "escapes.sh", twice=TWICE))
    flags = ("--config", str(tmp_path / "settings.toml"), "-queue-size", "5000", "-pool-size", "6")
    ledger, chance = EscapingLedger(), Random(15)
    dead: set[int] = set()
    for _ in range(KILLS):
        one_life(start_server(*flags), ledger, tmp_path / "locks", chance, dead)
    server = start_server(*flags)
    check_processes(server, dead)
    eventually(lambda: in_flight(server) == 0)

    assert [found for found in processes_of_tasks() if found.server in {server.pid, *dead}] == []
    outcomes: Counter[tuple[str, str]] = Counter()
    for task_id, task in ledger.accepted.items():
        record = server.client.get(f"/tasks/{task_id}").json()
        assert record["name"] == task["name"]
        assert record["outcome"] in ("succeeded", "abandoned"), (record.get("error"), record.get("output"), task)
        outcomes[task.get("handler", "sleep"), record["outcome"]] += 1
    assert outcomes["escapes", "succeeded"] > 0
    assert outcomes.total() > KILLS * 5, "it was under load"
