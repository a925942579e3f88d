"""Three nodes whose wall clocks are 2 s apart fire the schedules of a queue, whose tasks run for three periods.

Nodes compute the times of schedules, and the queue compares them with its server's clock. So whatever the clocks of the
nodes show, each occurrence is handled once, not before its time, and no task overlaps another one of its name.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from pexecutor.task import OnConflict

from ..stores.valkey.server import valkey_server
from .accounts import Schedules, check_one_each
from .conftest import StartServer
from .process import ServerProcess, eventually

SHIFTS_SECONDS: Final = (-2, 0, 2)
TEST_SECONDS: Final = 9.0
LOOK_SECONDS: Final = 0.2
RUN_SECONDS: Final = 3.0
LINGER_SECONDS: Final = 0.3
"""How long a run goes on after it was cancelled, so that a run that begins too early is noticed."""

SHIFTED: Final = """
import sys, time
shift = float(sys.argv.pop(1))
real_time, real_time_ns = time.time, time.time_ns
time.time = lambda: real_time() + shift
time.time_ns = lambda: real_time_ns() + round(shift * 1e9)

from pexecutor.cli.main import main
main()
"""
"""Runs a server whose wall clock is ahead of the real one by some seconds."""

HANDLERS: Final = f"""
import fcntl, pathlib, trio, pexecutor

HERE = pathlib.Path(__file__).parent


@pexecutor.handler
async def work(context, *, at: str):
    with (HERE / f"{{context.name}}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            write("overlaps", context.name, at)
        write("runs", context.name, at)
        try:
            await trio.sleep({RUN_SECONDS})
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep({LINGER_SECONDS})


def write(file, *words):
    with (HERE / file).open("a") as written:
        written.write(" ".join(words) + "\\n")
"""

SCHEDULE: Final = """
[schedules.{on_conflict}]
every = 1000
task = {{name = "{on_conflict}", handler = "work", on_conflict = "{on_conflict}", params.at = "{{scheduled_for}}"}}
"""


@pytest.fixture
def flags(tmp_path: Path) -> tuple[str, ...]:
    for file in ("overlaps", "runs"):
        (tmp_path / file).touch()
    (tmp_path / "handlers.py").write_text(HANDLERS)
    tables = "".join(SCHEDULE.format(on_conflict=on_conflict) for on_conflict in get_args(OnConflict))
    (tmp_path / "settings.toml").write_text(tables)
    return ("--config", str(tmp_path / "settings.toml"), "--handlers", str(tmp_path / "handlers.py"), "--port", "0")


def clock_of(node: ServerProcess) -> float:
    """Return the time that a node's wall clock shows, cut to a whole second."""
    return parsedate_to_datetime(node.client.get("/livez").headers["Date"]).timestamp()


def watch(nodes: list[ServerProcess], schedules: Schedules) -> None:
    """Look at the schedules through each node in turn, for some time."""
    end = time.monotonic() + TEST_SECONDS
    while time.monotonic() < end:
        for node in nodes:
            schedules.look(node.client)
            time.sleep(LOOK_SECONDS)


def settle(node: ServerProcess, schedules: Schedules) -> None:
    """Pause the schedules, and wait until their tasks have ended."""
    for name in get_args(OnConflict):
        node.client.patch(f"/schedules/{name}", json={"paused": True}).raise_for_status()
    schedules.look(node.client)
    for state in ("scheduled", "pending", "running"):
        eventually(lambda: node.client.get(f"/tasks?state={state}").json() == [])  # noqa: B023


def check(schedules: Schedules, records: list[dict[str, Any]], runs: list[str]) -> None:
    """Check each occurrence, and that each ``on_conflict`` had its effect."""
    check_one_each(schedules.fired, "an occurrence was fired twice")
    missed = {name: schedules.missed(name, schedules.fired) for name in schedules.periods}
    assert max(Counter(runs).values()) == 1, "an occurrence ran twice"
    outcomes = Counter((record["name"], record["outcome"]) for record in records)
    fired = Counter(name for name, _ in schedules.fired)
    held = Counter(name for name, _ in schedules.skipped)
    assert held["reject"] >= 1
    assert outcomes["supersede", "cancelled"] >= 1
    for on_conflict in ("latest", "join"):
        ids = {task_id for (name, _), [task_id] in schedules.fired.items() if name == on_conflict}
        assert 1 <= len(ids) < fired[on_conflict], "several occurrences have the same task"
    skipped = sum(entry["count"] for entry in schedules.skipped.values())
    sys.stderr.write(f"\n{sum(fired.values())} occurrences fired, {skipped} skipped, {len(runs)} runs")
    sys.stderr.write(f", {sum(map(len, missed.values()))} missed because the nodes were too slow")


def test_nothing_overlaps_whatever_the_clocks_show(
    start_server: StartServer, flags: tuple[str, ...], tmp_path: Path
) -> None:
    schedules = Schedules(dict.fromkeys(get_args(OnConflict), 1))
    with valkey_server(tmp_path / "valkey", "--appendonly", "yes", "--appendfsync", "always") as queue:
        nodes = [
            start_server(*flags, "--store", queue.url, command=("-c", SHIFTED, str(seconds)))
            for seconds in SHIFTS_SECONDS
        ]
        shown = [clock_of(node) - time.time() for node in nodes]
        assert shown == pytest.approx([seconds - 0.5 for seconds in SHIFTS_SECONDS], abs=0.9)
        watch(nodes, schedules)
        settle(nodes[0], schedules)
        records = nodes[0].client.get("/tasks/finished").json()
        fired = [node.client.get("/readyz").json()["statistics"]["fired"] for node in nodes]
        for node in nodes:
            node.close()
    assert (tmp_path / "overlaps").read_text() == ""
    check(schedules, records, (tmp_path / "runs").read_text().splitlines())
    sys.stderr.write(f"; fired by each node: {fired}\n")
