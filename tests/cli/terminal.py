"""A terminal with a running program: send keys, change its size, read its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pyte
from pyte.modes import DECTCEM

SECONDS_MAX: Final = 20
READ_BYTES_MAX: Final = 65536
WHOLE_SCREEN: Final = 2

ALTERNATE_SCREEN: Final = b"\x1b[?1049h"
NORMAL_SCREEN: Final = b"\x1b[?1049l"

_TAKE_THE_TERMINAL: Final = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Makes the terminal the controlling terminal of a new session, so that Ctrl-C and a resize send signals."""


class Terminal:
    """A pseudo-terminal that runs ``pexecutor``.

    Parameters:
        process: the process, started with the terminal as its controlling terminal.
        ours: the test's end of the terminal.
        theirs: the program's end, kept open to read its settings.
    """

    def __init__(self, process: subprocess.Popen[bytes], ours: int, theirs: int, screen: pyte.Screen) -> None:
        self._process = process
        self._ours = ours
        self._theirs = theirs
        self._screen = screen
        self._stream = pyte.ByteStream(screen)
        self.written = b""

    def text(self) -> str:
        """Return the text on the screen."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def press(self, keys: bytes) -> None:
        """Type these keys."""
        os.write(self._ours, keys)

    def resize(self, lines: int, columns: int) -> None:
        """Change the size of the terminal."""
        self._screen.resize(lines, columns)
        # Terminals differ in what they keep after a resize. Clear all, so that the program must draw everything.
        self._screen.erase_in_display(WHOLE_SCREEN)
        set_size(self._theirs, lines, columns)

    def read_until(self, seen: Callable[[str], Any]) -> str:
        """Read output until the screen satisfies the condition; return the screen."""
        end = time.monotonic() + SECONDS_MAX
        while not seen(self.text()):
            assert time.monotonic() < end, f"it never came to the screen; there is:\n{self.text()}"
            self._read(0.05)
        return self.text()

    def end(self) -> int:
        """Wait until the program ends; return its exit status."""
        end = time.monotonic() + SECONDS_MAX
        while self._process.poll() is None:
            assert time.monotonic() < end, f"it does not end; there is:\n{self.text()}"
            self._read(0.05)
        while self._read(0):
            pass
        return self._process.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program."""
        self._process.send_signal(number)

    def settings(self) -> list[Any]:
        """Return the terminal's input settings."""
        return termios.tcgetattr(self._theirs)

    def cursor_is_shown(self) -> bool:
        return DECTCEM in self._screen.mode

    def is_alternate(self) -> bool:
        """Return whether the program shows its alternate screen."""
        return self.written.rfind(ALTERNATE_SCREEN) > self.written.rfind(NORMAL_SCREEN)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        data = os.read(self._ours, READ_BYTES_MAX)
        self.written += data
        self._stream.feed(data)
        return True


def set_size(terminal: int, lines: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def in_terminal(
    *arguments: str, lines: int = 30, columns: int = 120, **variables: str
) -> Iterator[tuple[Terminal, list[Any]]]:
    """Run ``pexecutor`` in a terminal; yield the terminal and its settings before the start. Kill it at the end."""
    ours, theirs = pty.openpty()
    set_size(theirs, lines, columns)
    before = termios.tcgetattr(theirs)
    environment = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS", "NO_COLOR")}
    try:
        with subprocess.Popen(
            [sys.executable, "-c", _TAKE_THE_TERMINAL, "-W", "error", "-m", "pexecutor", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment | {"TERM": "xterm-256color", **variables},
            start_new_session=True,
        ) as process:
            try:
                yield Terminal(process, ours, theirs, pyte.Screen(columns, lines)), before
            finally:
                process.kill()
    finally:
        os.close(ours)
        os.close(theirs)
