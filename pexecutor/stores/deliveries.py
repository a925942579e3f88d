"""The store contract for deliveries: the notifications that tasks and schedules cause, until their receivers have them.

A *target* is a receiver of notifications; a store knows only its name. A *delivery* is one notification to one target.
The store keeps deliveries beside the records: they hold no name, take no place in the queue, and cause no further
deliveries. This text is a part of the contract in ``pexecutor.stores``, and a store can be written from it.

**Brings.** When a store accepts a task, it calls ``Watcher.brings`` with the task, and keeps the answer with the record
(``Rare.brings``): the targets of each outcome. When ``latest`` replaces the content of a waiting task or follower, the
answer for the new content replaces the old answer. Everything else that changes a record keeps it, and so do a restart
and a move. With the default, ``brings_nothing``, a store does not call it at all.

**The ending step.** The step that gives a task its outcome also makes one delivery for each target that ``brings``
names for this outcome. This applies to every step: ``finish``, ``cancel``, a task that is superseded, the recovery
after a crash, the loss of a node, and a record that cannot be written and therefore ends as failed. A crash leaves the
outcome with its deliveries, or neither. A retry and a release make no delivery. A new delivery is due at once. A shared
store cuts a step that changes many records into steps of at most 500 changes, in which deliveries count like records;
the ending of one record and its deliveries are never cut.

**Skips.** If ``schedules.fire`` or ``schedules.skip`` records a new ``Skipped`` entry, the same step makes one delivery
for each target in ``step.targets``. A skip that is counted in the latest entry makes none.

**Take.** ``take`` returns, for each of the given targets, at most one delivery that is due: the one that has been due
longest, and of these the one with the lowest serial. A taken delivery is not due again for ``seconds``. So only one
node attempts a delivery at a time, and another attempt follows if that node dies. A take need not be durable in a store
of one process. ``next_due_at`` is the earliest time at which a delivery of these targets is due after this take; it is
not later than ``now`` if another delivery is due already. A taken delivery counts with the time at which it is due
again.

**Put off and end.** ``put_off`` records a failed attempt: ``attempts`` grows by 1, and the delivery is due again in
``seconds``. ``end`` removes deliveries. Both ignore a delivery that is no longer there, and are durable when they
return. Both look at the serial alone: a delivery that was changed since the caller took it is put off or ended, too.

**Bounds.** A store keeps at most ``DELIVERIES_MAX`` deliveries. The step that makes more ends the oldest ones: it
removes them, and ``Watcher.deliveries_ended`` is called with them. ``end_old`` removes the deliveries that were made
``DELIVERY_SECONDS_MAX`` ago or earlier, by the store's clock, at most ``limit`` of them. It returns them, the oldest
first, with the time at which the oldest remaining one is so old. It does not depend on the targets that a node has. The
oldest delivery is the one with the earliest ``made_at``, and of these the one with the lowest serial.

**Read.** ``page`` lists the deliveries of a target in the order of their serials; ``after`` is the last serial of the
previous page. What it shows as ``due_at`` of a taken delivery is not defined.

**Watch.** ``Watcher.deliveries_changed`` is called once a step that was made through this node has made a delivery, or
has put one off; a take is no reason. In a shared store, it is also called regularly while the store has deliveries,
because other nodes make them, too.

**Lifetime and damage.** A durable store restores its deliveries. A delivery that was taken when the process died is due
at the time it had before. A stored delivery that is not valid is set aside and counted, like a task.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from ..task import Brings, Finished, Task, format_task_id
from ..values import error_text
from .schedules import Occurrence, Schedule, Skipped, SkipReason

DELIVERIES_MAX: Final = 10_000
"""How many deliveries a store keeps."""

DELIVERY_SECONDS_MAX: Final = 24 * 60 * 60.0
"""How long after the step that made it a delivery ends, in seconds."""


class DeliveryBounds(NamedTuple):
    """How many deliveries a store keeps, and for how long, in seconds."""

    deliveries_max: int = DELIVERIES_MAX
    seconds_max: float = DELIVERY_SECONDS_MAX


DELIVERY_BOUNDS: Final = DeliveryBounds()


def brings_nothing(_: Task) -> Brings | None:
    """Return no targets: the default of ``Watcher.brings``."""
    return None


class EndNotice(msgspec.Struct, frozen=True, tag="ended", omit_defaults=True):
    """The facts about a task that has ended. Times are seconds since 1970.

    Parameters:
        task_id: the id of the task.
        name: its name.
        handler: its handler.
        outcome: its outcome.
        submitted_at: when it was submitted.
        started_at: when its last attempt began; ``None`` if it never started.
        finished_at: when it ended.
        error: the error of its ending; at most 8 KiB.
    """

    task_id: str
    name: str
    handler: str
    outcome: Literal["succeeded", "failed", "timed_out", "cancelled", "abandoned"]
    submitted_at: float
    finished_at: float
    started_at: float | None = None
    error: str | None = None


class SkipNotice(msgspec.Struct, frozen=True, tag="skipped", omit_defaults=True):
    """The facts about a skipped occurrence of a schedule. Times are seconds since 1970.

    Parameters:
        schedule: the name of the schedule.
        name: the name of the task that was not submitted.
        handler: its handler.
        reason: why the occurrence was skipped.
        at: the time of the occurrence; of several, of the first one.
        holder_id: the id of the task that held the name, if that is the reason.
    """

    schedule: str
    name: str
    handler: str
    reason: SkipReason
    at: float
    holder_id: str | None = None


Notice = EndNotice | SkipNotice


class Delivery(msgspec.Struct, frozen=True):
    """One notification to one target.

    Parameters:
        serial: a serial of the store, drawn from the same sequence as those of tasks: identity and order in one number.
        target: the name of the target.
        made_at: the time of the step that made it, in seconds since 1970.
        due_at: when it is to be attempted, in seconds since 1970.
        attempts: the number of failed attempts.
        notice: what it says.
    """

    serial: int
    target: str
    made_at: float
    due_at: float
    notice: Notice
    attempts: int = 0

    @property
    def id(self) -> str:
        """Return the public id of the delivery. It has the form of a task id, and no task has the same id."""
        return format_task_id(self.serial)


class Spare(NamedTuple):
    """Stands for a delivery that a step may make instead: if the end of ``task`` cannot be written as it is."""

    task: int


class DueDeliveries(NamedTuple):
    """The answer of ``take``.

    Parameters:
        now: the time by the store's clock.
        deliveries: at most one for each target.
        next_due_at: when the next delivery of these targets becomes due; ``None`` if there is none.
    """

    now: float
    deliveries: list[Delivery]
    next_due_at: float | None


class OldDeliveries(NamedTuple):
    """The answer of ``end_old``.

    Parameters:
        now: the time by the store's clock.
        ended: the removed deliveries, the oldest first.
        next_at: when the oldest remaining delivery is too old; ``None`` if there is none.
    """

    now: float
    ended: list[Delivery]
    next_at: float | None


class DeliveryStore(Protocol):
    """The operations on deliveries; the docstring of this module says what each one guarantees."""

    async def take(self, targets: Sequence[str], seconds: float) -> DueDeliveries: ...

    async def put_off(self, delivery: Delivery, seconds: float) -> None: ...

    async def end(self, deliveries: Sequence[Delivery]) -> None: ...

    async def end_old(self, limit: int) -> OldDeliveries: ...

    async def page(self, target: str, limit: int, after: int = 0) -> list[Delivery]: ...


def new_deliveries(serials: Iterable[int], targets: Iterable[str], notice: Notice, made_at: float) -> list[Delivery]:
    """Return a delivery of a notice for each target; each gets one of the serials."""
    return [Delivery(serial, target, made_at, made_at, notice) for serial, target in zip(serials, targets, strict=True)]


def targets_of(record: Finished) -> tuple[str, ...]:
    """Return the targets that are notified of the outcome of a task."""
    brings = None if record.rare is None else record.rare.brings
    return () if brings is None else brings.targets(record.ending.outcome)


def brought_by(record: Finished, serials: Sequence[int]) -> list[Delivery]:
    """Return the deliveries that the outcome of a task brings, with the first of these serials."""
    targets = targets_of(record)
    return new_deliveries(serials[: len(targets)], targets, end_notice(record), record.finished_at) if targets else []


def end_notice(record: Finished) -> EndNotice:
    """Return the facts about a task that has ended."""
    error = record.ending.error
    return EndNotice(
        task_id=record.id,
        name=record.task.name,
        handler=record.task.handler,
        outcome=record.outcome.value,
        submitted_at=record.submitted_at,
        finished_at=record.finished_at,
        started_at=record.started_at,
        error=None if error is None else error_text(error),
    )


def is_new_skip(occurrences: Sequence[Occurrence]) -> bool:
    """Return whether the latest occurrence of a schedule is a skip that is not counted in an earlier entry."""
    return bool(occurrences) and isinstance(occurrences[0], Skipped) and occurrences[0].count == 1


def skip_notice(schedule: Schedule) -> SkipNotice:
    """Return the facts about the latest occurrence of a schedule, a skip."""
    task, skipped = schedule.definition.task, schedule.occurrences[0]
    assert isinstance(skipped, Skipped), "is_new_skip() says so"
    return SkipNotice(schedule.name, task.name, task.handler, skipped.reason, skipped.at, skipped.holder_id)
