"""``traceparent``: which trace a task belongs to, as W3C Trace Context (section 3.2) writes it.

A task is one more hop on the way of a trace: what came with it is handed on as it is, to whoever runs it. Nothing is
traced here, so no new parent is made up. A header that is not valid is as good as none, as the specification asks: it
is no reason to refuse a task. A later version is read as far as it is known to be the same, and handed on as 00.
"""

from __future__ import annotations

import re
from typing import Final

PATTERN: Final = "^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$"
"""Version 00, as it is handed on."""

_VERSION_00: Final = re.compile(PATTERN, re.ASCII)
_LATER: Final = re.compile(r"[0-9a-f]{2}-(?P<ids>[0-9a-f]{32}-[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?:-.*)?", re.ASCII)
_NOBODY: Final = re.compile(r"..-0{32}-|.{36}0{16}-")
"""An id of zeros alone, of the trace or of its parent."""

_SAMPLED: Final = 0x01
CHARACTERS_MAX: Final = 512


def parse_traceparent(text: str) -> str | None:
    """What is to be handed on, in version 00; ``None`` when it is not valid."""
    if len(text) > CHARACTERS_MAX or text.startswith("ff") or _NOBODY.match(text):
        return None
    if _VERSION_00.fullmatch(text):
        return text
    later = None if text.startswith("00") else _LATER.fullmatch(text)
    if later is None:
        return None
    return f"00-{later['ids']}-{int(later['flags'], 16) & _SAMPLED:02x}"
