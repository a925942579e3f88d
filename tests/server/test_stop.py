"""Tests of the stop of a real process by real signals."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from pexecutor.process.guard import STOP_BEGUN, Deadline

from .conftest import StartServer
from .process import WAIT_SECONDS_MAX, ServerProcess, eventually
from .stubborn import AT_WORK, LOCK_HELD, WORK

pytestmark = pytest.mark.usefixtures("each_server")


def submit(server: ServerProcess, *tasks: tuple[str, int]) -> dict[str, int]:
    reply = server.client.post("/tasks", json=[{"name": name, "duration": duration} for name, duration in tasks])
    counts: dict[str, int] = reply.json()
    return counts


def running(server: ServerProcess) -> list[str]:
    return [record["name"] for record in server.client.get("/tasks/running").json()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_0(start_server: StartServer, number: signal.Signals) -> None:
    server = start_server("-pool-size", "2")
    submit(server, ("short", 300), ("long", 900), ("queued", 10), ("doomed", 10))
    doomed = server.client.get("/tasks?name=doomed").json()[0]["id"]
    eventually(lambda: running(server) == ["short", "long"])

    server.signal(number)
    eventually(lambda: server.client.get("/readyz").status_code == 503)
    assert server.client.post("/tasks", json=[{"name": "late"}]).status_code == 503
    assert server.client.get("/livez").status_code == 200
    assert server.client.delete(f"/tasks/{doomed}").json()["outcome"] == "cancelled"
    eventually(lambda: running(server) == ["long"])
    assert [record["name"] for record in server.client.get("/tasks/pending").json()] == ["queued"]

    assert server.wait() == 0
    events = server.log_events()
    assert [event["event"] for event in events] == [
        "serving",
        "submitted",
        "signalled to stop",
        "draining",
        "cancelled",
        "stopped",
    ]
    assert events[-1]["finished"] == 3
    assert events[-1]["released"] == 0
    assert events[-1]["kept"] == 1


def test_what_outlasts_the_drain_is_released(start_server: StartServer) -> None:
    server = start_server("--drain-timeout", "0.2")
    submit(server, ("long", 60_000))
    eventually(lambda: running(server) == ["long"])
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert server.log_events()[-1]["released"] == 1
    assert server.log_events()[-1]["finished"] == 0


def test_a_second_signal_stops_at_once(start_server: StartServer) -> None:
    server = start_server("--drain-timeout", "600")
    submit(server, ("long", 600_000))
    eventually(lambda: running(server) == ["long"])
    server.signal(signal.SIGTERM)
    eventually(lambda: server.client.get("/readyz").status_code == 503)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert "stopping at once" in [event["event"] for event in server.log_events()]
    assert server.log_events()[-1]["released"] == 1


def test_post_drain_stops_as_a_signal_does(start_server: StartServer) -> None:
    server = start_server()
    submit(server, ("short", 300))
    eventually(lambda: running(server) == ["short"])
    assert server.client.post("/drain").status_code == 202
    assert server.wait() == 0
    assert server.log_events()[-1]["finished"] == 1


def test_idle_connections_do_not_hold_the_stop(start_server: StartServer) -> None:
    server = start_server()
    port = int(server.url.rsplit(":", 1)[1])
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    assert server.client.get("/livez").status_code == 200  # and keeps its connection
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert time.monotonic() - began < 3, "the time that connections are given when they do not end by themselves"
    for connection in idle:
        connection.close()


def test_a_reader_that_stalls_does_not_hold_the_stop(start_server: StartServer) -> None:
    server = start_server("-queue-size", "10000", "-pool-size", "1", "--drain-timeout", "0.2")
    for batch in range(3):
        submit(server, *((f"{'x' * 240}-{batch}-{number}", 60_000) for number in range(1000)))
    port = int(server.url.rsplit(":", 1)[1])
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.connect(("127.0.0.1", port))
    for _ in range(20):
        stalled.sendall(b"GET /tasks/pending HTTP/1.1\r\nHost: localhost\r\n\r\n")
    eventually(lambda: server.client.get("/livez").status_code == 200)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    stalled.close()


def test_event_streams_do_not_hold_the_stop_whether_they_are_read_or_not(start_server: StartServer) -> None:
    server = start_server("-queue-size", "100000", "-pool-size", "1", "--drain-timeout", "0.2")
    port = int(server.url.rsplit(":", 1)[1])
    ask = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.connect(("127.0.0.1", port))
    stalled.sendall(ask)
    for batch in range(20):
        submit(server, *((f"{'x' * 240}-{batch}-{number}", 60_000) for number in range(1000)))
    read = socket.create_connection(("127.0.0.1", port))
    read.sendall(ask)
    assert b"text/event-stream" in read.recv(65536)
    server.signal(signal.SIGTERM)
    told = b"".join(iter(lambda: read.recv(65536), b""))
    assert b"event: drain" in told
    assert told.endswith(b"0\r\n\r\n"), "the stream ended by itself"
    assert server.wait() == 0
    stalled.close()
    read.close()


def guards_of(server: ServerProcess) -> list[int]:
    return [pid for pid in children_of(server.pid) if b"guard.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_server_whose_guard_has_died_says_so_and_drains_at_a_signal(start_server: StartServer) -> None:
    server = start_server()
    [guard] = guards_of(server)
    submit(server, ("short", 700))
    eventually(lambda: running(server) == ["short"])
    os.kill(guard, signal.SIGKILL)
    eventually(lambda: "the guard has ended" in server.log_text())
    eventually(lambda: not Path(f"/proc/{guard}").exists())

    server.signal(signal.SIGTERM)

    assert server.wait() == 0
    assert server.log_events()[-1]["finished"] == 1


def test_the_guard_ignores_signals_and_ends_with_its_server(start_server: StartServer) -> None:
    server = start_server()
    [guard] = guards_of(server)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(guard, number)
    assert server.client.get("/livez").status_code == 200
    assert guards_of(server) == [guard]

    server.signal(signal.SIGKILL)

    assert server.wait() == -signal.SIGKILL
    eventually(lambda: not Path(f"/proc/{guard}/exe").exists())


def test_sighup_that_is_ignored_at_the_start_stays_ignored(start_server: StartServer) -> None:
    main = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from pexecutor.cli.main import main; main()"
    server = start_server("-port", "0", "--log-format", "json", command=("-c", main))
    server.signal(signal.SIGHUP)
    assert server.client.get("/readyz").status_code == 200
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert [event["signal"] for event in server.log_events() if "signal" in event] == ["SIGTERM"]


HANGUP = -signal.SIGHUP
"""SIGHUP to a server whose terminal is gone."""


@pytest.mark.parametrize(
    ("received", "left"),
    [
        ([], math.inf),
        ([(signal.SIGTERM, 0)], 40),
        ([(signal.SIGHUP, 0)], math.inf),
        ([(HANGUP, 0)], 40),
        ([(HANGUP, 0), (HANGUP, 5)], 40),
        ([(signal.SIGTERM, 0), (HANGUP, 5)], 40),
        ([(HANGUP, 0), (signal.SIGTERM, 5)], 15),
        ([(signal.SIGINT, 3)], 43),
        ([(signal.SIGCHLD, 0), (signal.SIGUSR1, 0)], math.inf),
        ([(STOP_BEGUN, 0)], 40),
        ([(STOP_BEGUN, 0), (signal.SIGTERM, 0.5)], 40),
        ([(STOP_BEGUN, 0), (signal.SIGTERM, 5)], 15),
        ([(signal.SIGTERM, 0), (STOP_BEGUN, 0.1)], 40),
        ([(signal.SIGTERM, 0), (signal.SIGTERM, 5)], 15),
        ([(signal.SIGTERM, 0), (signal.SIGTERM, 39)], 40),
    ],
)
def test_the_guard_counts_from_the_first_signal_and_the_second_cuts_the_drain(
    received: list[tuple[int, float]], left: float
) -> None:
    hung_up = False
    deadline = Deadline(lambda: hung_up, 30, 10)
    for byte, now in received:
        hung_up = byte == HANGUP
        deadline.note(abs(byte), now)
    assert deadline.at == left


@pytest.mark.parametrize("stubbornness", WORK)
def test_the_bound_holds_whatever_a_handler_does(start_server: StartServer, stubbornness: str) -> None:
    server = start_server(command=("-m", "tests.server.stubborn", stubbornness))
    with suppress(httpx2.TimeoutException):
        server.client.post("/tasks", json=[{"name": "stubborn", "duration": 0}], timeout=1)
    sign = LOCK_HELD if stubbornness == "holds the interpreter" else AT_WORK
    eventually(lambda: sign in server.log_text())

    began = time.monotonic()
    server.signal(signal.SIGTERM)

    assert server.wait() == (-signal.SIGKILL if stubbornness == "holds the interpreter" else 1)
    assert time.monotonic() - began < 2.1 + 3, "the drain timeout, the margin, and a slow machine"
    assert "most recent call first" in server.log_text(), "the stacks of all threads"


FAILED_START = """
import time
from contextlib import suppress
from pexecutor.process import stop
stop.STOP_MARGIN_SECONDS = 0.5
with suppress(ValueError), stop.StopBound(0.0) as bound:
    bound.begin()
    raise ValueError
time.sleep(1)
"""


def test_the_bound_is_called_off_when_the_server_fails_without_a_signal() -> None:
    command = [sys.executable, "-c", FAILED_START]
    assert subprocess.run(command, timeout=WAIT_SECONDS_MAX, check=False, capture_output=True).returncode == 0
