"""The rows of schedules in a file.

The definition and the occurrences are JSON, so a file can be inspected with SQL alone. A row that is not valid is set
aside in the table ``damaged_schedules``: it stops no server, and hides no other schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ...task import TIME_MAX
from ..schedules import Definition, NextTime, Occurrence, Owner, Schedule
from .rows import Row, text
from .schema import SqliteConnection

COLUMNS: Final = (
    "name",
    "definition",
    "owner",
    "paused",
    "generation",
    "next_at",
    "next_due_at",
    "occurrences",
)

_WRITE: Final = f"INSERT OR REPLACE INTO schedules VALUES ({', '.join('?' * len(COLUMNS))})"
_REMOVE: Final = "DELETE FROM schedules WHERE name = ?"
_COUNT: Final = "UPDATE store SET generations = max(generations, ?)"

_decode_definition = msgspec.json.Decoder(Definition).decode
_decode_occurrences = msgspec.json.Decoder(tuple[Occurrence, ...]).decode


def to_row(schedule: Schedule) -> Row:
    """Return the row of a schedule, in the order of ``COLUMNS``."""
    upcoming = schedule.next
    return (
        schedule.name,
        text(schedule.definition),
        schedule.owner,
        schedule.paused,
        schedule.generation,
        None if upcoming is None else upcoming.at,
        None if upcoming is None else upcoming.due_at,
        text(schedule.occurrences),
    )


def from_row(row: Row) -> Schedule:
    """Return the schedule of a row.

    Raises:
        ValueError: the row is not one that ``to_row`` makes.
    """
    try:
        name, content, owner, paused, generation, at, due_at, occurrences = row
        definition = _decode_definition(content)
        if definition.every is not None and definition.start_at is None:
            raise ValueError("`every` has no `start_at`")
        return Schedule(
            name=_text(name),
            definition=definition,
            generation=generation,
            next=None if at is None else NextTime(_time(at), _time(due_at)),
            owner=msgspec.convert(_text(owner), Owner),
            paused=bool(paused),
            occurrences=_decode_occurrences(occurrences),
        )
    except (TypeError, RecursionError) as error:  # a value of another type, or JSON that is nested too deeply
        raise ValueError(str(error)) from error


def _text(value: str | bytes) -> str:
    """Return a text, which is read as bytes if another row is not UTF-8."""
    return value if isinstance(value, str) else value.decode()


def _time(seconds: float) -> float:
    """Return a time if it can be shown as a date. ``None`` raises ``TypeError``."""
    if not 0 <= seconds <= TIME_MAX:
        raise ValueError(f"the time {seconds!r} is out of range")
    return seconds


def write_schedules(connection: SqliteConnection, changes: Mapping[str, Schedule | None]) -> None:
    """Write the new states of schedules, in a transaction."""
    stored = [schedule for schedule in changes.values() if schedule is not None]
    connection.executemany(_REMOVE, [(name,) for name, schedule in changes.items() if schedule is None])
    connection.executemany(_WRITE, [to_row(schedule) for schedule in stored])
    connection.execute(_COUNT, (max((schedule.generation for schedule in stored), default=0),))
