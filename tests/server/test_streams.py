"""A server works normally even if its standard output and standard error cannot be written."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog

from pexecutor.config import LogFormat
from pexecutor.log import configure_logging
from pexecutor.process import streams
from pexecutor.process.streams import BackgroundStream, BackgroundWriter, background_streams

from .conftest import is_ready
from .process import WAIT_SECONDS_MAX, eventually

NOISY = str(Path(__file__).with_name("noisy.py"))

COMMANDS = {
    "pexecutor": ("-m", "pexecutor", "--handlers", NOISY, "--port", "{port}", "--log-level", "debug"),
    "hypercorn": (
        *("-m", "hypercorn", "-k", "trio", "-b", "127.0.0.1:{port}", "--access-logfile", "-"),
        f"pexecutor.asgi:create_app(handler_modules=({NOISY!r},), log_level='debug')",
    ),
}


@contextmanager
def pipe_without_a_reader() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextmanager
def pipe_that_nobody_reads() -> Iterator[int]:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while os.write(writing, b"x" * 65536):
            pass
    except BlockingIOError:
        os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


@contextmanager
def full_disk() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


def kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


ENDS = {"no reader": pipe_without_a_reader, "not read": pipe_that_nobody_reads, "full": full_disk}


@pytest.fixture
def launched() -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], httpx2.Client]]]:
    """Start a server whose standard streams cannot be written."""
    with ExitStack() as stack:

        def start(launch: str, end: str, encoding: str = "utf-8") -> tuple[subprocess.Popen[bytes], httpx2.Client]:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            command = [sys.executable, *(part.replace("{port}", str(port)) for part in COMMANDS[launch])]
            output: int | None = None
            if end == "closed":
                # Under Hypercorn, the parent process would use all three as the pipes to its worker.
                closed = ">&- 2>&- <&-" if launch == "pexecutor" else "2>&-"
                command = ["sh", "-c", f'exec "$@" {closed}', "sh", *command]
            else:
                output = stack.enter_context(ENDS[end]())
            environment = {**os.environ, "PYTHONIOENCODING": encoding}
            process = stack.enter_context(
                subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
            )
            stack.callback(kill, process)
            client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_SECONDS_MAX, verify=False)
            return process, stack.enter_context(client)

        yield start


@pytest.mark.parametrize("launch", COMMANDS)
@pytest.mark.parametrize("end", [*ENDS, "closed"])
def test_a_server_serves_and_stops_whatever_its_output_is(
    launched: Callable[..., tuple[subprocess.Popen[bytes], httpx2.Client]], launch: str, end: str
) -> None:
    process, client = launched(launch, end, "ascii" if end == "no reader" else "utf-8")
    eventually(lambda: is_ready(client))

    for handler in ("noisy_async", "noisy_thread", "noisy_async", "noisy_thread"):
        submitted = client.post("/tasks", json={"name": "a", "handler": handler})
        assert submitted.status_code == 202
        ended = client.get(f"/tasks/{submitted.json()['id']}?wait=10").json()
        assert (ended["state"], ended["outcome"]) == ("finished", "failed")
        assert "noisy" in ended["error"]
    dropped = float(client.get("/metrics").text.split("\npexecutor_output_lines_dropped_total ")[1].split()[0])
    assert (dropped > 0) == (end in ("no reader", "full") or (end == "closed" and launch == "hypercorn"))

    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_SECONDS_MAX) == 0


def test_an_output_that_nobody_reads_does_not_hold_the_bound_of_a_stop() -> None:
    """The stacks cannot be written, so the timer that would exit after writing them never does. The guard does."""
    with pipe_that_nobody_reads() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.server.stubborn", "in a thread"],
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
        with process, httpx2.Client(timeout=1) as client:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            with suppress(httpx2.TimeoutException):
                client.post(f"{url}/tasks", json=[{"name": "stubborn", "duration": 0}])
                client.get(f"{url}/livez")  # no reply once the handler waits for the pipe
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_SECONDS_MAX) == -signal.SIGKILL


def test_what_was_dropped_is_counted_and_said_once_there_is_a_reader_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "WAITING_BYTES_MAX", 100_000)
    reading, writing = os.pipe()
    said = threading.Event()
    missing: list[int] = []

    def report(lines: int) -> None:
        missing.append(lines)
        said.set()

    writer = BackgroundWriter(writing, report)
    stream = BackgroundStream(writer, "utf-8")

    for number in range(10_000):
        stream.write(f"line {number:04} {'x' * 89}\n")
    dropped = writer.dropped_lines
    assert 8000 < dropped < 9500, "a pipe holds 64 KiB, the queue 100 kB"

    with os.fdopen(reading) as reader:
        lines = [next(reader) for _ in range(10_000 - dropped)]
    assert said.wait(WAIT_SECONDS_MAX)
    assert [int(line[5:9]) for line in lines] == list(range(10_000 - dropped)), "whole lines, in order"
    assert missing == [dropped]
    os.close(writing)


def test_lines_of_many_threads_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    writer = BackgroundWriter(writing)

    def write(number: int) -> None:
        stream = BackgroundStream(writer, "utf-8")
        for _ in range(100):
            stream.write(f"{number}" * 50 + "\n")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    with os.fdopen(reading) as reader:
        lines = [next(reader) for _ in range(800)]
    for thread in threads:
        thread.join()
    assert {(len(line), len(set(line))) for line in lines} == {(51, 2)}
    os.close(writing)


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_event_that_cannot_be_shown_is_logged_by_its_name(
    capfd: pytest.CaptureFixture[str], log_format: LogFormat
) -> None:
    with background_streams():
        configure_logging("info", log_format)
        structlog.get_logger().info("odd", thing=Unshowable())
        structlog.get_logger().info(os.fsdecode(b"caf\xe9"), thing=os.fsdecode(b"\xe9"))
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    for part in ("odd", "RuntimeError"):
        assert part in lines[0]
    assert "\\udce9" in lines[1]


FORK = """
import os, sys
from pexecutor.process.streams import background_streams
with background_streams():
    print("before")
    if not os.fork():
        print("in the fork")
        sys.stderr.write("an error in the fork\\n")
        sys.stdout.flush()
        os._exit(0)
    os.wait()
    print("after")
"""


def test_a_forked_process_writes_its_own_lines() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS_MAX, check=True)
    assert sorted(ended.stdout.splitlines()) == ["after", "before", "in the fork"]
    assert ended.stderr == "an error in the fork\n"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda stream: stream.close(),
        lambda stream: stream.detach(),
        lambda stream: stream.reconfigure(encoding="ascii", errors="strict", newline="\r\n", line_buffering=False),
        lambda stream: stream.flush(),
    ],
    ids=["close", "detach", "reconfigure", "flush"],
)
def test_what_a_function_does_to_the_streams_does_not_silence_the_log(
    capfd: pytest.CaptureFixture[str], spoil: Callable[[Any], None]
) -> None:
    with background_streams():
        configure_logging("info", "text")
        spoil(sys.stderr)
        structlog.get_logger().info("f\xfcr \udce9")
    assert "f" in capfd.readouterr().err
