"""The nouns: what is submitted, what becomes of it, and what a submit is answered.

A record is one of ``Scheduled``, ``Following``, ``Pending``, ``Running`` or ``Finished``::

    submit ─> Scheduled ─(due)─> Pending ─(worker)─> Running ─> Finished, with its outcome
                  ^                 ^                   │
                  └─(retry, later)──┴─(hard stop)───────┘
    submit ─> Following ─(the task it follows has ended)─> Scheduled or Pending

Each holds exactly the facts that are certain in that state, each is frozen, and a change of state is a new record in
the place of the old one: whoever was given a record keeps a true picture of one instant. (Road not taken: one
mutable class with an optional field for everything that may come later.)

Times inside are seconds, as floats; on the wire a duration is whole milliseconds, as its contract says.
"""

from __future__ import annotations

import enum
import re
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from .traceparent import PATTERN as TRACEPARENT_PATTERN
from .traceparent import parse_traceparent

NAME_BYTES_MAX: Final = 255
SPAN_MS_MAX: Final = 7 * 24 * 60 * 60 * 1000
"""The longest duration or timeout that a task may ask for: seven days."""

PRIORITY_MAX: Final = 100
RETRIES_MAX: Final = 100
PARAMS_BYTES_MAX: Final = 64 * 1024

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WITHOUT_CONTROL: Final = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}
_TRACEPARENT: Final = {"pattern": TRACEPARENT_PATTERN}

TAG_BITS: Final = 23
"""With the acceptance number, a serial is a signed integer of 64 bits, which every store can hold."""

_ACCEPTANCE_BITS: Final = 40
TASK_ID_PATTERN: Final = r"^([0-9a-f]{6})-([1-9][0-9]{0,12})$"
_TASK_ID: Final = re.compile(TASK_ID_PATTERN)
_YEAR_10000: Final = 253_402_300_800.0
"""In seconds since 1970; there is no way to write such a time."""

TIME_MAX: Final = _YEAR_10000 - 1
"""The latest time that a record may hold, in seconds since 1970."""

Milliseconds = Annotated[int, Meta(ge=0, le=SPAN_MS_MAX)]
Priority = Annotated[int, Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX)]


OnConflict = Literal["reject", "join", "latest", "supersede"]
OnCrash = Literal["rerun", "fail"]


class Task(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """One named piece of work, as submitted. Times are whole milliseconds.

    Parameters:
        name: what dedup goes by; 1 to 255 bytes of UTF-8, no control characters.
        duration: how long the ``sleep`` handler works; 0 to seven days.
        handler: what runs it, by name.
        params: what the handler is told; at most 64 KiB as JSON.
        priority: -100 to 100, the higher starts first; first come, first started within one.
        delay: how long after its acceptance it may start.
        run_at: when it may start, instead of ``delay``; a time with a time zone (RFC 3339).
        timeout: after which a running attempt is cancelled; ``None`` for no limit.
        retries: how often it is tried again after a failure or a timeout.
        retry_delay: the most that the first retry waits; doubled for each further one (full jitter).
        retry_delay_max: the most that any retry waits.
        on_conflict: what this submit does when the name is held.
        on_crash: what becomes of it if the process dies while it runs.
        keep: how long its record can be read once it has ended; ``None`` for as long as the store keeps one.
        traceparent: which trace it belongs to, as W3C Trace Context writes it; its handler is told. When the submit
            of a task says none, it has the one of the request's header.

    Raises:
        ValueError: the name or the params are too long in bytes, the name holds a control character, ``run_at`` is
            behind the year 9999, both ``delay`` and ``run_at`` are given, or ``traceparent`` is none.
    """

    name: Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX, extra_json_schema=_WITHOUT_CONTROL)]
    duration: Milliseconds = 0
    handler: Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX)] = "sleep"
    params: dict[str, Any] = {}
    priority: Priority = 0
    delay: Milliseconds = 0
    run_at: Annotated[datetime, Meta(tz=True)] | None = None
    timeout: Annotated[int, Meta(ge=1, le=SPAN_MS_MAX)] | None = None
    retries: Annotated[int, Meta(ge=0, le=RETRIES_MAX)] = 0
    retry_delay: Milliseconds = 1000
    retry_delay_max: Milliseconds = 60_000
    on_conflict: OnConflict = "reject"
    on_crash: OnCrash = "rerun"
    keep: Milliseconds | None = None
    traceparent: Annotated[str, Meta(extra_json_schema=_TRACEPARENT)] | None = None

    def __post_init__(self) -> None:
        name = self.name
        if not (name.isascii() and name.isprintable()):
            _check_name(name)
        if self.params and len(msgspec.json.encode(self.params)) > PARAMS_BYTES_MAX:
            raise ValueError(f"`params` must be at most {PARAMS_BYTES_MAX} bytes of JSON")
        if self.run_at is not None:
            self._check_run_at(self.run_at)
        if self.traceparent is not None and parse_traceparent(self.traceparent) != self.traceparent:
            raise ValueError("`traceparent` must be one of version 00, as W3C Trace Context defines it")

    def _check_run_at(self, run_at: datetime) -> None:
        if self.delay:
            raise ValueError("`run_at` and `delay` cannot both be given")
        if run_at.timestamp() >= _YEAR_10000:
            raise ValueError("`run_at` must be at most 9999-12-31T23:59:59Z")

    def due_at(self, submitted_at: float) -> float:
        """From when on it may start, in seconds since 1970."""
        if self.run_at is not None:
            return self.run_at.timestamp()
        return submitted_at + self.delay / 1000 if self.delay else submitted_at


