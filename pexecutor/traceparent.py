"""``traceparent``: the trace of a task, in the format of W3C Trace Context (section 3.2).

A task is one hop of a trace: its handler receives the ``traceparent`` of the submit unchanged. pexecutor records no
spans, so it makes no new parent id. As the specification requires, an invalid header is ignored and is no reason to
refuse a task. Of a later version, only the fields that version 00 has are read, and they are passed on as version 00.
"""

from __future__ import annotations

import re
from typing import Final

PATTERN: Final = "^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$"
"""The format of version 00, in which a ``traceparent`` is passed on."""

_VERSION_00: Final = re.compile(PATTERN, re.ASCII)
_LATER: Final = re.compile(r"[0-9a-f]{2}-(?P<ids>[0-9a-f]{32}-[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?:-.*)?", re.ASCII)
_ZERO_ID: Final = re.compile(r"..-0{32}-|.{36}0{16}-")
"""A trace id or a parent id of zeros only, which is invalid."""

_SAMPLED: Final = 0x01
CHARACTERS_MAX: Final = 512


def parse_traceparent(text: str) -> str | None:
    """Return a ``traceparent`` in version 00, or ``None`` if it is invalid."""
    if len(text) > CHARACTERS_MAX or text.startswith("ff") or _ZERO_ID.match(text):
        return None
    if _VERSION_00.fullmatch(text):
        return text
    later = None if text.startswith("00") else _LATER.fullmatch(text)
    if later is None:
        return None
    return f"00-{later['ids']}-{int(later['flags'], 16) & _SAMPLED:02x}"
