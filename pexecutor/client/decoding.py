"""Decode the JSON of replies and streams. This needs no HTTP library, which takes long to load."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from ..errors import ForeignReplyError

T = TypeVar("T")

NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The errors of bytes that are not JSON of a type; ``RecursionError`` is that of JSON with too many levels."""


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
