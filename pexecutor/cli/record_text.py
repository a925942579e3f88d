"""Format records of the API as short texts.

A record contains texts of handlers, so a text for a terminal is one line without control characters.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

_NOT_ONE_LINE: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")
_CONTROL_IN_JSON: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]")

_SPANS: Final = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))

Record = Mapping[str, Any]


def standing(record: Record) -> str:
    """Return the outcome of a task, or its state if it has no outcome."""
    return str(record.get("outcome") or record["state"])


def since(record: Record) -> str:
    """Return the latest time of a record, as in the API: its end, start, due time or acceptance."""
    for member in ("finished_at", "started_at", "due_at"):
        if member in record:
            return str(record[member])
    return str(record["submitted_at"])


def note(record: Record) -> str:
    """Return the error, result or progress of a task, or the task that it follows; ``""`` if it has none of these."""
    if "error" in record:
        return one_line(record["error"])
    if record.get("result") is not None:
        return one_line(json.dumps(record["result"], ensure_ascii=False))
    if "progress" in record:
        done, total = record["progress"]["done"], record["progress"]["total"]
        return f"{done:g}" if total is None else f"{done:g} of {total:g}"
    return f"follows {record['follows']}" if "follows" in record else ""


def members(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the names and values of a document's members, nested ones included, without null and empty members."""
    for member, value in document.items():
        match value:
            case dict():
                yield from members(value, f"{prefix}{one_line(member)}.")
            case [dict(), *_]:
                for place, element in enumerate(value, 1):
                    yield from members(element, f"{prefix}{one_line(member)}.{place}.")
            case None | []:
                pass
            case str():
                yield prefix + one_line(member), one_line(value)
            case _:
                yield prefix + one_line(member), one_line(json.dumps(value, ensure_ascii=False))


def one_line(text: str) -> str:
    """Return a text on one line, without control characters and characters that change the writing direction."""
    return _NOT_ONE_LINE.sub(" ", text).strip()


def for_terminal(text: str, encoding: str) -> str:
    """Return a text that is safe to print on a terminal, with escapes for characters that the encoding lacks.

    Parameters:
        text: any text.
        encoding: the encoding of the terminal.
    """
    return one_line(text).encode(encoding, "backslashreplace").decode(encoding)


def json_for_terminal(raw: bytes) -> bytes:
    """Return JSON with escapes for the control characters that JSON allows in strings, for a terminal."""
    return _CONTROL_IN_JSON.sub(lambda found: b"".join(b"\\u%04x" % ord(each) for each in found[0].decode()), raw)


def span(seconds: float) -> str:
    """Format a time span (in seconds) in one or two units."""
    seconds = abs(seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for index, (size, unit) in enumerate(_SPANS):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            smaller = _SPANS[index + 1] if index + 1 < len(_SPANS) else None
            less = f" {rest // smaller[0]:.0f} {smaller[1]}" if smaller and rest >= smaller[0] else ""
            return f"{whole:.0f} {unit}{less}"
    raise AssertionError("the smallest unit is a second")


def seconds_of(timestamp: str) -> float:
    """Return a timestamp of the API in seconds since 1970."""
    return datetime.fromisoformat(timestamp).timestamp()


def ago(timestamp: str) -> str:
    """Format a timestamp of the API relative to now: ``5 min ago``, ``in 3 s``."""
    seconds = time.time() - seconds_of(timestamp)
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(seconds)}"
