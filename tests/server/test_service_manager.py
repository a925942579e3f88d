"""The messages to a service manager, received from a real socket; the beats of the watchdog are in virtual time."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from pexecutor import Executor, LocalStore
from pexecutor.limits.times import STOP_MARGIN_SECONDS, WRITE_SECONDS_MAX
from pexecutor.process.service_manager import BEAT, RETRY_SECONDS, UNSENT_MAX, ServiceManager, is_working
from pexecutor.task import Task

from ..conftest import RunHere
from ..fakes import FakeJournal
from .conftest import Launch, StartServer
from .process import ServerProcess, eventually

PROTOCOL: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
FUNCTIONS: Final = Path(__file__).with_name("environment.py")


class Receiver:
    """The socket of a service manager.

    Parameters:
        address: the address as the variable ``NOTIFY_SOCKET`` has it.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def messages(self) -> list[list[str]]:
        """Return the lines of each message that has arrived."""
        arrived: list[list[str]] = []
        while True:
            try:
                arrived.append(self.socket.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return arrived


@pytest.fixture(params=["path", "abstract"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Receiver]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@pexecutor-test-{os.getpid()}"
    receiver = Receiver(address)
    yield receiver
    receiver.socket.close()


def manager_of(receiver: Receiver, **variables: str) -> ServiceManager:
    return ServiceManager.from_environment({"NOTIFY_SOCKET": receiver.address, **variables})


def healthy() -> bool:
    return True


def test_each_message_arrives_as_its_own_datagram(receiver: Receiver) -> None:
    manager = manager_of(receiver)

    manager.ready("serving at http://127.0.0.1:8080")
    manager.stopping(40.5)

    assert receiver.messages() == [
        ["READY=1", "STATUS=serving at http://127.0.0.1:8080"],
        ["STOPPING=1", "EXTEND_TIMEOUT_USEC=40500000", "STATUS=draining"],
    ]


def test_a_reload_has_the_time_of_the_monotonic_clock(receiver: Receiver) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    manager_of(receiver).reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    [[reloading, at, status]] = receiver.messages()

    assert (reloading, status) == ("RELOADING=1", "STATUS=reloading the settings")
    assert before <= int(at.removeprefix("MONOTONIC_USEC=")) <= after


def test_a_status_cannot_add_a_line_to_a_message(receiver: Receiver) -> None:
    manager_of(receiver).ready("the file is broken\nSTOPPING=1\n")

    assert receiver.messages() == [["READY=1", "STATUS=the file is broken STOPPING=1"]]


def test_the_variables_are_removed() -> None:
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}

    ServiceManager.from_environment(environment)

    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize("address", ["/nowhere/notify", "@pexecutor-nobody", "/" + "x" * 200])
def test_a_broken_socket_is_logged_once_and_stops_nothing(address: str) -> None:
    manager = ServiceManager.from_environment({"NOTIFY_SOCKET": address})

    with capture_logs() as logs:
        manager.ready("serving")
        manager.stopping(1)

    [log] = logs
    assert (log["event"], log["socket"]) == ("the service manager gets no messages", address)


def test_an_unknown_kind_of_address_is_logged() -> None:
    with capture_logs() as logs:
        ServiceManager.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"}).ready("serving")

    assert [log["event"] for log in logs] == ["the service manager gets no messages: NOTIFY_SOCKET is not a path"]


async def test_without_a_manager_nothing_is_sent_and_nothing_is_logged() -> None:
    manager = ServiceManager.from_environment({})
    with capture_logs() as logs:
        manager.ready("serving")
        await manager.run(healthy)
    assert logs == []


async def test_the_watchdog_gets_a_beat_in_each_half_of_its_period(
    receiver: Receiver, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    manager = manager_of(receiver, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid()))
    nursery.start_soon(manager.run, healthy)

    for seconds in (14, 15, 15):
        await trio.sleep(seconds)
        assert receiver.messages() == [[BEAT]]


async def test_the_watchdog_gets_no_beat_while_the_server_is_not_healthy(
    receiver: Receiver, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    manager = manager_of(receiver, WATCHDOG_USEC="2000000")
    health = [True, False, False, True, True]
    with capture_logs() as logs:
        nursery.start_soon(manager.run, lambda: health[int(trio.current_time())])
        arrived = []
        await trio.sleep(0.5)
        for _ in range(4):
            arrived.append(len(receiver.messages()))
            await trio.sleep(1)

    assert arrived == [1, 0, 0, 1]
    assert [log["event"] for log in logs] == ["the watchdog gets no beat: a write of the store does not end"]


@pytest.mark.parametrize(
    ("period", "pid", "warnings"),
    [("", "", 0), ("30000000", "1", 0), ("0", "", 1), ("soon", "", 1), ("-1", "", 1), ("9" * 5000, "", 1)],
)
async def test_no_beat_without_a_period_for_this_process(
    receiver: Receiver, autojump_clock: MockClock, nursery: trio.Nursery, period: str, pid: str, warnings: int
) -> None:
    with capture_logs() as logs:
        manager = manager_of(receiver, WATCHDOG_USEC=period, WATCHDOG_PID=pid)
    nursery.start_soon(manager.run, healthy)

    await trio.sleep(120)

    assert receiver.messages() == []
    assert len(logs) == warnings


async def test_messages_without_room_are_sent_later_and_in_order(
    receiver: Receiver, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    receiver.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    manager = manager_of(receiver)
    sent = 0
    while not manager.unsent:
        manager.ready(f"{sent}")
        sent += 1
        assert sent < 10_000, "the socket takes everything"
    manager.stopping(1)
    nursery.start_soon(manager.run, healthy)
    arrived = receiver.messages()
    assert len(arrived) == sent - 1

    await trio.sleep(2 * RETRY_SECONDS)

    assert receiver.messages()[-2:] == [
        ["READY=1", f"STATUS={sent - 1}"],
        ["STOPPING=1", "EXTEND_TIMEOUT_USEC=1000000", "STATUS=draining"],
    ]
    assert manager.unsent == 0


def test_the_number_of_unsent_messages_is_bounded(receiver: Receiver) -> None:
    manager = manager_of(receiver)
    for _ in range(10_000):
        manager.ready("serving")
    assert 0 < manager.unsent <= UNSENT_MAX


# When the watchdog gets its beat


async def test_a_write_that_does_not_end_is_not_healthy(run_here: RunHere, autojump_clock: MockClock) -> None:
    journal = FakeJournal()
    executor = await run_here(LocalStore(journal=journal))
    assert is_working(executor.statistics())

    journal.writing_seconds = WRITE_SECONDS_MAX + 1

    assert not is_working(executor.statistics())


async def test_a_store_that_refuses_writes_is_healthy(run_here: RunHere, autojump_clock: MockClock) -> None:
    journal = FakeJournal()
    executor = await run_here(LocalStore(journal=journal))

    journal.trouble = "the disk is full"

    assert is_working(executor.statistics())


async def test_an_executor_is_healthy_until_it_has_stopped(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor: Executor = await run_here()
    await executor.submit([Task("report", 5000)])
    await trio.sleep(1)
    executor.drain()
    assert is_working(executor.statistics())

    await executor.stopped.wait()

    assert not is_working(executor.statistics())


# A real server


def test_a_server_reports_its_start_its_beats_and_its_stop(
    start_server: StartServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", receiver.address)
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    server = start_server("--drain-timeout", "7")
    started = arrived_until(receiver, [BEAT], [BEAT])
    assert [message for message in started if message != [BEAT]] == [["READY=1", f"STATUS=serves at {server.url}"]]

    server.signal(signal.SIGTERM)
    assert server.wait() == 0

    extension = int((7 + STOP_MARGIN_SECONDS) * 1_000_000)
    stopping = ["STOPPING=1", f"EXTEND_TIMEOUT_USEC={extension}", "STATUS=draining"]
    assert [message for message in receiver.messages() if message != [BEAT]] == [stopping]


def test_the_signal_of_the_watchdog_writes_the_stacks(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    server = start_server()

    server.signal(signal.SIGABRT)

    assert server.wait() == -signal.SIGABRT
    assert "(most recent call first)" in server.log_text()  # of "Current thread" if it runs Python


@pytest.mark.parametrize("receiver", ["path"], indirect=True)
def test_a_worker_of_hypercorn_reports_its_start_its_beats_and_its_stop(
    launch: Launch, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", receiver.address)
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    process, _ = launch()
    arrived_until(receiver, ["READY=1", "STATUS=serves under Hypercorn"], [BEAT])

    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0

    assert "STOPPING=1" in [line for message in receiver.messages() for line in message]


def test_a_task_does_not_inherit_the_variables_of_the_protocol(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROTOCOL:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    server = start_server("--handlers", str(FUNCTIONS))

    assert variables_of(server, "in_a_process").isdisjoint(PROTOCOL)
    assert variables_of(server, "in_the_server").isdisjoint(PROTOCOL)


def variables_of(server: ServerProcess, handler: str) -> set[str]:
    """Return the names of the environment variables that a task of a handler has."""
    reply = server.client.post("/tasks?wait=20", json={"name": handler, "handler": handler})
    names: list[str] = reply.json()["result"]
    assert "PATH" in names
    return set(names)


def arrived_until(receiver: Receiver, *wanted: list[str]) -> list[list[str]]:
    """Wait for messages, in this order, possibly with others between them; return all that have arrived."""
    arrived: list[list[str]] = []

    def have_arrived() -> bool:
        arrived.extend(receiver.messages())
        return is_within(wanted, arrived)

    eventually(have_arrived)
    return arrived


def is_within(wanted: Sequence[list[str]], arrived: Sequence[list[str]]) -> bool:
    rest = iter(arrived)
    return all(message in rest for message in wanted)
