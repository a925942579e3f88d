"""Bugs in the limits of a local store, each as one might make it by mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from pexecutor import LocalStore, Pending, Record, Running
from pexecutor.stores.limits import LimitNumbers, TaskPause
from pexecutor.stores.local import limits, reasons, selection, store
from pexecutor.stores.local.book import Book
from pexecutor.stores.local.limits import LocalLimits
from pexecutor.stores.local.rare_facts import RareFacts
from pexecutor.stores.local.slots import Slots
from pexecutor.stores.local.start_gate import StartGate
from pexecutor.stores.local.start_order import StartOrder
from pexecutor.task import wait_again

Plant = Callable[[pytest.MonkeyPatch], None]


def exceed_a_limit_by_one(patch: pytest.MonkeyPatch) -> None:
    is_full = Slots.is_full
    patch.setattr(Slots, "is_full", lambda self, key, more=0: is_full(self, key, more - 1))


def count_no_chosen_task(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(selection.Selection, "_is_full", lambda self, key: self._slots.is_full(key))


def keep_the_slot_of_a_retry(patch: pytest.MonkeyPatch) -> None:
    put = Book._put

    def put_but_keep(self: Book, record: Record) -> None:
        old = self.get(record.serial)
        put(self, record)
        if isinstance(old, Running) and not isinstance(record, Running):
            self.slots.take([old])

    patch.setattr(Book, "_put", put_but_keep)


def wake_no_blocked_task(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StartOrder, "open_queues", lambda *_: None)


def wake_no_claim(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Book, "_open_queues", lambda self, key: self.pending.open_queues(key))


def overtake_within_a_key(patch: pytest.MonkeyPatch) -> None:
    go_on = selection.Selection._go_on

    def go_back(self: selection.Selection, records: Iterator[Pending]) -> None:
        go_on(self, iter(sorted(records, key=lambda record: -record.serial)))

    patch.setattr(selection.Selection, "_go_on", go_back)


def hold_back_what_comes_later(patch: pytest.MonkeyPatch) -> None:
    first = StartOrder.first

    def first_in_line(self: StartOrder, number: int, *given: Any) -> list[Pending]:
        chosen = first(self, number, *given)
        return [record for record, wanted in zip(chosen, self, strict=False) if record is wanted]

    patch.setattr(StartOrder, "first", first_in_line)


def take_the_slot_of_one_key(patch: pytest.MonkeyPatch) -> None:
    keys_of_record = Slots._counted_keys
    patch.setattr(Slots, "_counted_keys", lambda self, record: keys_of_record(self, record)[:1])


def give_new_content_the_old_keys(patch: pytest.MonkeyPatch) -> None:
    of = RareFacts.of
    seen: dict[str, Any] = {}
    patch.setattr(RareFacts, "of", lambda self, task, *rest: seen.setdefault(task.name, of(self, task, *rest)))


def lose_the_keys_of_a_release(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(store, "wait_again", lambda record: msgspec.structs.replace(wait_again(record), rare=None))


def let_a_lower_number_lift_others(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        LimitNumbers,
        "replaced_by",
        lambda _, limits, handlers: LimitNumbers(
            dict(limits), {name: number for name, number in handlers.items() if number is not None}
        ),
    )


def keep_any_number_of_settings(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(limits, "LIMIT_SETTINGS_MAX", 10_000)


def open_unknown_handlers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StartGate, "knows", lambda *_: True)


BROKEN_LIMITS: dict[Plant, str] = {
    exceed_a_limit_by_one: "no_limit_is_exceeded",
    count_no_chosen_task: "no_limit_is_exceeded",
    keep_the_slot_of_a_retry: "slots_are_freed",
    wake_no_blocked_task: "slots_are_freed",
    wake_no_claim: "slots_are_freed",
    overtake_within_a_key: "lanes_are_in_order",
    hold_back_what_comes_later: "blocked_tasks_hold_back_no_other",
    take_the_slot_of_one_key: "all_slots_or_none",
    let_a_lower_number_lift_others: "numbers_change",
    keep_any_number_of_settings: "settings_are_bounded",
    give_new_content_the_old_keys: "keys_belong_to_the_content",
    lose_the_keys_of_a_release: "keys_belong_to_the_content",
    open_unknown_handlers: "unknown_handlers_are_left",
}


def pause_every_handler(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StartGate, "is_open", lambda self, handler: not self.pauses and self.knows(handler))


def pause_no_more_than_handlers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StartGate, "is_open", lambda self, handler: handler not in self.pauses and self.knows(handler))


def pause_anew(patch: pytest.MonkeyPatch) -> None:
    async def pause(self: LocalLimits, handler: str | None, by: str) -> Any:
        return await self._set_pauses({**self._book.gate.pauses, handler: TaskPause(handler, self._now(), by)})

    patch.setattr(LocalLimits, "pause", pause)


def resume_everything(patch: pytest.MonkeyPatch) -> None:
    async def resume(self: LocalLimits, _: str | None) -> Any:
        return await self._set_pauses({})

    patch.setattr(LocalLimits, "resume", resume)


def resume_without_waking(patch: pytest.MonkeyPatch) -> None:
    def publish(self: LocalLimits, numbers: LimitNumbers, pauses: Any) -> None:
        self._book.slots.set_numbers(numbers, self._book.running.values())
        self._book.gate.set(pauses, self._book.gate.known)

    patch.setattr(LocalLimits, "_publish", publish)


def name_no_reason(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(limits, "reasons", lambda *_: ())


def name_reasons_of_running_tasks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reasons, "Running", LocalStore)


def name_one_reason_alone(patch: pytest.MonkeyPatch) -> None:
    every = reasons.reasons
    patch.setattr(limits, "reasons", lambda *given: every(*given)[:1])


def count_every_task_ahead(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StartGate, "is_open", lambda *_: True)


BROKEN_PAUSES: dict[Plant, str] = {
    pause_no_more_than_handlers: "everything_is_paused",
    resume_without_waking: "everything_is_paused",
    pause_every_handler: "a_handler_is_paused",
    pause_anew: "pauses_are_repeated",
    resume_everything: "a_resume_ends_one_pause",
    name_reasons_of_running_tasks: "no_reason",
    name_no_reason: "each_reason",
    count_every_task_ahead: "each_reason",
    name_one_reason_alone: "many_reasons",
}
