"""The keyboard while something is drawn: keys as they are pressed, and everything as it was when that ends."""

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
"""Where ``tcgetattr`` has the characters that mean something to the terminal."""


@contextmanager
def keys_unbuffered() -> Iterator[None]:
    """While in here, keys come at once and are not echoed, and Ctrl-Z is one of them: it would leave a drawn screen.

    Without a keyboard there is nothing to change.
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
    """Return when a key was pressed that ends the program, or when the keyboard is gone."""
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
