"""The store contract for schedules: the nouns, and the steps in which a store changes them.

A schedule submits a task at its times. The nodes compute the times; the store keeps them and compares them by its own
clock. So a store needs no calendar, and two nodes cannot fire one time twice. This text is a part of the contract in
``pexecutor.stores``, and a store can be written from it.

**Times.** Every time is in seconds since 1970, and a whole number of milliseconds, so that times can be compared for
equality. ``now`` returns the time by the clock of the store, which is also the clock of ``due``, ``fire`` and
``skip``.

**Generations.** Every ``put`` and ``remove`` names the generation of the schedule that the caller has seen; 0 stands
for no schedule. If the stored generation differs, the step changes nothing and returns ``None`` or ``False``: the
caller reads the schedule again. A new generation is higher than any generation that the store has given before, also to
another or a removed schedule. Only ``put`` gives one; ``fire`` and ``skip`` keep it.

**Put.** ``put`` stores the definition, the owner, the pause and the next time of a schedule, and returns the schedule
with its new generation. It keeps the occurrences of the schedule that it replaces. If these differ from the occurrences
that the caller has seen (``occurrences``), the schedule has fired or skipped meanwhile, and the caller has computed the
next time from an old one: then ``put`` changes nothing and returns ``None``. The schedule is durable when ``put``
returns. A new schedule beyond ``ScheduleBounds.schedules_max``, and a definition that makes all definitions together
exceed ``ScheduleBounds.bytes_max``, raise ``TooManySchedulesError`` and change nothing. A definition counts with the
bytes of its JSON (``definition_bytes``). A definition that is not larger than the stored one is always taken.

A store does not look into a definition, except that the definition of a stored schedule with ``every`` also has
``start_at``: the caller of ``put`` fills it in.

**Remove.** ``remove`` removes a schedule with its occurrences, and touches no task.

**Fire.** ``fire`` submits the task, records the occurrence and sets the next time, in one step: a crash leaves all
three or none. It changes nothing and returns ``None`` unless the schedule has the generation ``step.generation``, its
next time is ``step.expected``, and that time is due by the store's clock. Otherwise the task gets its verdict exactly
as in ``submit``:

* ``Accepted``: the occurrence is ``Fired`` with the id of the accepted record, and the next time is ``step.next``.
* ``Duplicate``: the occurrence is ``Skipped`` with the reason ``held`` and the holder's id, and the next time is
  ``step.next``.
* ``Full``: nothing is changed.

If ``step.expected`` is ``None``, the task is submitted on request, not because a time has come: only the generation is
compared, the next time stays as it is, and nothing but ``Accepted`` is recorded.

**Skip.** ``skip`` records that a time is skipped for a reason, and sets the next time, under the conditions of
``fire``. It returns the recorded entry, or ``None`` if it changed nothing.

**Occurrences.** A schedule keeps its last ten occurrences, the latest first. A skip for the same reason as the latest
occurrence makes no new entry: it adds 1 to the ``count`` of that entry, and replaces its ``last_at`` and holder.
``step.at`` is the time of an occurrence. An entry that ``skip`` makes begins at ``step.expected.at`` and ends at
``step.at``, because one step may skip several times.

**Due.** ``due`` returns the schedules whose next time is due, the longest due first, schedules of equal time by name,
and the earliest time that is not due. ``after`` is the place of the last schedule of the previous answer. A schedule
without a next time is never due.

**Read.** ``get`` raises ``UnknownScheduleError``. ``page`` lists schedules in the order of their names, as UTF-8 bytes;
``after`` is the last name of the previous page. A schedule that stays appears exactly once.

**Watch.** ``Watcher.schedules_changed`` is called once ``put``, ``remove``, ``fire`` or ``skip`` changed a schedule
through this node. The changes through other nodes are found with ``due``.

**Lifetime and damage.** A durable store restores its schedules with their generations and occurrences. A stored
schedule that is not valid is set aside and counted, like a task. A cancelled call leaves all of a step or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from ..errors import TooManySchedulesError, counted
from ..task import NAME_BYTES_MAX, SPAN_MS_MAX, Accepted, Duplicate, Milliseconds, Task, Verdict, check_name

SCHEDULES_MAX: Final = 10_000
"""How many schedules a store keeps."""

SCHEDULES_BYTES_MAX: Final = 64 * 1024 * 1024
"""The largest number of bytes of all definitions together."""


class ScheduleBounds(NamedTuple):
    """How many schedules a store keeps, and how many bytes of definitions in all."""

    schedules_max: int = SCHEDULES_MAX
    bytes_max: int = SCHEDULES_BYTES_MAX


SCHEDULE_BOUNDS: Final = ScheduleBounds()

DEFINITION_BYTES_MAX: Final = 64 * 1024
OCCURRENCES_MAX: Final = 10
EVERY_MS_MIN: Final = 1000
EVERY_MS_MAX: Final = 366 * 24 * 60 * 60 * 1000
TEXT_CHARACTERS_MAX: Final = 255
"""The longest cron expression or name of a time zone."""

CatchUp = Literal["one", "none"]
Owner = Literal["api", "file"]
SkipReason = Literal["held", "full", "late", "paused", "no_such_handler"]
Instant = Annotated[datetime, Meta(tz=True)]


class DefinitionFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a schedule does, and when, as its owner declares it. Durations are whole milliseconds.

    Parameters:
        task: the task that each occurrence submits.
        cron: the times as a cron expression of five fields.
        timezone: the time zone of ``cron``, as in ``Europe/Berlin``.
        every: the time between two occurrences, instead of ``cron``; 1000 to 366 days.
        start_at: the first occurrence of ``every``. The time of an occurrence is ``start_at`` plus a multiple of
            ``every``.
        jitter: each occurrence fires at most this much after its time, always the same for the same occurrence.
        until: no occurrence has a later time.
        catch_up: whether the latest of the times that were missed is fired afterwards.
        late_max: how late an occurrence may fire; by default one period, at most an hour.

    Raises:
        ValueError: fields exclude each other or are missing, or the definition has too many bytes.
    """

    task: Task
    cron: Annotated[str, Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)] | None = None
    timezone: Annotated[str, Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)] = "UTC"
    every: Annotated[int, Meta(ge=EVERY_MS_MIN, le=EVERY_MS_MAX)] | None = None
    start_at: Instant | None = None
    jitter: Milliseconds = 0
    until: Instant | None = None
    catch_up: CatchUp = "one"
    late_max: Annotated[int, Meta(ge=0, le=SPAN_MS_MAX)] | None = None

    def __post_init__(self) -> None:
        if (self.cron is None) == (self.every is None):
            raise ValueError('give either `cron` or `every`, for example "cron": "0 3 * * *" or "every": 60000')
        if self.cron is None and self.timezone != "UTC":
            raise ValueError("`timezone` belongs to `cron`: remove it, or give `cron` instead of `every`")
        if self.every is None and self.start_at is not None:
            raise ValueError("`start_at` belongs to `every`: remove it, or give `every` instead of `cron`")
        if definition_bytes(self) > DEFINITION_BYTES_MAX:
            raise ValueError(f"a schedule must be at most {DEFINITION_BYTES_MAX} bytes of JSON")


