"""The rows of remembered answers in a file, from the oldest to the latest.

A row that is not valid is set aside in the table ``damaged_answers``: it stops no server, and hides no other answer.
"""

from __future__ import annotations

from collections.abc import Container, Sequence, Set
from typing import Final, NamedTuple

from ...task import TIME_MAX
from ..answers import Answer, KeyedAnswer, RequestKey, RequestKind
from .reading import TableReading
from .rows import Row
from .schema import SqliteConnection

COLUMNS: Final = ("kind", "scope", "key", "digest", "at", "verdicts")

_WRITE: Final = f"INSERT OR REPLACE INTO answers ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_REMOVE: Final = "DELETE FROM answers WHERE kind = ? AND scope = ? AND key = ?"


class AnswerChanges(NamedTuple):
    """The changes of remembered answers in one transaction.

    Parameters:
        gone: the keys of answers to delete, before others are written.
        written: the answers to write.
    """

    gone: Set[RequestKey] = frozenset()
    written: Sequence[KeyedAnswer] = ()


NO_CHANGES: Final = AnswerChanges()


def write_answers(connection: SqliteConnection, changes: AnswerChanges, refused: Container[int] = ()) -> None:
    """Write changes of answers, in a transaction.

    Parameters:
        connection: the file.
        changes: the changes.
        refused: the serials of tasks that could not be written; answers that accept one of them are not written.
    """
    if changes.gone:
        connection.executemany(_REMOVE, [(key.kind.value, key.scope, key.key) for key in changes.gone])
    rows = [to_row(keyed) for keyed in changes.written if not _accepts_any(keyed.answer, refused)]
    if rows:
        connection.executemany(_WRITE, rows)


def _accepts_any(answer: Answer, serials: Container[int]) -> bool:
    return bool(serials) and any(number in serials for number in answer.numbers())


def to_row(keyed: KeyedAnswer) -> Row:
    """Return the row of an answer, in the order of ``COLUMNS``."""
    key, answer = keyed
    return key.kind.value, key.scope, key.key, answer.digest, answer.at, answer.packed


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


class AnswerReading(TableReading[KeyedAnswer]):
    """One pass over all remembered answers of a file."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, "answers", COLUMNS, from_row)

    def answers(self) -> list[KeyedAnswer]:
        """Return every answer that can be read, the oldest first."""
        return self._values()
