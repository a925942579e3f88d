"""Read single keys while the screen is drawn, and restore the terminal afterwards."""

from __future__ import annotations

import os
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from ..streams import STDIN

QUIT_KEYS: Final = frozenset(b"qQ\x04")
"""q, and Ctrl-D."""

_KEYS_MAX: Final = 1024
_CONTROL_CHARACTERS: Final = 6
"""The index of the control characters in the result of ``tcgetattr``."""


@contextmanager
def keys_unbuffered() -> Iterator[None]:
    """Deliver keys at once and without echo inside this context. Ctrl-Z is a key, too: it must not suspend the screen.

    This does nothing if standard input is not a terminal.
    """
    if not os.isatty(STDIN):
        yield
        return
    before = termios.tcgetattr(STDIN)
    try:
        tty.setcbreak(STDIN)
        now = termios.tcgetattr(STDIN)
        now[_CONTROL_CHARACTERS][termios.VSUSP] = os.fpathconf(STDIN, "PC_VDISABLE").to_bytes()
        termios.tcsetattr(STDIN, termios.TCSANOW, now)
        yield
    finally:
        termios.tcsetattr(STDIN, termios.TCSAFLUSH, before)


async def quit_pressed() -> None:
    """Return when a quit key is pressed or standard input has ended."""
    if not os.isatty(STDIN):
        await trio.sleep_forever()
    while True:
        await trio.lowlevel.wait_readable(STDIN)
        try:
            keys = os.read(STDIN, _KEYS_MAX)
        except OSError:
            return
        if not keys or QUIT_KEYS & frozenset(keys):
            return
