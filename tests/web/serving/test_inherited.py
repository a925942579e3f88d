"""A listening socket from a service manager: what is taken, and what is refused with a clear error."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pexecutor.web.serving.inherited import take_inherited
from pexecutor.web.serving.listener import ListenError, url_of_socket


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def variables(number: str = "1", pid: int | None = None) -> dict[str, str]:
    return {"LISTEN_FDS": number, "LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDNAMES": "x", "PATH": "/bin"}


def test_a_tcp_socket_is_taken_and_keeps_its_address(stack: ExitStack) -> None:
    listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    listening.set_inheritable(True)
    environment = variables()

    taken = take_inherited(environment, stack.enter_context(dup(listening)).detach())

    assert taken is not None
    stack.enter_context(taken)
    assert taken.getsockname() == listening.getsockname()
    assert not taken.get_inheritable()
    assert not taken.getblocking()
    assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize("abstract", [False, True])
def test_a_unix_socket_is_taken(stack: ExitStack, tmp_path: Path, abstract: bool) -> None:
    path = f"pexecutor-{os.getpid()}" if abstract else str(tmp_path / "api")
    listening = stack.enter_context(socket.socket(socket.AF_UNIX))
    listening.bind(f"\0{path}" if abstract else path)
    listening.listen()

    taken = take_inherited(variables(), dup(listening).detach())

    assert taken is not None
    stack.enter_context(taken)
    assert url_of_socket(taken, None) == f"unix:{'@' if abstract else ''}{path}"


def dup(listening: socket.socket) -> socket.socket:
    return socket.socket(fileno=os.dup(listening.fileno()))


@pytest.mark.parametrize("environment", [{}, {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())}])
def test_without_a_socket_the_server_listens_itself(environment: dict[str, str]) -> None:
    assert take_inherited(environment) is None


def test_a_socket_for_another_process_is_left_alone() -> None:
    environment = variables(pid=1)
    with capture_logs() as logs:
        assert take_inherited(environment) is None
    assert environment == {"PATH": "/bin"}
    assert "start pexecutor with exec" in logs[0]["event"]


def connected() -> socket.socket:
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours


def datagram() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (connected, "it does not listen; use ListenStream= and Accept=no"),
        (datagram, "not a TCP or Unix stream socket; use ListenStream="),
        (lambda: socket.socket(socket.AF_INET), "it does not listen"),
    ],
)
def test_other_sockets_are_refused(make: Callable[[], socket.socket], message: str) -> None:
    with make() as other, pytest.raises(ListenError, match=message):
        take_inherited(variables(), other.fileno())


def test_a_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(ListenError, match="is not a socket"):
        take_inherited(variables(), file.fileno())


def test_a_closed_descriptor_is_refused() -> None:
    with pytest.raises(ListenError, match="descriptor 1000000 is not open"):
        take_inherited(variables(), 1_000_000)


@pytest.mark.parametrize("number", ["2", "many", "-1"])
def test_more_than_one_socket_is_refused(number: str) -> None:
    with pytest.raises(ListenError, match=f"LISTEN_FDS is {number}, but the server serves on one socket"):
        take_inherited(variables(number))
