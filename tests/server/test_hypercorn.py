"""The app under Hypercorn's own command line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from .process import WAIT_SECONDS_MAX, eventually

APP = "pexecutor.asgi:create_app(pool_size=2, queue_size=3)"

Launch = Callable[..., tuple[subprocess.Popen[bytes], httpx2.Client]]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start ``hypercorn -k trio APP`` on a free port."""
    processes: list[subprocess.Popen[bytes]] = []
    clients: list[httpx2.Client] = []

    def start(*flags: str, app: str = APP) -> tuple[subprocess.Popen[bytes], httpx2.Client]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        with (tmp_path / "log").open("wb") as log:
            command = [sys.executable, "-m", "hypercorn", "-k", "trio", app, "-b", address, *flags]
            processes.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
        clients.append(httpx2.Client(base_url=f"http://{address}", timeout=WAIT_SECONDS_MAX, verify=False))
        return processes[-1], clients[-1]

    yield start
    for client in clients:
        client.close()
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def is_ready(client: httpx2.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def test_it_serves_with_its_settings_and_drains_on_sigterm(launch: Launch, tmp_path: Path) -> None:
    process, client = launch()
    eventually(lambda: is_ready(client))
    reply = client.post("/tasks", json=[{"name": name, "duration": 1500} for name in "abcdefg"])
    assert reply.status_code == 429
    assert reply.json()["SubmittedTasks"] == 3
    eventually(lambda: len(client.get("/tasks/running").json()) == 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_SECONDS_MAX) == 0
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log


def test_a_second_worker_is_refused(launch: Launch, tmp_path: Path) -> None:
    process, _ = launch("-w", "2")
    process.wait(WAIT_SECONDS_MAX)
    assert "one worker only" in (tmp_path / "log").read_text()


def test_an_impossible_setting_is_an_error_at_the_start(launch: Launch, tmp_path: Path) -> None:
    process, _ = launch(app="pexecutor.asgi:create_app(pool_size=0)")
    process.wait(WAIT_SECONDS_MAX)
    assert "pool-size cannot be 0" in (tmp_path / "log").read_text()
