"""Servers on an inherited socket: each way to launch them, each kind of socket, and the errors of a start."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx2
import pytest

from .activation import activated
from .conftest import kill_group
from .process import WAIT_SECONDS_MAX

HYPERCORN: Final = ("hypercorn", "-k", "trio", "pexecutor.asgi:create_app()", "--bind", "fd://3", "--backlog", "4096")
LAUNCHES: Final = {
    "hypercorn": ("pexecutor", "--server", "hypercorn"),
    "fast": ("pexecutor", "--server", "fast"),
    "hypercorn's own": HYPERCORN,
}


@pytest.mark.parametrize("launch", LAUNCHES.values(), ids=LAUNCHES)
def test_a_client_that_connects_between_two_servers_is_answered_by_the_next(
    launch: Sequence[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(2):  # the client connects before the server starts
            reply = submitted_to(listener, launch, tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}")
            assert reply.status_code == 202


def test_a_server_on_a_unix_socket_needs_no_token(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "api"))
        listener.listen()
        transport = httpx2.HTTPTransport(uds=str(tmp_path / "api"))
        reply = submitted_to(listener, LAUNCHES["fast"], tmp_path, "http://localhost", transport)
    assert reply.status_code == 202


def submitted_to(
    listener: socket.socket,
    launch: Sequence[str],
    folder: Path,
    url: str,
    transport: httpx2.HTTPTransport | None = None,
) -> httpx2.Response:
    """Submit a task to a server that is started on the socket; stop the server."""
    process = activated(listener, launch, folder / "log")
    try:
        with httpx2.Client(base_url=url, timeout=WAIT_SECONDS_MAX, transport=transport) as client:
            reply = client.post("/tasks", json={"name": "report"})
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=WAIT_SECONDS_MAX)
        assert process.returncode == 0, (folder / "log").read_text()
        if launch[0] == "pexecutor":
            address = listener.getsockname()
            assert f"serves at {'unix:' + address if isinstance(address, str) else url}\n" in output
        return reply
    finally:
        kill_group(process)


def test_a_descriptor_that_is_closed_is_an_error_of_one_line() -> None:
    announce = "import os, sys; os.environ |= {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid())}"
    start = "os.execv(sys.executable, [sys.executable, '-m', 'pexecutor'])"

    ended = subprocess.run(
        [sys.executable, "-c", f"{announce}; {start}"], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr == "pexecutor: LISTEN_FDS is set, but descriptor 3 is not open: Bad file descriptor\n"


def test_anonymous_clients_of_other_machines_are_refused_on_an_inherited_socket_too(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        process = activated(listener, LAUNCHES["fast"], tmp_path / "log")
        output, _ = process.communicate(timeout=WAIT_SECONDS_MAX)

    assert (process.returncode, output) == (2, "")
    assert "the socket on 0.0.0.0 is reachable from other machines and no token" in (tmp_path / "log").read_text()
