"""``TestServer``: a server process for tests."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from ..client.aio.client import AsyncClient
from ..client.sync.client import Client
from ..errors import PexecutorError

START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 20.0
_ANNOUNCED: Final = "serves at "


class TestServerError(PexecutorError):
    """The server of a test has not started, or has not ended cleanly. The message has its log."""

    __test__ = False


class TestServer:
    """A server process on a free port of the loopback, with its tasks in memory. Use it as a context manager.

    Parameters:
        flags: further flags of ``pexecutor serve``.
        directory: where the log and the data of the server go.

    Attributes:
        url: the URL of the server.

    Raises:
        TestServerError: the server has not started, or has not ended cleanly.
    """

    __test__ = False  # the name begins like that of a class of tests

    def __init__(self, flags: Sequence[str], directory: Path) -> None:
        self._log_file = directory / "server.log"
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pexecutor", "-port", "0", "--store", "memory", "--drain-timeout", "0", *flags],
                env={**_environment(), "PEXECUTOR_DATA_DIR": str(directory)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.url = self._announced_url()

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return self._log_file.read_text(encoding="utf-8", errors="replace")

    def client(self) -> Client:
        """Return a client of the server. The caller closes it."""
        return Client(self.url, "")

    def async_client(self) -> AsyncClient:
        """Return an asynchronous client of the server. The caller closes it."""
        return AsyncClient(self.url, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server: running tasks are cut off.

        Raises:
            TestServerError: the server has not ended cleanly.
        """
        self._process.terminate()
        try:
            status = self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._kill()
            raise TestServerError(f"the server did not stop. Its log:\n{self.log}") from None
        self._output.close()
        if status:
            raise TestServerError(f"the server ended with the status {status}. Its log:\n{self.log}")

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _announced_url(self) -> str:
        end = time.monotonic() + START_SECONDS_MAX
        while select.select([self._output], [], [], max(0.0, end - time.monotonic()))[0]:
            line = self._output.readline()
            if _ANNOUNCED in line:
                return line.split(_ANNOUNCED)[1].strip()
            if not line:
                break
        self._kill()
        raise TestServerError(f"the server did not start. Its log:\n{self.log}")

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()


def _environment() -> dict[str, str]:
    """Return the environment without settings of pexecutor: those of the user are not those of a test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PEXECUTOR_")}
