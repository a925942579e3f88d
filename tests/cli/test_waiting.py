"""Tests of waiting for an outcome: the time limit, lost connections, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..server.conftest import StartServer
from ..server.process import ServerProcess, eventually
from .conftest import SECONDS_MAX, Run, take_step
from .proxy import proxy_to


@contextmanager
def started(*arguments: str, url: str, text: bool = True) -> Iterator[subprocess.Popen[Any]]:
    """Run the command line as a process; kill it at the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "pexecutor", *arguments],
        env=os.environ | {"PEXECUTOR_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=text,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def is_running(server: ServerProcess, name: str) -> bool:
    return bool(server.client.get("/tasks", params={"name": name, "state": "running"}).json())


def test_it_goes_on_waiting_when_the_connection_is_back(server: ServerProcess, steps_file: Path) -> None:
    arguments = ["submit", "cut-off", "--handler", "steps", f"file={steps_file}", "steps=1", "--wait"]
    with proxy_to(server.url) as proxy, started(*arguments, url=proxy.url) as waiting:
        eventually(lambda: is_running(server, "cut-off") and b"?wait=" in proxy.asked)
        proxy.cut()
        assert waiting.stderr is not None
        assert (
            waiting.stderr.readline() == f"pexecutor: cannot reach {proxy.url}: the connection was lost; trying again\n"
        )
        take_step(steps_file)
        eventually(lambda: not is_running(server, "cut-off"))
        proxy.mend()
        out, err = waiting.communicate(timeout=SECONDS_MAX)
    assert (waiting.returncode, err) == (0, ""), "it says once that the connection was lost"
    assert out.split("\t")[1:3] == ["succeeded", "cut-off"]


def test_it_waits_no_longer_than_it_may_for_the_connection(server: ServerProcess) -> None:
    arguments = ["submit", "gone", "--duration", "600s", "--wait", "--wait-timeout", "2"]
    with proxy_to(server.url) as proxy, started(*arguments, url=proxy.url) as waiting:
        eventually(lambda: is_running(server, "gone") and b"?wait=" in proxy.asked)
        proxy.cut()
        out, err = waiting.communicate(timeout=SECONDS_MAX)
        assert (waiting.returncode, out) == (9, "")
        assert err.splitlines()[-1].startswith(f"pexecutor: cannot reach {proxy.url}: ")
        assert err.count("trying again") == 1
        proxy.mend()


def test_it_waits_no_longer_than_it_may_for_the_outcome(run: Run) -> None:
    result = run("submit", "slow", "--duration", "600s", "--wait", "--wait-timeout", "0.2")
    assert (result.status, result.out, result.err.count("\n")) == (12, "", 1)
    assert "is still running, and was not cancelled" in result.err


def test_a_task_that_is_cancelled_meanwhile(server: ServerProcess, run: Run) -> None:
    with started("submit", "dropped", "--duration", "600s", "--wait", url=server.url) as waiting:
        eventually(lambda: is_running(server, "dropped"))
        run("cancel", "dropped")
        out, _ = waiting.communicate(timeout=SECONDS_MAX)
    assert (waiting.returncode, out.split("\t")[1]) == (5, "cancelled")


def test_ctrl_c_ends_the_waiting_and_not_the_task(server: ServerProcess) -> None:
    with started("submit", "goes-on", "--duration", "600s", "--wait", url=server.url) as waiting:
        eventually(lambda: is_running(server, "goes-on"))
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=SECONDS_MAX)
    assert (waiting.returncode, err.strip()) == (130, "pexecutor: interrupted")
    assert is_running(server, "goes-on")


def test_a_server_that_has_forgotten_the_task(start_server: StartServer) -> None:
    first, second = start_server(), start_server("--store", "memory")
    arguments = ["submit", "lost", "--duration", "600s", "--wait"]
    with proxy_to(first.url) as proxy, started(*arguments, url=proxy.url) as waiting:
        eventually(lambda: is_running(first, "lost") and b"?wait=" in proxy.asked)
        proxy.cut()
        proxy.forward_to(second.url)
        proxy.mend()
        _, err = waiting.communicate(timeout=SECONDS_MAX)
    assert waiting.returncode == 10
    assert err.splitlines()[-1].startswith("pexecutor: no task has the id ")
