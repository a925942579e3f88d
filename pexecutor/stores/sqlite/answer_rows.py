"""The rows of remembered answers in a file, from the oldest to the latest.

A row that is not valid is set aside in the table ``damaged_answers``: it stops no server, and hides no other answer.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final

from ...task import TIME_MAX
from ..answers import Answer, KeyedAnswer, RequestKey, RequestKind
from .rows import Row
from .schema import SqliteConnection
from .unwritable import Unwritten

COLUMNS: Final = ("kind", "scope", "key", "digest", "at", "verdicts")

_WRITE: Final = f"INSERT OR REPLACE INTO answers ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_REMOVE: Final = "DELETE FROM answers WHERE kind = ? AND scope = ? AND key = ?"


def write_answers(connection: SqliteConnection, changes: Mapping[RequestKey, Answer | None]) -> None:
    """Write the changes of remembered answers, in a transaction, from the oldest answer to the latest."""
    connection.executemany(_REMOVE, [_to_key(key) for key, answer in changes.items() if answer is None])
    rows = [to_row(KeyedAnswer(key, answer)) for key, answer in changes.items() if answer is not None]
    connection.executemany(_WRITE, rows)


def without_refused(
    changes: Mapping[RequestKey, Answer | None], unwritten: Unwritten
) -> Mapping[RequestKey, Answer | None]:
    """Return the changes without the answers that accept a task which could not be written."""
    return {key: answer for key, answer in changes.items() if not _accepts_any(answer, unwritten.refused)}


def _accepts_any(answer: Answer | None, serials: Container[int]) -> bool:
    return answer is not None and any(number in serials for number in answer.numbers())


def _to_key(key: RequestKey) -> Row:
    return key.kind.value, key.scope, key.key


def to_row(keyed: KeyedAnswer) -> Row:
    """Return the row of an answer, in the order of ``COLUMNS``."""
    key, answer = keyed
    return *_to_key(key), answer.digest, answer.at, answer.packed


def from_row(row: Row) -> KeyedAnswer:
    """Return the answer of a row.

    Raises:
        ValueError: the row is not one that ``to_row`` makes.
    """
    kind, scope, key, digest, at, packed = row
    try:
        if not (isinstance(digest, bytes) and isinstance(packed, bytes)):
            raise ValueError("the digest or the verdicts are not bytes")
        if not 0 <= at <= TIME_MAX:
            raise ValueError(f"the time {at!r} is out of range")
        return KeyedAnswer(RequestKey(RequestKind(_text(kind)), _text(scope), _text(key)), Answer(digest, at, packed))
    except (TypeError, AttributeError) as error:  # a value of another type
        raise ValueError(str(error)) from error


def _text(value: str | bytes) -> str:
    """Return a text, which is read as bytes if another row is not UTF-8."""
    return value if isinstance(value, str) else value.decode()
