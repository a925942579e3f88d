"""The nouns: tasks, the records of tasks by state, and the verdicts on submits.

A record is one of ``Scheduled``, ``Following``, ``Pending``, ``Running`` or ``Finished``::

    submit ─> Scheduled ─(due)─> Pending ─(worker)─> Running ─> Finished, with its outcome
                  ^                 ^                   │
                  └─(retry, later)──┴─(hard stop)───────┘
    submit ─> Following ─(the task it follows has ended)─> Scheduled or Pending

A record holds exactly the facts that are certain in its state. Records are frozen: a change of state replaces the
record with a new one, so a record that a caller holds stays a true snapshot of one instant. (Road not taken: one
mutable class with an optional field for each fact that may come later.)

Times are seconds, as floats. Only the fields of ``Task`` are whole milliseconds, as on the wire.
"""

from __future__ import annotations

import enum
import re
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from .limits.defaults import RETRY_DELAY_MS, RETRY_DELAY_MS_MAX, SPAN_SECONDS_MAX
from .limits.keys import LimitKey
from .limits.tags import Tags, check_tags
from .traceparent import PATTERN as TRACEPARENT_PATTERN
from .traceparent import parse_traceparent

NAME_BYTES_MAX: Final = 255
SPAN_MS_MAX: Final = int(SPAN_SECONDS_MAX * 1000)
"""The longest duration, delay or timeout of a task: seven days."""

PRIORITY_MAX: Final = 100
RETRIES_MAX: Final = 100
PARAMS_BYTES_MAX: Final = 64 * 1024

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WITHOUT_CONTROL: Final = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}
_TRACEPARENT: Final = {"pattern": TRACEPARENT_PATTERN}

TAG_BITS: Final = 23
"""The bits of a store's tag. With the bits of the acceptance number, a serial fits into a signed 64-bit integer."""

_ACCEPTANCE_BITS: Final = 40
TASK_ID_PATTERN: Final = r"^([0-9a-f]{6})-([1-9][0-9]{0,12})$"
_TASK_ID: Final = re.compile(TASK_ID_PATTERN)
_YEAR_10000: Final = 253_402_300_800.0
"""The first time, in seconds since 1970, that RFC 3339 cannot write."""

TIME_MAX: Final = _YEAR_10000 - 1
"""The latest time that a record may hold, in seconds since 1970."""

Milliseconds = Annotated[int, Meta(ge=0, le=SPAN_MS_MAX)]
Priority = Annotated[int, Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX)]


Timeout = Annotated[int, Meta(ge=1, le=SPAN_MS_MAX)]
Retries = Annotated[int, Meta(ge=0, le=RETRIES_MAX)]


OnConflict = Literal["reject", "join", "latest", "supersede"]
OnCrash = Literal["rerun", "fail"]


class Task(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """One named piece of work, as submitted. Durations are whole milliseconds.

    Parameters:
        name: the name that deduplication compares; 1 to 255 bytes of UTF-8 without control characters.
        duration: how long the ``sleep`` handler sleeps; 0 to seven days.
        handler: the name of the handler that runs the task.
        params: the handler's parameters; at most 64 KiB as JSON.
        priority: -100 to 100. Tasks of higher priority start first; tasks of equal priority start in submit order.
        delay: how long after its acceptance the task becomes due.
        run_at: when the task becomes due, instead of ``delay``; a time with a time zone (RFC 3339).
        timeout: after this time a running attempt is cancelled; ``None`` for no limit.
        retries: how often the task is tried again after a failure or a timeout.
        retry_delay: the longest wait before the first retry; doubled for each further retry (full jitter).
        retry_delay_max: the longest wait before any retry.
        on_conflict: what this submit does if another task holds the name.
        on_crash: whether the task runs again or fails if the process dies while it runs.
        keep: how long the record can be read after the task has ended; ``None`` for as long as the store keeps it.
        traceparent: the trace of the task (W3C Trace Context) for its handler; by default that of the request.
        tags: labels by which callers group tasks; at most ten texts of 1 to 64 characters without control characters.

    Raises:
        ValueError: the name or the params have too many bytes, the name contains a control character, ``run_at`` is
            after the year 9999, both ``delay`` and ``run_at`` are given, ``traceparent`` is invalid, or a tag is given
            twice or contains a control character.
    """

    name: Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX, extra_json_schema=_WITHOUT_CONTROL)]
    duration: Milliseconds = 0
    handler: Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX)] = "sleep"
    params: dict[str, Any] = {}
    priority: Priority = 0
    delay: Milliseconds = 0
    run_at: Annotated[datetime, Meta(tz=True)] | None = None
    timeout: Timeout | None = None
    retries: Retries = 0
    retry_delay: Milliseconds = RETRY_DELAY_MS
    retry_delay_max: Milliseconds = RETRY_DELAY_MS_MAX
    on_conflict: OnConflict = "reject"
    on_crash: OnCrash = "rerun"
    keep: Milliseconds | None = None
    traceparent: Annotated[str, Meta(extra_json_schema=_TRACEPARENT)] | None = None
    tags: Tags = ()

    def __post_init__(self) -> None:
        name = self.name
        if not (name.isascii() and name.isprintable()):
            check_name(name)
        if self.params and len(msgspec.json.encode(self.params)) > PARAMS_BYTES_MAX:
            raise ValueError(f"`params` must be at most {PARAMS_BYTES_MAX} bytes of JSON")
        if self.run_at is not None:
            if self.delay:
                raise ValueError("`run_at` and `delay` exclude each other: give only one of them")
            check_run_at(self.run_at)
        if self.traceparent is not None and parse_traceparent(self.traceparent) != self.traceparent:
            raise ValueError("`traceparent` is invalid: expected version 00 of W3C Trace Context")
        if self.tags:
            check_tags(self.tags)

    def due_at(self, submitted_at: float) -> float:
        """Return when the task becomes due, in seconds since 1970."""
        if self.run_at is not None:
            return self.run_at.timestamp()
        return submitted_at + self.delay / 1000 if self.delay else submitted_at


