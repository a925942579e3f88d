"""An answer before anybody sends it: a status, a body and what its headers say.

What a request comes to is a ``Reply``, whoever has read the request. The framework's views hand it on as a response of
the framework; the fast listener writes it out as it is. Both lead to the same bytes, and a test holds them to that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec
from quart import Response

from ...task import Draining, Full, Verdict
from .wire import Problem

JSON_TYPE: Final = "application/json"
PROBLEM_TYPE: Final = "application/problem+json"

_NO_HEADERS: Final[Mapping[str, str]] = {}

encode: Final[Callable[[object], bytes]] = msgspec.json.Encoder().encode


class Reply(NamedTuple):
    """What is answered.

    Parameters:
        content: the body.
        status: the status.
        headers: besides those that tell the body's type and length.
        content_type: the body's type.
    """

    content: bytes
    status: int = 200
    headers: Mapping[str, str] = _NO_HEADERS
    content_type: str = JSON_TYPE

    def as_response(self) -> Response:
        """The same as the framework has it."""
        return Response(self.content, self.status, dict(self.headers), content_type=self.content_type)


def json_reply(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON reply."""
    return Reply(encode(content), status, headers or _NO_HEADERS)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The same as the framework has it."""
    return json_reply(content, status, headers).as_response()


def problem_reply(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    extensions: dict[str, Any] | None = None,
) -> Reply:
    """An error reply: problem details."""
    return Reply(problem(status, detail, extensions), status, headers or _NO_HEADERS, PROBLEM_TYPE)


def problem_response(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    extensions: dict[str, Any] | None = None,
) -> Response:
    """The same as the framework has it."""
    return problem_reply(status, detail, headers=headers, extensions=extensions).as_response()


def problem(status: int, detail: str, extensions: dict[str, Any] | None = None) -> bytes:
    """RFC 9457 problem details, of type ``about:blank``, so the status says what kind it is.

    Parameters:
        detail: what is wrong with this request, and what to do.
        extensions: further members.
    """
    members = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return encode(msgspec.structs.asdict(members) | (extensions or {}))


def refusal_reply(
    verdicts: Sequence[Verdict], retry_after_seconds: Callable[[int], int], extensions: dict[str, Any]
) -> Reply:
    """The reply to a submit of which something was refused: 503 when draining, else 429; both say when to come back."""
    refused = sum(isinstance(verdict, Full | Draining) for verdict in verdicts)
    if any(isinstance(verdict, Draining) for verdict in verdicts):
        status, detail = 503, f"the executor is draining and has refused {_tasks(refused)}: send them to another one"
    else:
        status, detail = 429, f"the queue has no room for {_tasks(refused)}: send them again later"
    headers = {"Retry-After": str(retry_after_seconds(refused))}
    return problem_reply(status, detail, headers=headers, extensions=extensions)


def _tasks(number: int) -> str:
    return "1 task" if number == 1 else f"{number} tasks"
