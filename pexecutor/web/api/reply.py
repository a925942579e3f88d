"""A reply, independent of the server that sends it: a status, a body and headers.

``serving/adapter.py`` turns a ``Reply`` into a response of the framework. The fast listener writes it to the socket
itself. A test checks that both send the same bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec

from ...errors import counted
from ...task import Draining, Full, Verdict
from .wire import Problem

JSON_TYPE: Final = "application/json"
PROBLEM_TYPE: Final = "application/problem+json"

_NO_HEADERS: Final[Mapping[str, str]] = {}

encode: Final[Callable[[object], bytes]] = msgspec.json.Encoder().encode


class Reply(NamedTuple):
    """The reply to one request.

    Parameters:
        content: the body: bytes, or the parts of a stream, which only the framework sends.
        status: the HTTP status.
        headers: the headers, without Content-Type and Content-Length.
        content_type: the media type of the body; empty for a reply without a body.
        until_sent: contexts to exit once the reply is sent, or cannot be sent.
    """

    content: bytes | AsyncIterator[bytes]
    status: int = 200
    headers: Mapping[str, str] = _NO_HEADERS
    content_type: str = JSON_TYPE
    until_sent: ExitStack | None = None


def json_reply(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a reply with a JSON body."""
    return Reply(encode(content), status, headers or _NO_HEADERS)


def problem_reply(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    extensions: dict[str, Any] | None = None,
) -> Reply:
    """Return an error reply with problem details; see ``problem`` for the parameters."""
    return Reply(problem(status, detail, extensions), status, headers or _NO_HEADERS, PROBLEM_TYPE)


def problem(status: int, detail: str, extensions: dict[str, Any] | None = None) -> bytes:
    """Return encoded RFC 9457 problem details, of type ``about:blank``: the status says which kind of error it is.

    Parameters:
        detail: what is wrong with this request, and what to do.
        extensions: further members of the problem details.
    """
    members = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return encode(msgspec.structs.asdict(members) | (extensions or {}))


def refusal_reply(
    verdicts: Sequence[Verdict], retry_after_seconds: Callable[[int], int], extensions: dict[str, Any]
) -> Reply:
    """Return the reply to a submit that was refused, in whole or in part, with ``Retry-After``.

    The status is 503 if the executor is draining, else 429. The member ``verdict`` says so to programs, because other
    refusals have these statuses, too.
    """
    refused = sum(isinstance(verdict, Full | Draining) for verdict in verdicts)
    if any(isinstance(verdict, Draining) for verdict in verdicts):
        status, detail = 503, f"the server is draining and refused {counted(refused, 'task')}: use another server"
        extensions = {"verdict": "draining", **extensions}
    else:
        status, detail = 429, f"the queue has no room for {counted(refused, 'task')}: try again later"
        extensions = {"verdict": "full", **extensions}
    headers = {"Retry-After": str(retry_after_seconds(refused))}
    return problem_reply(status, detail, headers=headers, extensions=extensions)
