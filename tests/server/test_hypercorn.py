"""Tests of the app under Hypercorn's command line."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from .conftest import Launch, is_ready
from .process import WAIT_SECONDS_MAX, eventually


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_a_worker_process_it_drains_as_well(launch: Launch, tmp_path: Path, number: signal.Signals) -> None:
    process, client = launch("-w", "0")
    eventually(lambda: is_ready(client))
    assert client.post("/tasks", json={"name": "a", "duration": 1000}).status_code == 202
    eventually(lambda: len(client.get("/tasks/running").json()) == 1)
    process.send_signal(number)
    assert process.wait(WAIT_SECONDS_MAX) == 0
    log = (tmp_path / "log").read_text()
    assert [part for part in ("signalled to stop", "draining", "stopped", "finished=1") if part not in log] == []


def test_without_a_worker_process_it_ends_when_it_was_started_with_sigint_ignored(launch: Launch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as for a background command in a shell script
    try:
        process, client = launch("-w", "0")
    finally:
        signal.signal(signal.SIGINT, before)
    eventually(lambda: is_ready(client))
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_SECONDS_MAX) == 0


def test_a_second_signal_stops_at_once(launch: Launch, tmp_path: Path) -> None:
    process, client = launch(app="pexecutor.asgi:create_app(drain_timeout_seconds=600)")
    eventually(lambda: is_ready(client))
    assert client.post("/tasks", json={"name": "a", "duration": 600_000}).status_code == 202
    eventually(lambda: len(client.get("/tasks/running").json()) == 1)
    for line in ("draining", "stopping at once"):
        os.killpg(process.pid, signal.SIGTERM)
        eventually(lambda line=line: line in (tmp_path / "log").read_text())
    assert process.wait(WAIT_SECONDS_MAX) == 0
    assert "released=1" in (tmp_path / "log").read_text()


def test_every_line_of_the_log_has_the_form_of_the_settings(launch: Launch, tmp_path: Path) -> None:
    process, client = launch(app="pexecutor.asgi:create_app(log_format='json')")
    eventually(lambda: is_ready(client))
    assert client.post("/tasks", json={"name": "a"}).status_code == 202
    assert client.post("/drain").status_code == 202
    assert process.wait(WAIT_SECONDS_MAX) == 0

    # Lines with "[INFO]" are Hypercorn's own.
    lines = [line for line in (tmp_path / "log").read_text().splitlines() if "[INFO]" not in line]

    assert [json.loads(line)["event"] for line in lines] == [
        *("serving", "submitted", "asked to drain", "draining", "stopped")
    ]


def test_post_drain_ends_it(launch: Launch, tmp_path: Path) -> None:
    process, client = launch()
    eventually(lambda: is_ready(client))
    assert client.post("/drain").status_code == 202
    assert process.wait(WAIT_SECONDS_MAX) == 0
    assert "stopped" in (tmp_path / "log").read_text()


def test_a_second_worker_is_refused(launch: Launch, tmp_path: Path) -> None:
    process, _ = launch("-w", "2")
    process.wait(WAIT_SECONDS_MAX)
    assert "only one worker is allowed" in (tmp_path / "log").read_text()


def test_an_impossible_setting_is_an_error_at_the_start(launch: Launch, tmp_path: Path) -> None:
    process, _ = launch(app="pexecutor.asgi:create_app(pool_size=0)")
    process.wait(WAIT_SECONDS_MAX)
    assert "pool-size cannot be 0" in (tmp_path / "log").read_text()


HALF_CLOSED = {
    b"HTTP/1.1 200 OK\r\n": b"\r\nGET /tasks/{}?wait=0.3 HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n",
    b"HTTP/1.1 202 Accepted\r\n": (
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n"
        b'{"name": "ab"}\r\n'
    ),
    b"HTTP/1.1 404 Not Found\r\n": b"DELETE /tasks/none-1 HTTP/1.0\r\n\r\n",
    b"HTTP/1.1 400 Bad Request\r\n": b"nonsense\r\n\r\n",
}


@pytest.mark.parametrize("status_line", HALF_CLOSED)
def test_connections_are_served_as_under_pexecutor(launch: Launch, tmp_path: Path, status_line: bytes) -> None:
    path = tmp_path / "socket"
    _, client = launch("-b", f"unix:{path}")
    eventually(lambda: is_ready(client))
    task = client.post("/tasks", json={"name": "a", "duration": 600_000}).json()
    for family, address in ((socket.AF_INET, ("127.0.0.1", client.base_url.port)), (socket.AF_UNIX, str(path))):
        with socket.socket(family) as connection:
            connection.settimeout(WAIT_SECONDS_MAX)
            connection.connect(address)
            request = HALF_CLOSED[status_line].replace(b"ab", b"%02d" % family)
            connection.sendall(request.replace(b"{}", task["id"].encode()))
            connection.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: connection.recv(65536), b"")).startswith(status_line)
