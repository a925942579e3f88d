"""The nouns: what is submitted, what becomes of it, and what a submit is answered.

A record is one of ``Pending``, ``Running`` or ``Finished``. Each holds exactly the facts that are certain in
that state, each is frozen, and a change of state is a new record in the place of the old one: whoever was
given a record keeps a true picture of one instant. (Road not taken: one mutable class with an optional field
for everything that may come later.)

Times inside are seconds, as floats; on the wire a duration is whole milliseconds, as its contract says.
"""

from __future__ import annotations

import enum
import re
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

NAME_BYTES_MAX: Final = 255
SPAN_MS_MAX: Final = 7 * 24 * 60 * 60 * 1000
"""The longest duration or timeout that a task may ask for: seven days."""

PRIORITY_MAX: Final = 100

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ACCEPTANCE_BITS: Final = 40
_TASK_ID: Final = re.compile(r"([0-9a-f]{6})-([1-9][0-9]{0,12})")

Milliseconds = Annotated[int, Meta(ge=0, le=SPAN_MS_MAX)]


class Task(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """One named piece of work, as submitted.

    Parameters:
        name: what dedup goes by; 1 to 255 bytes of UTF-8, no control characters.
        duration: milliseconds that the ``sleep`` handler works; 0 to seven days.
        priority: -100 to 100, the higher starts first; first come, first started within one.
        timeout: milliseconds after which a running attempt is cancelled; ``None`` for no limit.

    Raises:
        ValueError: the name is too long in bytes or holds a control character.
    """

    name: Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX)]
    duration: Milliseconds = 0
    priority: Annotated[int, Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX)] = 0
    timeout: Annotated[int, Meta(ge=1, le=SPAN_MS_MAX)] | None = None

    def __post_init__(self) -> None:
        name = self.name
        if name.isascii() and name.isprintable():
            return
        if len(name.encode()) > NAME_BYTES_MAX:
            raise ValueError(f"`name` must be at most {NAME_BYTES_MAX} bytes of UTF-8")
        if _CONTROL.search(name):
            raise ValueError("`name` must not hold control characters")


class State(enum.StrEnum):
    """Where a task stands. All but ``FINISHED`` hold the name."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"


class Outcome(enum.StrEnum):
    """How a task ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


class _Record(msgspec.Struct, frozen=True, gc=False):
    serial: int
    """The store's tag above, the acceptance number below: order and identity in one number."""
    task: Task
    submitted_at: float

    @property
    def id(self) -> str:
        """The task's public id, as in ``/tasks/{id}``."""
        return format_task_id(self.serial)


class Pending(_Record, frozen=True, gc=False):
    """Accepted, not started."""

    state: ClassVar[State] = State.PENDING

    @property
    def since(self) -> float:
        return self.submitted_at


class Running(_Record, frozen=True, gc=False):
    """A worker has it."""

    state: ClassVar[State] = State.RUNNING

    started_at: float

    @property
    def since(self) -> float:
        return self.started_at


class Finished(_Record, frozen=True, gc=False):
    """It has its outcome, and its name is free.

    ``started_at`` is ``None`` for a task that was cancelled before a worker took it.
    """

    state: ClassVar[State] = State.FINISHED

    started_at: float | None
    finished_at: float
    outcome: Outcome
    error: str | None

    @property
    def since(self) -> float:
        return self.finished_at


InFlight = Pending | Running
Record = Pending | Running | Finished


class Ending(msgspec.Struct, frozen=True):
    """What an attempt came to: the outcome, and for a failure one sentence that says why."""

    outcome: Outcome
    error: str | None = None


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """The task was taken, and this is its record."""

    verdict: ClassVar[Literal["accepted"]] = "accepted"

    record: Pending


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """The name is held, by this task."""

    verdict: ClassVar[Literal["duplicate"]] = "duplicate"

    holder: InFlight


class Full(msgspec.Struct, frozen=True, gc=False):
    """There was no room for it in the queue."""

    verdict: ClassVar[Literal["full"]] = "full"


class Draining(msgspec.Struct, frozen=True, gc=False):
    """The executor takes nothing any more."""

    verdict: ClassVar[Literal["draining"]] = "draining"


Verdict = Accepted | Duplicate | Full | Draining

FULL: Final = Full()
DRAINING: Final = Draining()


def make_serial(tag: int, acceptance: int) -> int:
    """Join a store's 24-bit tag and an acceptance number (from 1) into one sortable number."""
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
