"""The rows of the numbers of limits and of pauses in a file.

A row that is not valid is set aside in the table ``damaged_limits``: it stops no server, and hides no other row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from ...task import NAME_BYTES_MAX, TIME_MAX
from ..limits import TaskPause
from ..local.limit_settings import EVERYTHING, LimitChange, Setting, SettingKey, SettingKind
from .rows import Row
from .schema import SqliteConnection

COLUMNS: Final = ("kind", "name", "number", "since", "by")

_WRITE: Final = f"INSERT OR REPLACE INTO limits VALUES ({', '.join('?' * len(COLUMNS))})"
_REMOVE: Final = "DELETE FROM limits WHERE kind = ? AND name = ?"


def write_limits(connection: SqliteConnection, changes: Mapping[SettingKey, Setting | None]) -> None:
    """Write the new numbers and pauses, in a transaction."""
    connection.executemany(_REMOVE, [key for key, setting in changes.items() if setting is None])
    connection.executemany(_WRITE, [to_row(*change) for change in changes.items() if change[1] is not None])


def to_row(key: SettingKey, setting: Setting | None) -> Row:
    """Return the row of a setting, in the order of ``COLUMNS``."""
    if isinstance(setting, TaskPause):
        return *key, None, setting.since, setting.by
    return *key, setting, None, None


def from_row(row: Row) -> LimitChange:
    """Return the setting of a row, with its key.

    Raises:
        ValueError: the row is not one that ``to_row`` makes.
    """
    kind, name, number, since, by = row
    try:
        key = SettingKey(_kind(_text(kind)), _text(name))
        if key.kind != "pause":
            return LimitChange(key, _number(number))
        handler = None if key.name == EVERYTHING else key.name
        return LimitChange(key, TaskPause(handler, _time(since), _text(by)))
    except (TypeError, AttributeError) as error:  # a value of another type
        raise ValueError(str(error)) from error


def _kind(kind: str) -> Any:
    if kind not in get_args(SettingKind):
        raise ValueError(f"unknown kind {kind!r}")
    return kind


def _text(value: str | bytes) -> str:
    """Return a text, which is read as bytes if another row is not UTF-8."""
    text = value if isinstance(value, str) else value.decode()
    if len(text.encode()) > NAME_BYTES_MAX:
        raise ValueError("the text is too long")
    return text


def _number(number: int) -> int:
    if not number >= 1:
        raise ValueError(f"the number {number!r} is out of range")
    return number


def _time(seconds: float) -> float:
    """Return a time if it can be shown as a date. ``None`` raises ``TypeError``."""
    if not 0 <= seconds <= TIME_MAX:
        raise ValueError(f"the time {seconds!r} is out of range")
    return seconds
