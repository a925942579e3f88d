"""Where output is cut: at the ends of lines; in a line over 64 KiB, between characters."""

from __future__ import annotations

import re
from typing import Final

LINE_BYTES_MAX: Final = 64 * 1024

_CUT_CHARACTER: Final = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
"""The incomplete last character of a text in UTF-8."""

_CONTINUATION: Final = bytes(range(0x80, 0xC0))
_CONTINUATIONS_MAX: Final = 3
"""The maximum number of bytes after the first byte of a character in UTF-8."""


def kept_before_cut(end: bytes) -> int:
    """Return how many bytes to keep of output that was cut off at its end. It may be the last 64 KiB alone."""
    if lines := end.rfind(b"\n") + 1:
        return lines
    return whole_characters(end)


def dropped_after_cut(begin: bytes) -> int:
    """Return how many bytes to drop of output that was cut off at its beginning. It may be the first 64 KiB alone."""
    if lines := begin.find(b"\n") + 1:
        return lines
    return cut_character(begin)


def cut_character(begin: bytes) -> int:
    """Return how many bytes at the beginning of a text belong to a character that was cut off."""
    cut = begin[:_CONTINUATIONS_MAX]
    return len(cut) - len(cut.lstrip(_CONTINUATION))


def whole_characters(text: bytes) -> int:
    """Return the length of a text without an incomplete last character."""
    cut = _CUT_CHARACTER.search(text[-_CONTINUATIONS_MAX:])
    return len(text) if cut is None else len(text) - len(cut[0])