def _check_name(name: str) -> None:
    if len(name.encode()) > NAME_BYTES_MAX:
        raise ValueError(f"`name` must be at most {NAME_BYTES_MAX} bytes of UTF-8")
    if _CONTROL.search(name):
        raise ValueError("`name` must not hold control characters")


class State(enum.StrEnum):
    """Where a task stands. All but ``FINISHED`` are in flight."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"


class Outcome(enum.StrEnum):
    """How a task ended."""

    __hash__ = str.__hash__  # as quick as its value's, and equal for what is equal

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    """The server died while it ran, and it was not to be run twice, or this has happened too often."""


class Ending(msgspec.Struct, frozen=True):
    """What an attempt came to.

    Parameters:
        outcome: how it ended.
        error: for anything but a success, one sentence that says why.
        retryable: whether another attempt could end otherwise.
        retry_after_seconds: the least that a retry should wait, when the handler knows it.
        result: what the handler returned, as JSON.
        output: what it printed and the like, as JSON.
    """

    outcome: Outcome
    error: str | None = None
    retryable: bool = True
    retry_after_seconds: float = 0.0
    result: bytes | None = None
    output: bytes | None = None


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One run that has ended."""

    started_at: float
    ended_at: float
    outcome: Outcome
    error: str | None


class Rare(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Facts that few tasks have. A record without any has ``None`` in its place, so most tasks pay for one reference.

    Parameters:
        crashes: how many starts of the task were cut off by the death of the server, or by a lost lease.
    """

    crashes: int = 0


class _MayBeRare(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    rare: Rare | None = None


class _Record(_MayBeRare, frozen=True, gc=False):
    serial: int
    """The store's tag above, the acceptance number below: order and identity in one number."""
    task: Task
    submitted_at: float
    attempts: tuple[Attempt, ...]

    @property
    def id(self) -> str:
        """The task's public id, as in ``/tasks/{id}``."""
        return format_task_id(self.serial)

    @property
    def crashes(self) -> int:
        """How many starts of the task were cut off by a crash or a lost lease."""
        return 0 if self.rare is None else self.rare.crashes

    @property
    def since(self) -> float:
        """From when on the task has been in its state, in seconds since 1970."""
        return self.attempts[-1].ended_at if self.attempts else self.submitted_at


class Scheduled(_Record, frozen=True, gc=False):
    """Accepted, or tried already, and not due before ``due_at``."""

    state: ClassVar[State] = State.SCHEDULED

    due_at: float


class Following(_Record, frozen=True, gc=False):
    """Accepted, to run after the task that holds its name; it holds the name from that one's end on."""

    state: ClassVar[State] = State.SCHEDULED

    follows: int
    """The serial of the task that holds the name."""
    supersedes: bool
    """Whether that one was told to stop for it."""


class Pending(_Record, frozen=True, gc=False):
    """Due, and not started."""

    state: ClassVar[State] = State.PENDING


class Running(_Record, frozen=True, gc=False):
    """A worker has it."""

    state: ClassVar[State] = State.RUNNING

    started_at: float
    token: int = 0
    """The fencing token: of one task each claim has a higher one. 0 where only one process can claim."""

    @property
    def queued_seconds(self) -> float:
        """How long it had been due when this attempt began: of a first attempt, the time in the queue."""
        task, submitted_at = self.task, self.submitted_at
        if not task.delay and task.run_at is None:
            return self.started_at - submitted_at
        due_at = task.due_at(submitted_at)
        if due_at > self.started_at:  # the content came later, with `latest`, and the task kept its own time
            due_at = submitted_at
        return self.started_at - max(submitted_at, due_at)

    @property
    def since(self) -> float:
        """When this attempt began, in seconds since 1970."""
        return self.started_at


class Finished(_Record, frozen=True, gc=False):
    """It has its outcome, and its name is free."""

    state: ClassVar[State] = State.FINISHED

    finished_at: float
    ending: Ending

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return self.ending.outcome

    @property
    def started_at(self) -> float | None:
        """When its last attempt began; ``None`` for a task that was cancelled before it had one."""
        return self.attempts[-1].started_at if self.attempts else None

    @property
    def since(self) -> float:
        """When it ended, in seconds since 1970."""
        return self.finished_at


Waiting = Scheduled | Pending
Holder = Scheduled | Pending | Running
InFlight = Scheduled | Following | Pending | Running
Record = Scheduled | Following | Pending | Running | Finished


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """The task was taken, or has joined one that was; this is the record that stands for it.

    ``superseded`` is the running task that has to stop for it.
    """

    verdict: ClassVar[Literal["accepted"]] = "accepted"

    record: InFlight
    superseded: Running | None = None


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """The name is held, by this task."""

    verdict: ClassVar[Literal["duplicate"]] = "duplicate"

    holder: Holder


class Full(msgspec.Struct, frozen=True, gc=False):
    """There was no room for it in the queue."""

    verdict: ClassVar[Literal["full"]] = "full"


class Draining(msgspec.Struct, frozen=True, gc=False):
    """The executor takes nothing any more."""

    verdict: ClassVar[Literal["draining"]] = "draining"


Verdict = Accepted | Duplicate | Full | Draining

FULL: Final = Full()
DRAINING: Final = Draining()


def wait_again(record: Record) -> Pending:
    """Make a task pending: it has become due, or gives up its start."""
    return Pending(record.serial, record.task, record.submitted_at, record.attempts, rare=record.rare)


def make_serial(tag: int, acceptance: int) -> int:
    """Join a store's tag and an acceptance number (from 1) into one sortable number."""
    return tag << _ACCEPTANCE_BITS | acceptance


def format_task_id(serial: int) -> str:
    """Write a serial as a task id: ``'a3f09c-42'`` is the 42nd task that the store ``a3f09c`` accepted."""
    return f"{serial >> _ACCEPTANCE_BITS:06x}-{serial & (1 << _ACCEPTANCE_BITS) - 1}"


def parse_task_id(task_id: str) -> int | None:
    """Read a task id back into its serial, or ``None`` when it is not one."""
    match = _TASK_ID.fullmatch(task_id)
    if match is None:
        return None
    acceptance = int(match[2])
    return make_serial(int(match[1], 16), acceptance) if acceptance >> _ACCEPTANCE_BITS == 0 else None
