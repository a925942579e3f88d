"""Bugs in the schedules of a local store, each as one might make it by mistake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
import trio

from pexecutor import Accepted, Duplicate, LocalStore, Record, Verdict
from pexecutor.stores.local import schedules
from pexecutor.stores.local.journal_protocol import NOTHING_BESIDE, BesideRecords
from pexecutor.stores.local.schedule_book import ScheduleBook
from pexecutor.stores.local.schedules import LocalSchedules
from pexecutor.stores.local.shard_locks import ShardLocks
from pexecutor.stores.local.steps import Steps
from pexecutor.stores.schedules import (
    DuePlace,
    DueSchedules,
    NextTime,
    Occurrence,
    Schedule,
    ScheduleStep,
    Skipped,
    is_current,
    occurrence_of,
    recorded,
)
from pexecutor.stores.sqlite.journal import SqliteJournal

Plant = Callable[[pytest.MonkeyPatch], None]


def compare_the_generation_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedules, "is_current", lambda schedule, step, _: schedule.generation == step.generation)


def compare_the_next_time_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedules, "is_current", lambda schedule, step, _: schedule.next == step.expected)


def fire_before_it_is_due(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedules, "is_current", lambda schedule, step, now: is_current(schedule, step, now + 3600))


def take_no_lock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalSchedules, "_locked", lambda *_: ShardLocks().locked(1))


def let_times_drift(patch: pytest.MonkeyPatch) -> None:
    after = schedules._after

    def after_some_time(schedule: Schedule, step: ScheduleStep, occurrence: Occurrence) -> Schedule:
        later = None if step.next is None else NextTime(step.next.at + 0.001, step.next.due_at + 0.001)
        return after(schedule, msgspec.structs.replace(step, next=later), occurrence)

    patch.setattr(schedules, "_after", after_some_time)


def plant_occurrence(patch: pytest.MonkeyPatch, change: Callable[[ScheduleStep, Verdict], Occurrence | None]) -> None:
    patch.setattr(schedules, "occurrence_of", change)


def skip_when_it_is_full(patch: pytest.MonkeyPatch) -> None:
    plant_occurrence(patch, lambda step, verdict: occurrence_of(step, verdict) or Skipped(step.at, step.at, "full"))


def record_what_was_refused_on_request(patch: pytest.MonkeyPatch) -> None:
    def occurrence(step: ScheduleStep, verdict: Verdict) -> Occurrence | None:
        if isinstance(verdict, Duplicate):
            return Skipped(step.at, step.at, "held", holder_id=verdict.holder.id)
        return occurrence_of(step, verdict)

    plant_occurrence(patch, occurrence)


def advance_on_request(patch: pytest.MonkeyPatch) -> None:
    after = schedules._after

    def after_each(schedule: Schedule, step: ScheduleStep, occurrence: Occurrence) -> Schedule:
        return msgspec.structs.replace(after(schedule, step, occurrence), next=step.next)

    patch.setattr(schedules, "_after", after_each)


def join_nobody(patch: pytest.MonkeyPatch) -> None:
    def occurrence(step: ScheduleStep, verdict: Verdict) -> Occurrence | None:
        if isinstance(verdict, Accepted) and verdict.record.task.on_conflict == "reject":  # that of the holder
            return Skipped(step.at, step.at, "held", holder_id=verdict.record.id)
        return occurrence_of(step, verdict)

    plant_occurrence(patch, occurrence)


def name_no_holder(patch: pytest.MonkeyPatch) -> None:
    def occurrence(step: ScheduleStep, verdict: Verdict) -> Occurrence | None:
        found = occurrence_of(step, verdict)
        return msgspec.structs.replace(found, holder_id=None) if isinstance(found, Skipped) else found

    plant_occurrence(patch, occurrence)


def fold_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedules, "recorded", lambda occurrences, new: (new, *occurrences)[:10])


def fold_across_other_occurrences(patch: pytest.MonkeyPatch) -> None:
    def fold_with_any(occurrences: Sequence[Occurrence], new: Occurrence) -> tuple[Occurrence, ...]:
        same = [old for old in occurrences if isinstance(new, Skipped) and getattr(old, "reason", "") == new.reason]
        return recorded([*same[:1], *(old for old in occurrences if old not in same[:1])], new)

    patch.setattr(schedules, "recorded", fold_with_any)


def keep_every_occurrence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("pexecutor.stores.schedules.OCCURRENCES_MAX", 1000)


def skip_the_last_time_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedules, "Skipped", lambda _, last_at, reason: Skipped(last_at, last_at, reason))


def compare_no_generation_in_put(patch: pytest.MonkeyPatch) -> None:
    put = LocalSchedules.put

    async def put_any(self: LocalSchedules, schedule: Schedule) -> Schedule | None:
        old = self.find(schedule.name)
        return await put(self, msgspec.structs.replace(schedule, generation=0 if old is None else old.generation))

    patch.setattr(LocalSchedules, "put", put_any)


def begin_generations_anew(patch: pytest.MonkeyPatch) -> None:
    remove = LocalSchedules.remove

    async def remove_and_forget(self: LocalSchedules, name: str, generation: int) -> bool:
        removed = await remove(self, name, generation)
        self._generations = 0
        return removed

    patch.setattr(LocalSchedules, "remove", remove_and_forget)


def begin_generations_anew_in_each_process(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalSchedules, "continue_after", lambda *_: None)


def forget_occurrences_of_a_replaced_schedule(patch: pytest.MonkeyPatch) -> None:
    put = ScheduleBook.put

    def put_alone(self: ScheduleBook, schedule: Schedule, size: int | None = None) -> None:
        put(self, schedule if size is None else msgspec.structs.replace(schedule, occurrences=()), size)

    patch.setattr(ScheduleBook, "put", put_alone)


def count_only_schedules(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedules, "definition_bytes", lambda _: 0)


def count_no_schedules(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ScheduleBook, "__len__", lambda _: 0)


def give_due_ones_by_name(patch: pytest.MonkeyPatch) -> None:
    due = ScheduleBook.due

    def by_name(self: ScheduleBook, now: float, limit: int, after: DuePlace | None) -> DueSchedules:
        found = due(self, now, limit, after)
        return msgspec.structs.replace(found, schedules=sorted(found.schedules, key=lambda one: one.name))

    patch.setattr(ScheduleBook, "due", by_name)


def give_all_due_ones_again(patch: pytest.MonkeyPatch) -> None:
    due = ScheduleBook.due
    patch.setattr(
        ScheduleBook,
        "due",
        lambda self, now, limit, after: due(self, now, limit, None) if after else due(self, now, limit, after),
    )


def say_nothing_of_the_next_one(patch: pytest.MonkeyPatch) -> None:
    due = ScheduleBook.due
    patch.setattr(ScheduleBook, "due", lambda self, *args: msgspec.structs.replace(due(self, *args), next_due_at=None))


def list_them_as_they_came(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("pexecutor.stores.local.schedule_book.insort", lambda names, name: names.append(name))


def tell_no_watcher(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalStore, "watch", lambda *_: None)


def await_between_the_two(patch: pytest.MonkeyPatch) -> None:
    complete = Steps.complete

    async def complete_then_await(self: Steps, changes: Sequence[Record], **others: Any) -> Sequence[Any]:
        completed = await complete(self, changes, **others)
        await trio.lowlevel.checkpoint()
        return completed

    patch.setattr(Steps, "complete", complete_then_await)


BROKEN_SCHEDULES: dict[Plant, str] = {
    let_times_drift: "a_schedule_fires",
    compare_the_generation_alone: "one_occurrence_is_fired_once",
    compare_the_next_time_alone: "a_step_on_another_schedule_does_nothing",
    fire_before_it_is_due: "a_step_on_another_schedule_does_nothing",
    skip_when_it_is_full: "an_occurrence_is_decided_as_a_submit",
    name_no_holder: "an_occurrence_is_decided_as_a_submit",
    join_nobody: "an_occurrence_may_join",
    record_what_was_refused_on_request: "an_occurrence_on_request",
    advance_on_request: "an_occurrence_on_request",
    fold_nothing: "skips_are_folded",
    fold_across_other_occurrences: "skips_are_folded",
    keep_every_occurrence: "skips_are_folded",
    skip_the_last_time_alone: "a_skip_may_be_long",
    compare_no_generation_in_put: "generations_rise",
    begin_generations_anew: "generations_rise",
    forget_occurrences_of_a_replaced_schedule: "occurrences_stay",
    count_only_schedules: "schedules_are_bounded",
    count_no_schedules: "schedules_are_bounded",
    give_due_ones_by_name: "due_in_order",
    give_all_due_ones_again: "due_in_order",
    say_nothing_of_the_next_one: "due_in_order",
    list_them_as_they_came: "schedules_by_name",
    tell_no_watcher: "watchers_of_schedules",
    await_between_the_two: "a_cancelled_fire_is_whole",
}
"""Bugs in memory, each with the guarantee that it breaks."""


def submit_after_the_step(patch: pytest.MonkeyPatch) -> None:
    """An occurrence is lost if the process dies between the two."""
    commit = SqliteJournal.commit

    async def commit_in_two(
        self: SqliteJournal, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE
    ) -> Any:
        if beside.schedules and changes:
            await commit(self, (), 0, beside)
            await trio.sleep(0.02)
            beside = NOTHING_BESIDE
        return await commit(self, changes, acceptances, beside)

    patch.setattr(SqliteJournal, "commit", commit_in_two)


def answer_before_it_is_written(patch: pytest.MonkeyPatch) -> None:
    """An occurrence that was acknowledged is lost, and all of it."""
    complete = Steps.complete

    async def complete_later(self: Steps, changes: Sequence[Record], **others: Any) -> Sequence[Any]:
        if others.get("beside", NOTHING_BESIDE).schedules and changes:
            self._publish(changes, ())
            return changes
        return await complete(self, changes, **others)

    patch.setattr(Steps, "complete", complete_later)


def forget_to_write_the_schedule(patch: pytest.MonkeyPatch) -> None:
    """An occurrence is fired again by the next process."""
    commit = SqliteJournal.commit

    async def commit_tasks_alone(
        self: SqliteJournal, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE
    ) -> Any:
        return await commit(self, changes, acceptances, NOTHING_BESIDE if changes else beside)

    patch.setattr(SqliteJournal, "commit", commit_tasks_alone)


BROKEN_KEPT_SCHEDULES: dict[Plant, str] = {
    take_no_lock: "one_occurrence_is_fired_once",
    submit_after_the_step: "a_crash_divides_no_occurrence",
    answer_before_it_is_written: "a_crash_divides_no_occurrence",
    forget_to_write_the_schedule: "schedules_are_kept",
    begin_generations_anew_in_each_process: "schedules_are_kept",
}
"""Bugs in a store that keeps its schedules in a file."""
