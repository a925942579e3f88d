"""Read replies: decode them, and turn failures into errors whose name says who acts next."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, TypeVar

import httpx2
import msgspec

from ..errors import ForeignReplyError, PexecutorError, RefusedError, UnreachableError

T = TypeVar("T")

GATEWAY_STATUSES: Final = frozenset({502, 503, 504})
NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The errors of bytes that are not JSON of a type; ``RecursionError`` is that of JSON with too many levels."""

_ERROR_NUMBER: Final = re.compile(r"\[Errno -?\d+\] ")


class Document(NamedTuple):
    """A JSON object of the API, as unchanged bytes and parsed."""

    raw: bytes
    value: dict[str, Any]


def document(raw: bytes, kind: type[msgspec.Struct]) -> Document:
    """Return an object of the API after checking that it has the members of ``kind``."""
    decoded(raw, kind)
    return Document(raw, decoded(raw, dict[str, Any]))


def documents(raw: bytes, kind: type[msgspec.Struct]) -> list[Document]:
    """Return the objects of a list."""
    return [document(bytes(each), kind) for each in decoded(raw, list[msgspec.Raw])]


def decoded(raw: bytes, kind: type[T]) -> T:
    """Decode JSON to a type. Members that the type lacks are ignored: the server may be newer.

    Raises:
        ForeignReplyError: the JSON is not what a pexecutor server sends.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except NOT_JSON as error:
        raise foreign() from error


def foreign() -> ForeignReplyError:
    """Return the error of a reply that no pexecutor server sends."""
    return ForeignReplyError("the reply did not come from a pexecutor server: check the URL")


def refusal(url: str, reply: httpx2.Response) -> RefusedError | UnreachableError:
    """Return the error of a reply. A gateway's error without problem details means that the server is unreachable."""
    try:
        problem = msgspec.json.decode(reply.content, type=dict[str, Any])
    except NOT_JSON:
        problem = {}
    if not problem and reply.status_code in GATEWAY_STATUSES:
        return UnreachableError(f"cannot reach {url}: a gateway answered with the status {reply.status_code}")
    return RefusedError(reply.status_code, problem, reply.headers.get("Retry-After"))


def failure(url: str, error: httpx2.RequestError) -> PexecutorError:
    """Return the error of a request without a reply."""
    return UnreachableError(f"cannot reach {url}: {_reason(error)}")


def _reason(error: httpx2.RequestError) -> str:
    match error:
        case httpx2.TimeoutException():
            return "the server did not reply in time"
        case httpx2.ConnectError():
            return _ERROR_NUMBER.sub("", str(error)) or "no connection"
        case _:
            return "the connection was lost"