class Definition(DefinitionFields, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a schedule does, and when, as a store keeps it.

    Parameters:
        given: the fields of the task that were declared with the value that they have without a declaration. Like any
            other declared field, they take no default of the handler.
    """

    given: tuple[str, ...] = ()


def definition_bytes(definition: DefinitionFields) -> int:
    """Return the size of a definition as JSON, in bytes."""
    return len(msgspec.json.encode(definition))


class NextTime(msgspec.Struct, frozen=True):
    """The next time of a schedule.

    Parameters:
        at: the time of the occurrence, which its task may show.
        due_at: the time at which it fires: ``at``, plus the jitter of this occurrence.
    """

    at: float
    due_at: float


class Fired(msgspec.Struct, frozen=True, tag="fired"):
    """An occurrence that submitted its task, or joined or renewed the holder of the task's name.

    Parameters:
        at: the time of the occurrence.
        task_id: the id of the task.
    """

    at: float
    task_id: str


class Skipped(msgspec.Struct, frozen=True, tag="skipped", omit_defaults=True):
    """Consecutive occurrences that were skipped for the same reason.

    Parameters:
        at: the time of the first one.
        last_at: the time of the last one.
        reason: why they were skipped.
        count: how many steps skipped something.
        holder_id: the id of the task that held the name at the last one, if that is the reason.
    """

    at: float
    last_at: float
    reason: SkipReason
    count: int = 1
    holder_id: str | None = None


Occurrence = Fired | Skipped


class Schedule(msgspec.Struct, frozen=True):
    """A schedule as the store has it.

    Parameters:
        name: the unique name of the schedule; 1 to 255 bytes of UTF-8 without control characters.
        definition: what it does, and when.
        generation: the number of its last change, unique in the store; 0 before it is stored.
        next: the next time; ``None`` if there is none.
        owner: whether the API or a settings file declared it.
        paused: whether its times are skipped.
        occurrences: the last ten occurrences, the latest first.

    Raises:
        ValueError: the name has too many bytes or contains a control character.
    """

    name: Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX)]
    definition: Definition
    generation: int = 0
    next: NextTime | None = None
    owner: Owner = "api"
    paused: bool = False
    occurrences: tuple[Occurrence, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)


class ScheduleStep(msgspec.Struct, frozen=True):
    """One occurrence: the schedule as the caller has seen it, and what comes next.

    Parameters:
        name: the name of the schedule.
        generation: the generation that the caller has seen.
        expected: the next time that the caller has seen; ``None`` for an occurrence on request.
        at: the time of the occurrence: ``expected.at``, or a later time that was missed, too.
        next: the next time after this step; not used without ``expected``.
        targets: the targets that are notified if this step records a new skip.
    """

    name: str
    generation: int
    expected: NextTime | None
    at: float
    next: NextTime | None
    targets: tuple[str, ...] = ()


class ScheduleChange(NamedTuple):
    """The new state of a schedule; ``None`` if it was removed."""

    name: str
    schedule: Schedule | None


class Firing(msgspec.Struct, frozen=True):
    """The result of ``fire``.

    Parameters:
        verdict: the verdict on the task.
        occurrence: the latest occurrence as it is now recorded; ``None`` if nothing was recorded.
    """

    verdict: Verdict
    occurrence: Occurrence | None


class DuePlace(NamedTuple):
    """The place of a schedule in the order of ``due``."""

    due_at: float
    name: str


class DueSchedules(msgspec.Struct, frozen=True):
    """The answer of ``due``.

    Parameters:
        now: the time by the store's clock.
        schedules: the due schedules, the longest due first.
        next_due_at: the earliest time of a schedule that is not due; ``None`` if there is none.
    """

    now: float
    schedules: list[Schedule]
    next_due_at: float | None


class ScheduleStore(Protocol):
    """The operations on the schedules of a store; the docstring of this module says what each one guarantees."""

    async def now(self) -> float: ...

    async def get(self, name: str) -> Schedule: ...

    async def page(self, limit: int, after: str | None = None) -> list[Schedule]: ...

    async def due(self, limit: int, after: DuePlace | None = None) -> DueSchedules: ...

    async def put(self, schedule: Schedule) -> Schedule | None: ...

    async def remove(self, name: str, generation: int) -> bool: ...

    async def fire(self, step: ScheduleStep, task: Task) -> Firing | None: ...

    async def skip(self, step: ScheduleStep, reason: SkipReason) -> Skipped | None: ...


def recorded(occurrences: Sequence[Occurrence], new: Occurrence) -> tuple[Occurrence, ...]:
    """Return the occurrences of a schedule, the latest first, with a new one; a repeated skip is folded."""
    latest = occurrences[0] if occurrences else None
    if isinstance(new, Skipped) and isinstance(latest, Skipped) and latest.reason == new.reason:
        new = msgspec.structs.replace(new, at=latest.at, count=latest.count + new.count)
        occurrences = occurrences[1:]
    return (new, *occurrences)[:OCCURRENCES_MAX]


def occurrence_of(step: ScheduleStep, verdict: Verdict) -> Occurrence | None:
    """Return the occurrence that ``fire`` records for a verdict, or ``None`` if it records nothing."""
    match verdict:
        case Accepted(record=record):
            return Fired(step.at, record.id)
        case Duplicate(holder=holder) if step.expected is not None:
            return Skipped(step.at, step.at, "held", holder_id=holder.id)
        case _:
            return None


def is_current(schedule: Schedule | None, step: ScheduleStep, now: float) -> bool:
    """Return whether a schedule is the one that the caller of a step has seen, and is due or fired on request."""
    if schedule is None or schedule.generation != step.generation:
        return False
    return step.expected is None or (step.expected == schedule.next and step.expected.due_at <= now)


def too_many_schedules(bounds: ScheduleBounds) -> TooManySchedulesError:
    """Return the error for a new schedule beyond the bound."""
    return TooManySchedulesError(
        f"the store keeps at most {counted(bounds.schedules_max, 'schedule')} (`schedules_max`): remove one first"
    )


def too_many_bytes(bounds: ScheduleBounds) -> TooManySchedulesError:
    """Return the error for a definition that makes all definitions together too large."""
    return TooManySchedulesError(f"all schedules together may have at most {bounds.bytes_max} bytes: remove one first")
