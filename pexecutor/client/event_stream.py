"""Server-sent events as the client reads them, and the events of a server. Nothing here reads from a connection."""

from __future__ import annotations

from typing import Any

import msgspec

from .decoding import decoded, foreign
from .records import ProgressRecord, TaskRecord


class TaskEvent(msgspec.Struct, frozen=True):
    """A task has entered a state, or another part of its record has changed.

    Parameters:
        id: the number of the event; ``events`` goes on after it if ``after`` is given.
        record: the record, as in a listing.
    """

    id: int
    record: TaskRecord


class ProgressEvent(msgspec.Struct, frozen=True):
    """A running task has reported its progress.

    Parameters:
        id: the number of the event.
        task_id, name: the task.
        progress: its progress.
    """

    id: int
    task_id: str
    name: str
    progress: ProgressRecord


class GapEvent(msgspec.Struct, frozen=True):
    """Events were missed: read the listings again.

    Parameters:
        id: the number of the event.
    """

    id: int


class OtherEvent(msgspec.Struct, frozen=True):
    """Something else has happened: an occurrence was skipped, a pause or a drain began, or a newer server's event.

    Parameters:
        id: the number of the event.
        type: its type, as the HTTP API has it.
        data: its data, as the HTTP API has it.
    """

    id: int
    type: str
    data: dict[str, Any]


ServerEvent = TaskEvent | ProgressEvent | GapEvent | OtherEvent


class _ProgressData(msgspec.Struct, frozen=True):
    id: str
    name: str
    progress: ProgressRecord


class EventParser:
    """Parses the lines of a stream of server-sent events.

    Attributes:
        last_id: the id of the last event; ``None`` before the first one.
        pause_seconds: how long the server asks to wait before a reconnection.
    """

    def __init__(self) -> None:
        self.last_id: int | None = None
        self.pause_seconds: float = 0.0
        self._fields: dict[bytes, bytes] = {}  # owned by begin() and take(): the fields of the message that is arriving

    def begin(self) -> None:
        """Begin with a new reply: a message whose end has not arrived is dropped, and the server sends it again."""
        self._fields = {}

    def take(self, line: bytes) -> ServerEvent | None:
        """Return the event that a line ends, or ``None``.

        Raises:
            ForeignReplyError: the event is not one of a pexecutor server.
        """
        if line:
            name, _, value = line.partition(b":")
            if name == b"data" and name in self._fields:
                value = self._fields[name] + b"\n" + value
            self._fields[name] = value.strip()
            return None
        fields, self._fields = self._fields, {}
        try:
            return self._ended(fields)
        except ValueError as error:  # a name that is not UTF-8, or a number with thousands of digits
            raise foreign() from error

    def _ended(self, fields: dict[bytes, bytes]) -> ServerEvent | None:
        if fields.get(b"id", b"").isdigit():
            self.last_id = int(fields[b"id"])
        if fields.get(b"retry", b"").isdigit():
            self.pause_seconds = int(fields[b"retry"]) / 1000
        if b"data" not in fields:
            return None
        return _event(self.last_id or 0, fields.get(b"event", b"message").decode(), fields[b"data"])


def _event(number: int, kind: str, data: bytes) -> ServerEvent:
    match kind:
        case "task":
            return TaskEvent(number, decoded(data, TaskRecord))
        case "progress":
            progress = decoded(data, _ProgressData)
            return ProgressEvent(number, progress.id, progress.name, progress.progress)
        case "gap":
            return GapEvent(number)
        case _:
            return OtherEvent(number, kind, decoded(data, dict[str, Any]))
