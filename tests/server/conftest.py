"""Server processes, started by pexecutor and by Hypercorn, and the command line in this process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple, get_args

import httpx2
import pytest

from pexecutor.cli.main import main
from pexecutor.config import HttpKind

from .process import WAIT_SECONDS_MAX, ServerProcess

StartServer = Callable[..., ServerProcess]


@pytest.fixture(params=get_args(HttpKind))
def each_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with each implementation of HTTP. For tests of the HTTP behaviour."""
    monkeypatch.setenv("PEXECUTOR_SERVER", request.param)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start a server process; kill it at the end of the test if it still runs."""
    started: list[ServerProcess] = []

    def start(
        *flags: str, command: tuple[str, ...] = ("-m", "pexecutor", "-port", "0", "--log-format", "json")
    ) -> ServerProcess:
        started.append(ServerProcess(*flags, command=command, log=tmp_path / f"log-{len(started)}"))
        return started[-1]

    yield start
    for process in started:
        process.close()


class Result(NamedTuple):
    """The exit status and the output of a command."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process until it exits."""

    def run_here(*arguments: str, **environment: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["pexecutor", *arguments])
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        with pytest.raises(SystemExit) as ended:
            main()
        for variable in environment:
            monkeypatch.delenv(variable)
        return Result(int(ended.value.code or 0), *capfd.readouterr())

    return run_here


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


LaunchAny = Callable[[str, Path, Path], tuple[subprocess.Popen[bytes], httpx2.Client, Path]]


@pytest.fixture
def launch_any(tmp_path: Path) -> Iterator[LaunchAny]:
    """Start a server in its own process group, given the way to launch it, a settings file, and the data folder."""
    with ExitStack() as stack:

        def start(launch: str, settings: Path, data: Path) -> tuple[subprocess.Popen[bytes], httpx2.Client, Path]:
            log = data.with_suffix(".log")
            process, url = launch_on_free_port(launch, settings, data, log)
            stack.callback(kill_group, process)
            client = httpx2.Client(base_url=url, timeout=WAIT_SECONDS_MAX, verify=False)
            return process, stack.enter_context(client), log

        yield start


def launch_on_free_port(launch: str, settings: Path, data: Path, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server in its own process group; return the process and the URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = {
        "pexecutor": ["pexecutor", "--config", str(settings), "--port", port],
        "hypercorn": [
            *("hypercorn", "-k", "trio", "-b", f"127.0.0.1:{port}"),
            f"pexecutor.asgi:create_app({str(settings)!r})",
        ],
    }[launch]
    environment = {**os.environ, "PEXECUTOR_DATA_DIR": str(data)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return process, f"http://127.0.0.1:{port}"


def kill_group(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def is_ready(client: httpx2.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False
