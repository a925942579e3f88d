"""Find the last line that a program has printed, for the error of its task."""

from __future__ import annotations

import re
from typing import Final

from ..values import plain_text
from .output import Tail

LINE_CHARACTERS_MAX: Final = 300

_CUT: Final = "…"

# Colours and movements of the cursor, and titles of a window: they would fill an error's text with escapes.
_TERMINAL_SEQUENCE: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_LINE_END: Final = re.compile(rb"[\r\n]+")


def last_line(tail: Tail) -> str:
    """Return the last line of a stream that is not blank, or ``""``; of a long line, its beginning.

    A carriage return ends a line, as a progress bar is drawn over itself. Bytes that are not UTF-8 are replaced,
    control characters appear as escapes, and codes for the terminal are left out.
    """
    for line in reversed(_LINE_END.split(_TERMINAL_SEQUENCE.sub(b"", bytes(tail)))):
        text = plain_text(line[: 4 * LINE_CHARACTERS_MAX].decode(errors="replace").strip())
        if text:
            return text if len(text) <= LINE_CHARACTERS_MAX else text[: LINE_CHARACTERS_MAX - 1] + _CUT
    return ""