def check_run_at(run_at: datetime) -> None:
    """Raise ``ValueError`` if a time is in a year that RFC 3339 cannot write."""
    if run_at.timestamp() >= _YEAR_10000:
        raise ValueError("`run_at` must be at most 9999-12-31T23:59:59Z")


def check_name(name: str) -> None:
    """Raise ``ValueError`` if a name has too many bytes or contains a control character."""
    if len(name.encode()) > NAME_BYTES_MAX:
        raise ValueError(f"`name` must be at most {NAME_BYTES_MAX} bytes of UTF-8")
    if _CONTROL.search(name):
        raise ValueError("`name` must not contain control characters")


class State(enum.StrEnum):
    """The state of a task. In all states but ``FINISHED`` the task is in flight."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"


class Outcome(enum.StrEnum):
    """The way in which a task or an attempt ended."""

    __hash__ = str.__hash__  # faster than the hash of enum.Enum, and consistent with the equality of str

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    """The server that ran the task was lost, and the task must not run again: ``on_crash`` is ``fail``, or this has
    happened too often. A server is lost when it dies, or when its lease on a shared store ends."""


class Ending(msgspec.Struct, frozen=True):
    """The result of one attempt.

    Parameters:
        outcome: the way in which the attempt ended.
        error: one sentence that says why the attempt did not succeed.
        retryable: whether another attempt may succeed.
        retry_after_seconds: the shortest wait before a retry, if the handler gave one.
        result: the value that the handler returned, as JSON.
        output: the captured output (streams and log) as JSON.
    """

    outcome: Outcome
    error: str | None = None
    retryable: bool = True
    retry_after_seconds: float = 0.0
    result: bytes | None = None
    output: bytes | None = None


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One attempt that has ended. Times are seconds since 1970."""

    started_at: float
    ended_at: float
    outcome: Outcome
    error: str | None


