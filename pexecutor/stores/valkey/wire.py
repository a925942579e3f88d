"""The arguments and replies of the server's functions, as MessagePack.

A record is sent as a ``Row``: its number (the tag is the same for the whole queue), the task as the submitted JSON, and
the fields that ``functions/book.lua`` keeps beside it. Only this module knows the meaning of the places in a row.
"""

from __future__ import annotations

from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from ...task import (
    Attempt,
    Ending,
    Finished,
    Following,
    OnConflict,
    OnCrash,
    Outcome,
    Pending,
    Rare,
    Record,
    Running,
    Scheduled,
    Task,
    make_serial,
)
from .delivery_rows import DeliveryRow
from .limit_rows import LimitsReply
from .protocol import NO_RUN_AT, NOTHING_DUE, Stored
from .queue_rows import NodeRow
from .rare import StoredRare, from_rare, to_rare

T = TypeVar("T")

_encode_task = msgspec.json.Encoder().encode
_decode_task = msgspec.json.Decoder(Task).decode
_decode_ending = msgspec.json.Decoder(Ending).decode
_NO_ATTEMPTS: Final = b"\x90"

_SHORT_TEXT: Final = range(0xA0, 0xC0)
_TEXT_HEADS: Final = {0xD9: 2, 0xDA: 3, 0xDB: 5}
"""The length of the head of a MessagePack text, by its first byte."""


class KeepSeconds(NamedTuple):
    """How long finished tasks can be read, in seconds: those that succeeded, and those with another outcome."""

    succeeded: float
    failed: float


