"""Bugs in the deliveries of a local store, each as one might make it by mistake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
import trio

from pexecutor import Ending, Finished, LocalStore, Record, Running, Scheduled
from pexecutor.stores import deliveries as contract
from pexecutor.stores.deliveries import Delivery, OldDeliveries
from pexecutor.stores.local import schedules, steps, submission
from pexecutor.stores.local.book import Book
from pexecutor.stores.local.deliveries import LocalDeliveries
from pexecutor.stores.local.delivery_book import DeliveryBook
from pexecutor.stores.local.journal_protocol import NOTHING_BESIDE, BesideRecords
from pexecutor.stores.local.rare_facts import RareFacts
from pexecutor.stores.local.steps import Steps
from pexecutor.stores.local.submission import Submission
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.task import Rare, Task

Plant = Callable[[pytest.MonkeyPatch], None]


def bring_to_the_first_target_alone(patch: pytest.MonkeyPatch) -> None:
    make = contract.brought_by
    patch.setattr(steps, "brought_by", lambda record, serials: make(record, serials)[:1])


def miss_the_short_way(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Steps, "_publish_ends", lambda self, records, _: Book.end(self._book, records))


def bring_nothing_for_cancelled(patch: pytest.MonkeyPatch) -> None:
    make = contract.brought_by

    def all_but_cancelled(record: Finished, serials: Sequence[int]) -> list[Delivery]:
        return [] if record.outcome == "cancelled" else make(record, serials)

    patch.setattr(steps, "brought_by", all_but_cancelled)


def bring_for_a_retry(patch: pytest.MonkeyPatch) -> None:
    brought = steps._brought

    def brought_with_retries(changes: Sequence[Record], reserved: dict[int, range]) -> list[Delivery]:
        as_ends = [
            Finished(
                record.serial,
                record.task,
                record.submitted_at,
                record.attempts,
                record.since,
                steps_ending(record),
                rare=record.rare,
            )
            if isinstance(record, Scheduled) and record.attempts
            else record
            for record in changes
        ]
        return brought(as_ends, reserved)

    patch.setattr(steps, "_brought", brought_with_retries)


def steps_ending(record: Record) -> Ending:
    return Ending(record.attempts[-1].outcome, record.attempts[-1].error)


def forget_the_targets_of_a_follower(patch: pytest.MonkeyPatch) -> None:
    follow_on = submission.follow_on
    patch.setattr(
        submission, "follow_on", lambda follower, now: msgspec.structs.replace(follow_on(follower, now), rare=None)
    )


def keep_the_targets_of_the_old_content(patch: pytest.MonkeyPatch) -> None:
    renew = Submission._renew

    def renew_with_old_targets(self: Submission, task: Task, holder: Any) -> Any:
        kept = self._follower(holder) or holder
        if isinstance(kept, Running):
            return renew(self, task, holder)
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(RareFacts, "of", lambda *_: kept.rare)
            return renew(self, task, holder)

    patch.setattr(Submission, "_renew", renew_with_old_targets)


def count_deliveries_as_waiting(patch: pytest.MonkeyPatch) -> None:
    make = LocalStore.__init__

    def make_with_more(self: LocalStore, **settings: Any) -> None:
        make(self, **settings)
        self._room._taken = lambda: self._book.waiting() + len(self.deliveries)

    patch.setattr(LocalStore, "__init__", make_with_more)


def bring_for_each_skip(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedules, "is_new_skip", lambda occurrences: occurrences[0].__class__.__name__ == "Skipped")


def bring_nothing_for_a_skip(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedules, "is_new_skip", lambda _: False)


def give_a_taken_one_again(patch: pytest.MonkeyPatch) -> None:
    take = DeliveryBook.take
    patch.setattr(DeliveryBook, "take", lambda self, target, now, _: take(self, target, now, now))


def never_give_a_taken_one_again(patch: pytest.MonkeyPatch) -> None:
    take = DeliveryBook.take
    patch.setattr(DeliveryBook, "take", lambda self, target, now, _: take(self, target, now, now + 1e6))


def give_the_latest_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        DeliveryBook,
        "_set_due",
        lambda self, delivery, due_at: _set_due(self, delivery, 3e9 - due_at - delivery.serial),
    )


_set_due = DeliveryBook._set_due


def count_no_attempt(patch: pytest.MonkeyPatch) -> None:
    put = DeliveryBook.put

    def put_without_attempts(self: DeliveryBook, deliveries: Sequence[Delivery]) -> None:
        put(self, [msgspec.structs.replace(delivery, attempts=0) for delivery in deliveries])

    patch.setattr(DeliveryBook, "put", put_without_attempts)


def put_an_ended_one_off(patch: pytest.MonkeyPatch) -> None:
    async def put_off(self: LocalDeliveries, delivery: Delivery, seconds: float) -> None:
        due_at = self._now() + seconds
        self._book.put([msgspec.structs.replace(delivery, attempts=delivery.attempts + 1, due_at=due_at)])

    patch.setattr(LocalDeliveries, "put_off", put_off)


def list_the_due_ones_first(patch: pytest.MonkeyPatch) -> None:
    def page(self: DeliveryBook, target: str, limit: int, after: int) -> list[Delivery]:
        found = [self._deliveries[serial] for _, serial in self._due[target] if serial > after]
        return found[:limit]

    patch.setattr(DeliveryBook, "page", page)


def keep_them_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DeliveryBook, "_end_surplus", lambda _: None)


def end_the_newest(patch: pytest.MonkeyPatch) -> None:
    def end_surplus(self: DeliveryBook) -> None:
        surplus = self._ages[self._bounds.deliveries_max :]
        if surplus:
            self.ended(self.remove([serial for _, serial in surplus]))

    patch.setattr(DeliveryBook, "_end_surplus", end_surplus)


def end_them_silently(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalDeliveries, "watch", lambda self, changed, _: setattr(self._book, "changed", changed))


def keep_old_ones(patch: pytest.MonkeyPatch) -> None:
    async def end_old(self: LocalDeliveries, _: int) -> OldDeliveries:
        return OldDeliveries(self._now(), [], None)

    patch.setattr(LocalDeliveries, "end_old", end_old)


def end_all_old_ones_at_once(patch: pytest.MonkeyPatch) -> None:
    old = DeliveryBook.old
    patch.setattr(DeliveryBook, "old", lambda self, now, _: old(self, now, 1000))


def tell_no_watcher(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalDeliveries, "watch", lambda *_: None)


def make_them_after_the_outcome_is_seen(patch: pytest.MonkeyPatch) -> None:
    end = LocalStore.finish

    async def finish_then_make(self: LocalStore, ended: Any) -> Any:
        put = DeliveryBook.put
        later: list[Delivery] = []
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(DeliveryBook, "put", lambda _, deliveries: later.extend(deliveries))
            records = await end(self, ended)
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        put(self.deliveries._book, later)
        return records

    patch.setattr(LocalStore, "finish", finish_then_make)


BROKEN_DELIVERIES: dict[Plant, str] = {
    bring_to_the_first_target_alone: "an_outcome_brings_deliveries",
    miss_the_short_way: "many_outcomes_bring_deliveries",
    bring_nothing_for_cancelled: "other_ends_bring_deliveries",
    bring_for_a_retry: "nothing_else_brings_deliveries",
    forget_the_targets_of_a_follower: "targets_are_kept",
    keep_the_targets_of_the_old_content: "newer_content_has_its_own_targets",
    count_deliveries_as_waiting: "deliveries_are_no_tasks",
    bring_for_each_skip: "a_skip_brings_deliveries",
    bring_nothing_for_a_skip: "a_skip_brings_deliveries",
    give_a_taken_one_again: "one_taker_at_a_time",
    never_give_a_taken_one_again: "a_take_ends",
    give_the_latest_first: "one_taker_at_a_time",
    count_no_attempt: "a_failed_attempt_is_counted",
    put_an_ended_one_off: "an_ended_delivery_is_gone",
    list_the_due_ones_first: "deliveries_by_serial",
    keep_them_all: "deliveries_are_bounded",
    end_the_newest: "deliveries_are_bounded",
    end_them_silently: "deliveries_are_bounded",
    keep_old_ones: "old_deliveries_end",
    end_all_old_ones_at_once: "old_deliveries_end",
    tell_no_watcher: "watchers_of_deliveries",
    make_them_after_the_outcome_is_seen: "outcome_and_delivery_are_one_step",
}
"""Bugs in memory, each with the guarantee that it breaks."""


def forget_to_write_them(patch: pytest.MonkeyPatch) -> None:
    commit = SqliteJournal.commit

    async def commit_the_rest(
        self: SqliteJournal, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE
    ) -> Any:
        return await commit(self, changes, acceptances, beside._replace(deliveries=()))

    patch.setattr(SqliteJournal, "commit", commit_the_rest)


def forget_to_write_their_ends(patch: pytest.MonkeyPatch) -> None:
    commit = SqliteJournal.commit

    async def commit_without_ends(
        self: SqliteJournal, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE
    ) -> Any:
        kept = [change for change in beside.deliveries if change.delivery is not None]
        return await commit(self, changes, acceptances, beside._replace(deliveries=kept))

    patch.setattr(SqliteJournal, "commit", commit_without_ends)


def forget_the_targets_in_the_file(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("pexecutor.stores.sqlite.rows._decode_rare", lambda _: Rare())


def bring_nothing_in_a_recovery(patch: pytest.MonkeyPatch) -> None:
    recover = LocalStore._recover

    async def recover_without(self: LocalStore, journal: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(steps, "brought_by", lambda *_: [])
            return await recover(self, journal)

    patch.setattr(LocalStore, "_recover", recover_without)


BROKEN_KEPT_DELIVERIES: dict[Plant, str] = {
    forget_to_write_them: "deliveries_are_durable_with_their_step",
    forget_to_write_their_ends: "deliveries_are_kept",
    forget_the_targets_in_the_file: "deliveries_are_kept",
    bring_nothing_in_a_recovery: "a_crash_brings_deliveries",
}
"""Bugs in a file, each with the guarantee that it breaks."""