class Brings(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The names of the targets that are notified of a task's outcome, for each outcome."""

    succeeded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    timed_out: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()

    def targets(self, outcome: Outcome) -> tuple[str, ...]:
        """Return the targets of an outcome."""
        return getattr(self, outcome)  # type: ignore[no-any-return]


class Rare(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Facts that only few tasks have. Other records hold ``None`` instead, which costs a single reference.

    Parameters:
        crashes: how many attempts of the task were cut off by the death of the server or by a lost lease.
        brings: the targets that are notified of its outcome; one shared value for equal sets.
        limit_keys: the keys of the limits that bound it, in ascending order; one shared value for equal sets.
        retry_of: the serial of the finished task that it repeats; 0 for none.
    """

    crashes: int = 0
    brings: Brings | None = None
    limit_keys: tuple[LimitKey, ...] = ()
    retry_of: int = 0


class _MayBeRare(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    rare: Rare | None = None


class _Record(_MayBeRare, frozen=True, gc=False):
    serial: int
    """The store's tag in the high bits and the acceptance number in the low bits: identity and order in one number."""
    task: Task
    submitted_at: float
    attempts: tuple[Attempt, ...]

    @property
    def id(self) -> str:
        """Return the task's public id, as in ``/tasks/{id}``."""
        return format_task_id(self.serial)

    @property
    def crashes(self) -> int:
        """Return how many attempts of the task were cut off by the death of the server or by a lost lease."""
        return 0 if self.rare is None else self.rare.crashes

    @property
    def since(self) -> float:
        """Return when the task entered its state, in seconds since 1970."""
        return self.attempts[-1].ended_at if self.attempts else self.submitted_at


class Scheduled(_Record, frozen=True, gc=False):
    """A task that becomes due at ``due_at``: it was delayed, or it waits for a retry."""

    state: ClassVar[State] = State.SCHEDULED

    due_at: float


class Following(_Record, frozen=True, gc=False):
    """A task that waits until the holder of its name has ended. Then it becomes the holder itself."""

    state: ClassVar[State] = State.SCHEDULED

    follows: int
    """The serial of the holder."""
    supersedes: bool
    """Whether the holder was cancelled in favour of this task."""


class Pending(_Record, frozen=True, gc=False):
    """A task that is due and waits for a worker."""

    state: ClassVar[State] = State.PENDING


class Running(_Record, frozen=True, gc=False):
    """A task that a worker runs."""

    state: ClassVar[State] = State.RUNNING

    started_at: float
    token: int = 0
    """The fencing token: each claim of a task gets a higher one. 0 in a store of one process."""

    @property
    def queued_seconds(self) -> float:
        """Return how long, in seconds, the task had been due when this attempt began."""
        task, submitted_at = self.task, self.submitted_at
        if not task.delay and task.run_at is None:
            return self.started_at - submitted_at
        due_at = task.due_at(submitted_at)
        # `latest` replaces the content of a waiting task but keeps its due time. So the delay in the content may be
        # that of a later submit, and must not count.
        if due_at > self.started_at:
            due_at = submitted_at
        return self.started_at - max(submitted_at, due_at)

    @property
    def since(self) -> float:
        """Return when this attempt began, in seconds since 1970."""
        return self.started_at


class Finished(_Record, frozen=True, gc=False):
    """A task that has its outcome. Its name is free."""

    state: ClassVar[State] = State.FINISHED

    finished_at: float
    ending: Ending

    @property
    def outcome(self) -> Outcome:
        """Return the outcome of the task."""
        return self.ending.outcome

    @property
    def started_at(self) -> float | None:
        """Return when the last attempt began, or ``None`` if the task was cancelled before its first attempt."""
        return self.attempts[-1].started_at if self.attempts else None

    @property
    def since(self) -> float:
        """Return when the task ended, in seconds since 1970."""
        return self.finished_at


Waiting = Scheduled | Pending
Holder = Scheduled | Pending | Running
InFlight = Scheduled | Following | Pending | Running
Record = Scheduled | Following | Pending | Running | Finished


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """The task was accepted, or joined an accepted task; ``record`` is the record of the accepted task.

    ``superseded`` is the running task that must be cancelled in favour of this one.
    """

    verdict: ClassVar[Literal["accepted"]] = "accepted"

    record: InFlight
    superseded: Running | None = None


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """The name is held by another task, ``holder``."""

    verdict: ClassVar[Literal["duplicate"]] = "duplicate"

    holder: Holder


class Full(msgspec.Struct, frozen=True, gc=False):
    """The queue had no room for the task."""

    verdict: ClassVar[Literal["full"]] = "full"


class Draining(msgspec.Struct, frozen=True, gc=False):
    """The executor drains and accepts no more tasks."""

    verdict: ClassVar[Literal["draining"]] = "draining"


Verdict = Accepted | Duplicate | Full | Draining

FULL: Final = Full()
DRAINING: Final = Draining()


def wait_again(record: Record) -> Pending:
    """Return the record as pending, for a task that has become due or was released."""
    return Pending(record.serial, record.task, record.submitted_at, record.attempts, rare=record.rare)


def make_serial(tag: int, acceptance: int) -> int:
    """Return the serial that combines a store's tag and an acceptance number (from 1)."""
    return tag << _ACCEPTANCE_BITS | acceptance


def format_task_id(serial: int) -> str:
    """Return the task id of a serial: ``'a3f09c-42'`` is the 42nd task that the store ``a3f09c`` accepted."""
    return f"{serial >> _ACCEPTANCE_BITS:06x}-{serial & (1 << _ACCEPTANCE_BITS) - 1}"


def parse_task_id(task_id: str) -> int | None:
    """Return the serial of a task id, or ``None`` if the text is not a valid task id."""
    match = _TASK_ID.fullmatch(task_id)
    if match is None:
        return None
    acceptance = int(match[2])
    return make_serial(int(match[1], 16), acceptance) if acceptance >> _ACCEPTANCE_BITS == 0 else None