class TaskArguments(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A task as ``submit`` gets it; ``task`` is JSON. Waits are in seconds; ``run_at`` is below 0 if there is none.

    ``rare`` is false unless the task brings deliveries or has limit keys. ``keep`` is how long the task can be read if
    it succeeds, and ``keep_failed`` if it does not.
    """

    name: str
    priority: int
    delay: float
    run_at: float
    on_conflict: OnConflict
    on_crash: OnCrash
    keep: float
    task: str
    rare: StoredRare | bool
    handler: str
    keep_failed: float


class AttemptRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One attempt that has ended; ``error`` is false if there is none."""

    started_at: float
    ended_at: float
    outcome: Outcome
    error: str | bool


_decode_attempts = msgspec.msgpack.Decoder(list[AttemptRow]).decode


class StoredRecord(NamedTuple):
    """The fields of a record in the order in which the server packs them.

    Layout 1 had only the first 14. Layouts 2 to 4 lacked ``handler``, and layouts 2 to 5 ``keep_failed``: then ``keep``
    stands for both.
    """

    state: str
    name: str
    priority: int
    submitted_at: float
    at: float
    on_crash: str
    keep: float
    token: int
    node: str
    follows: int
    supersedes: bool
    attempts: list[AttemptRow]
    ending: str
    cancelled: bool
    rare: StoredRare | bool
    task_bytes: int
    handler: str
    keep_failed: float


class Row(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One record; ``at`` is when it is due, was started or has ended, depending on its state.

    ``to_record`` decodes the raw fields, so an unreadable field affects this record only, not the whole reply.
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
    rare: StoredRare | bool


class QueueCounts(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The numbers of records by state, of schedules and of deliveries.

    ``next_due_seconds`` is below 0 if no task is scheduled.
    ``damaged`` is the number of damaged entries found so far; ``mending`` tells that repairs are under way or needed.
    """

    pending: int = 0
    later: int = 0
    running: int = 0
    history: int = 0
    next_due_seconds: float = NOTHING_DUE
    damaged: int = 0
    mending: bool = False
    schedules: int = 0
    deliveries: int = 0


class ServerReply(msgspec.Struct, Generic[T], frozen=True, gc=False, array_like=True):
    """The reply to a call: its result, the changed records, and the state of the queue.

    ``changes`` are in order; a number alone stands for a record that the caller knows. ``at`` is the server's time of
    the call. ``damages`` describes the damage that this call has found. ``made`` tells that it has made deliveries, and
    ``dropped`` has the deliveries that were too many.
    """

    result: T
    changes: list[int | Row]
    counts: QueueCounts
    at: float
    damages: list[str]
    made: bool
    dropped: list[DeliveryRow]


class Taken(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The verdict on a submitted task, if it needs more than a number."""

    verdict: str
    row: Row
    superseded: Row | bool


class RequestArguments(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The request of a submit with a key, the bytes of its answer without the verdicts, and the bounds of answers.

    ``digest`` is in hexadecimal digits, because Lua's MessagePack has no bytes.
    """

    kind: str
    request: str
    digest: str
    bytes: int
    answers_max: int
    bytes_max: int
    seconds_max: float


class StoredAnswer(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A remembered answer as it is stored: a number per task, as in ``Answer.numbers``, but without the tag."""

    at: float
    digest: str
    numbers: list[int]
    bytes: int


class KeptAnswer(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A remembered answer with its request, for a move."""

    request: str
    answer: StoredAnswer


class OnceReply(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The remembered answer to a request, or ``False`` and the verdicts on its tasks."""

    answer: StoredAnswer | bool
    verdicts: list[int | Taken]


class Claimed(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The tasks of a claim, and whether to claim again at once: the claim has looked at many blocked tasks."""

    rows: list[Row]
    more: bool


class Found(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A record and the state in which it was found; or ``False`` and the number of tasks accepted so far."""

    row: Row | bool
    state_or_acceptances: str | int


class WhyReply(Found, frozen=True, gc=False, array_like=True):
    """A record, and everything from which the reasons follow for which it does not run.

    Parameters:
        limits: the numbers, the pauses and the slots in use.
        holders: for each limit key of the record, the numbers of some tasks that use its slots.
        ahead: how many tasks start before this one.
        exact: whether none of these has limit keys.
        nodes: the live nodes.
    """

    limits: LimitsReply
    holders: list[list[int]]
    ahead: int
    exact: bool
    nodes: list[NodeRow]


class Retry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """When a finished attempt ended and when the next one is due; ``due_at`` is ``NO_RETRY`` if there is none."""

    ended_at: float
    due_at: float


class Beat(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The reply to a beat. ``extended`` is false if the node has to compare its tasks first.

    ``limits`` has the numbers, the pauses and the slots in use; it is false if no limits are used.
    """

    extended: bool
    lost: list[int]
    cancelled: list[int]
    limits: LimitsReply | bool = False


class PagePlace(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A place in a listing: the section, and the sort keys in it."""

    state: str
    order: int
    number: int


class PageReply(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Rows; the place of the last examined record, if others follow; and how many tasks were accepted so far."""

    rows: list[Row]
    last: PagePlace | bool
    acceptances: int


def decoder(result: Any) -> msgspec.msgpack.Decoder[Any]:
    """Return a decoder for the reply of a verb with this type of result."""
    return msgspec.msgpack.Decoder(ServerReply[result])


def to_arguments(task: Task, keep_seconds_max: KeepSeconds, rare: Rare | None = None) -> TaskArguments:
    """Return a task with its rare facts as ``submit`` gets it."""
    return TaskArguments(
        task.name,
        task.priority,
        task.delay / 1000,
        NO_RUN_AT if task.run_at is None else task.run_at.timestamp(),
        task.on_conflict,
        task.on_crash,
        _kept(task, keep_seconds_max.succeeded),
        to_task_text(task),
        rare is not None and to_rare(rare, task.handler),
        task.handler,
        _kept(task, keep_seconds_max.failed),
    )


def _kept(task: Task, seconds_max: float) -> float:
    return seconds_max if task.keep is None else min(task.keep / 1000, seconds_max)


def to_task_text(task: Task) -> str:
    """Return a submitted task as the server stores it."""
    return _encode_task(task).decode()


def to_ending(text: str) -> Ending:
    """Return the ending in a text."""
    return _decode_ending(text)


def to_text(ending: Ending) -> str:
    """Return an ending as the server stores it."""
    return msgspec.json.encode(ending).decode()


def text_of(raw: msgspec.Raw) -> memoryview:
    """Return the bytes of an encoded text.

    Raises:
        msgspec.DecodeError: the value is not a text.
    """
    view = memoryview(raw)
    first = view[0] if view else 0
    head = 1 if first in _SHORT_TEXT else _TEXT_HEADS.get(first)
    if head is None:
        raise msgspec.DecodeError("not a text")
    return view[head:]


def task_of(row: Row) -> Task:
    """Return the submitted task.

    Raises:
        msgspec.DecodeError: the task cannot be read.
    """
    task = _decode_task(text_of(row.task))
    # A new priority changes the record, not the submitted text.
    return task if task.priority == row.priority else msgspec.structs.replace(task, priority=row.priority)


def attempts_of(row: Row) -> tuple[Attempt, ...]:
    """Return the attempts that have ended.

    Raises:
        msgspec.DecodeError: the attempts cannot be read.
    """
    if row.attempts == _NO_ATTEMPTS:
        return ()
    return tuple([_to_attempt(attempt) for attempt in _decode_attempts(row.attempts)])


def ending_of(row: Row) -> Ending:
    """Return the ending of a task.

    Raises:
        msgspec.DecodeError: the ending cannot be read.
    """
    return _decode_ending(text_of(row.ending))


def to_record(row: Row, tag: int) -> Record:
    """Return the record of a row.

    Raises:
        msgspec.DecodeError: a part of the record cannot be read.
    """
    return make_record(
        row, tag, task_of(row), attempts_of(row), ending_of(row) if row.state == Stored.FINISHED else None
    )


def make_record(row: Row, tag: int, task: Task, attempts: tuple[Attempt, ...], ending: Ending | None) -> Record:
    """Return the record of a row and its decoded parts; ``ending`` is given if the task has ended."""
    head = (make_serial(tag, row.number), task, row.submitted_at, attempts)
    rare = from_rare(row.rare, tag)
    match row.state:
        case Stored.RUNNING:
            return Running(*head, row.at, row.token, rare=rare)
        case Stored.PENDING:
            return Pending(*head, rare=rare)
        case Stored.SCHEDULED:
            return Scheduled(*head, row.at, rare=rare)
        case Stored.FOLLOWING:
            return Following(*head, make_serial(tag, row.follows), row.supersedes, rare=rare)
        case _:
            assert ending is not None, "a finished task has an ending"
            return Finished(*head, row.at, ending, rare=rare)


def _to_attempt(row: AttemptRow) -> Attempt:
    return Attempt(row.started_at, row.ended_at, row.outcome, None if isinstance(row.error, bool) else row.error)
