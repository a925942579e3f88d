"""What goes to the server's functions and comes back from them, as MessagePack.

A record crosses as a ``Row``: its number, for the tag is the same for a whole queue, the task as the JSON that was
submitted, and what ``functions/book.lua`` keeps beside it. Only here it is known which place in a row means what.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec

from ...task import (
    Attempt,
    Ending,
    Finished,
    Following,
    Outcome,
    Pending,
    Rare,
    Record,
    Running,
    Scheduled,
    Task,
    make_serial,
)
from .. import Node, NodeState
from ..moves.marks import Mark, Role

T = TypeVar("T")

NO_RUN_AT: Final = -1
NO_RETRY: Final = -1
NO_ROOM: Final = 0
"""What stands for a task that found no room; no task has this number."""

_encode_task = msgspec.json.Encoder().encode
_decode_task = msgspec.json.Decoder(Task).decode
_decode_about = msgspec.json.Decoder(NodeState).decode
_decode_ending = msgspec.json.Decoder(Ending).decode
_decode_attempts = msgspec.msgpack.Decoder(list[tuple[float, float, Outcome, str | bool]]).decode
_NO_ATTEMPTS: Final = b"\x90"

_SHORT_TEXT: Final = range(0xA0, 0xC0)
_TEXT_HEADS: Final = {0xD9: 2, 0xDA: 3, 0xDB: 5}
"""How many bytes stand before a text, by the first of them."""


class Row(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One record; ``at`` is when it is due, was started or has ended, by its state.

    What is raw is read by ``to_record``: a fault in it is one of this record, and not of all that came with it.
    """

    number: int
    state: str
    submitted_at: float
    at: float
    priority: int
    attempts: msgspec.Raw
    token: int
    node: msgspec.Raw
    follows: int
    supersedes: bool
    ending: msgspec.Raw
    task: msgspec.Raw
    crashes: int


class QueueCounts(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """How many records there are, by state; ``next_due_seconds`` is below 0 when none is scheduled.

    ``damaged`` is how many entries were found damaged so far; ``mending`` says that some may have to be put right.
    """

    pending: int = 0
    later: int = 0
    running: int = 0
    history: int = 0
    next_due_seconds: float = -1
    damaged: int = 0
    mending: bool = False


class ServerReply(msgspec.Struct, Generic[T], frozen=True, gc=False, array_like=True):
    """What a call came to, what has changed with it, and how it stands now.

    ``changes`` are in their order; a number alone stands for a record that the caller can make himself. ``at`` is the
    server's time of the call. ``damages`` describes what this call has found damaged.
    """

    result: T
    changes: list[int | Row]
    counts: QueueCounts
    at: float
    damages: list[str]


class Taken(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The verdict of a submitted task that its number does not tell."""

    verdict: str
    row: Row
    superseded: Row | bool


class Found(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A record and the state in which it was found, or no row and how many tasks there were so far."""

    row: Row | bool
    state_or_acceptances: str | int


class Beat(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """``extended`` is false when the node has to compare its tasks first."""

    extended: bool
    lost: list[int]
    cancelled: list[int]


class NodeRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What is known of a node."""

    node: str
    beat_at: float
    lease_until: float
    about: str


class PageReply(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Rows, and the place of the last one when there are more."""

    rows: list[Row]
    last: tuple[str, int, int] | bool


class MarkRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a move has left in a queue."""

    move: str
    role: Role
    other: str
    history: bool


def to_mark(row: MarkRow) -> Mark:
    """The mark of a row."""
    return Mark(row.move, row.role, row.other, row.history)


def to_node(row: NodeRow) -> Node:
    """The node of a row; what it says of itself may be lost."""
    try:
        state = _decode_about(row.about)
    except msgspec.DecodeError:
        state = NodeState()
    return Node(row.node, row.beat_at, row.lease_until, state)


def decoder(result: Any) -> msgspec.msgpack.Decoder[Any]:
    """What reads the reply of a verb with this result."""
    return msgspec.msgpack.Decoder(ServerReply[result])


def to_arguments(task: Task, keep_seconds_max: float) -> list[Any]:
    """A task as ``submit`` takes it."""
    return [
        task.name,
        task.priority,
        task.delay / 1000,
        NO_RUN_AT if task.run_at is None else task.run_at.timestamp(),
        task.on_conflict,
        task.on_crash,
        keep_seconds_max if task.keep is None else min(task.keep / 1000, keep_seconds_max),
        _encode_task(task).decode(),
    ]


def to_ending(text: str) -> Ending:
    """The ending of a text."""
    return _decode_ending(text)


def to_text(ending: Ending) -> str:
    """An ending as the server keeps it."""
    return msgspec.json.encode(ending).decode()


def text_of(raw: msgspec.Raw) -> memoryview:
    """The bytes of a text, as they came.

    Raises:
        msgspec.DecodeError: it is no text.
    """
    view = memoryview(raw)
    first = view[0] if view else 0
    head = 1 if first in _SHORT_TEXT else _TEXT_HEADS.get(first)
    if head is None:
        raise msgspec.DecodeError("not a text")
    return view[head:]


def task_of(row: Row) -> Task:
    """What was submitted.

    Raises:
        msgspec.DecodeError: it cannot be read.
    """
    task = _decode_task(text_of(row.task))
    return task if task.priority == row.priority else msgspec.structs.replace(task, priority=row.priority)


def attempts_of(row: Row) -> tuple[Attempt, ...]:
    """The attempts that have ended.

    Raises:
        msgspec.DecodeError: they cannot be read.
    """
    if row.attempts == _NO_ATTEMPTS:
        return ()
    return tuple([_to_attempt(*attempt) for attempt in _decode_attempts(row.attempts)])


def ending_of(row: Row) -> Ending:
    """How a task ended.

    Raises:
        msgspec.DecodeError: it cannot be read.
    """
    return _decode_ending(text_of(row.ending))


def to_record(row: Row, tag: int) -> Record:
    """The record of a row.

    Raises:
        msgspec.DecodeError: a part of it cannot be read.
    """
    return make_record(row, tag, task_of(row), attempts_of(row), ending_of(row) if row.state == "finished" else None)


def make_record(row: Row, tag: int, task: Task, attempts: tuple[Attempt, ...], ending: Ending | None) -> Record:
    """The record of a row and of its parts; ``ending`` is there for one that has ended."""
    head = (make_serial(tag, row.number), task, row.submitted_at, attempts)
    rare = Rare(row.crashes) if row.crashes else None
    match row.state:
        case "running":
            return Running(*head, row.at, row.token, rare=rare)
        case "pending":
            return Pending(*head, rare=rare)
        case "scheduled":
            return Scheduled(*head, row.at, rare=rare)
        case "following":
            return Following(*head, make_serial(tag, row.follows), row.supersedes, rare=rare)
        case _:
            assert ending is not None, "what has ended has an ending"
            return Finished(*head, row.at, ending, rare=rare)


def _to_attempt(started_at: float, ended_at: float, outcome: Outcome, error: str | bool) -> Attempt:
    return Attempt(started_at, ended_at, outcome, None if isinstance(error, bool) else error)
