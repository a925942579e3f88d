"""The documentation of the route for logs."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...errors import ExpiredTaskError, UnknownTaskError
from ..api.errors import TooManyStreamsError, UnknownAttemptError, UnsatisfiableRangeError
from ..api.log_lines import NDJSON_TYPE, LogGap, LogLine
from ..api.logs import NODE_HEADER, REASON_HEADER
from ..api.route import Doc, DocumentedReply, Media
from ..api.wire import EXAMPLE_AT, Problem, timestamp
from .openapi import problem_media
from .schemas import ref

_TEXT: Final = Media("text/plain", {"type": "string"})


def _builtins(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


_LINES: Final = Media(
    NDJSON_TYPE,
    {"type": "array", "items": {"anyOf": [ref(LogLine), ref(LogGap)]}},
    {"lines": [_builtins(LogLine(0, "stdout", "copied 12 files\n", timestamp(EXAMPLE_AT)))]},
)

LOG: Final = Doc(
    "Tasks",
    "show_log",
    "Show the whole output of an attempt, or follow it.",
    {
        200: DocumentedReply(
            "The output in the order in which it was printed.", (_TEXT, _LINES), (NODE_HEADER, REASON_HEADER)
        ),
        206: DocumentedReply(
            "The requested range of the output.", (_TEXT,), ("Content-Range", NODE_HEADER, REASON_HEADER)
        ),
        416: DocumentedReply("The output has no bytes in the range.", (problem_media(Problem),), ("Content-Range",)),
    },
    (UnknownTaskError, ExpiredTaskError, UnknownAttemptError, UnsatisfiableRangeError, TooManyStreamsError),
    description=(
        "With `Accept: application/x-ndjson`, each line has its time and its stream. As text, the output is sent as it"
        " was printed, and `Range: bytes=` selects a part of it, counted in the whole output. Of a long log, only the"
        " beginning and the end are kept; a range that begins in the gap between them is moved behind it. A server that"
        " does not have the log sends the end of the output from the record."
    ),
)
