"""Stores that mistake criteria, steps of many and the parts of the history, each in one way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest

from pexecutor import Finished, LocalStore, Outcome, Page, PageRequest, Record, Running, Task, Verdict
from pexecutor.stores.local import changes
from pexecutor.stores.local.history import History
from pexecutor.stores.local.submission import end, end_and_pass_on
from pexecutor.stores.sqlite import rows
from pexecutor.task import Rare

from .broken import CountsRowsInItsCursors

Plant = Callable[[pytest.MonkeyPatch], None]


class FindsAnyTag(LocalStore):
    async def page(self, request: PageRequest) -> Page:
        return await super().page(msgspec.structs.replace(request, tags=request.tags[:1]))


class LosesOneBetweenPagesWithCriteria(LocalStore):
    async def page(self, request: PageRequest) -> Page:
        if request.handler is None and not request.tags:
            return await super().page(request)
        page = await super().page(msgspec.structs.replace(request, limit=request.limit + 1))
        return msgspec.structs.replace(page, records=page.records[: request.limit])


class EndsWithAnEmptyPage(LocalStore):
    async def page(self, request: PageRequest) -> Page:
        page = await super().page(request)
        return page if page.records else msgspec.structs.replace(page, next_cursor=None)


class CountsMatchesInItsCursors(CountsRowsInItsCursors):
    pass


class ListsWhatCameLater(LocalStore):
    async def page(self, request: PageRequest) -> Page:
        return await super().page(msgspec.structs.replace(request, serial_max=None))


class AnswersCancelsInAnotherOrder(LocalStore):
    async def cancel_many(self, task_ids: Sequence[str]) -> list[Running | Finished | None]:
        return await super().cancel_many(task_ids[::-1])


class CancelsOneByOne(LocalStore):
    async def cancel_many(self, task_ids: Sequence[str]) -> list[Running | Finished | None]:
        return [await self.cancel(task_id) for task_id in task_ids]


class ChangesOnlyWhatIsDue(LocalStore):
    async def change_many(self, task_ids: Sequence[str], *, priority: int) -> list[Record | None]:
        pending = [record.id for record in self._book.pending]
        results = iter(await super().change_many([each for each in task_ids if each in pending], priority=priority))
        return [next(results) if each in pending else None for each in task_ids]


class ForgetsWhatIsRepeated(LocalStore):
    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False, **_: Any) -> list[Verdict]:
        return await super().submit(tasks, atomic=atomic)


class KeepsAllForOneAge(LocalStore):
    def __init__(self, *, history_seconds_max: float = 600, history_failed_seconds_max: float = 0, **more: Any) -> None:
        super().__init__(
            history_seconds_max=history_seconds_max, history_failed_seconds_max=history_seconds_max, **more
        )


BROKEN_FINDING: dict[type[LocalStore], str] = {
    FindsAnyTag: "every_criterion",
    LosesOneBetweenPagesWithCriteria: "pages_with_criteria",
    EndsWithAnEmptyPage: "one_among_many",
    CountsMatchesInItsCursors: "found_while_others_change",
    ListsWhatCameLater: "accepted_later",
    AnswersCancelsInAnotherOrder: "cancel_many_of_each_state",
    CancelsOneByOne: "cancel_many_is_one_step",
    ChangesOnlyWhatIsDue: "change_many",
    ForgetsWhatIsRepeated: "repeated_tasks",
    KeepsAllForOneAge: "each_part_has_its_age",
}


def leave_followers_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(changes, "end_and_pass_on", lambda _, record, ending, now: [end(record, ending, now)])


def end_followers_twice(patch: pytest.MonkeyPatch) -> None:
    def ends(self: Any, record: Any) -> list[Any]:
        return end_and_pass_on(self._book, record, changes._CANCELLED, self._now)

    patch.setattr(changes._Cancels, "_ends", ends)


def cancel_without_a_bound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(changes, "STEP_RECORDS_MAX", 10_000)


def count_tasks_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(changes, "_size", lambda change: 0 if change is None else 1)


def keep_all_in_one_part(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(History, "_part_of", lambda self, _: self._successes)


def list_one_part_after_the_other(patch: pytest.MonkeyPatch) -> None:
    def before(self: History, number: int | None = None, _: Outcome | None = None) -> Iterator[Finished]:
        yield from self._successes.numbers.below_key(number)
        yield from self._others.numbers.below_key(number)

    patch.setattr(History, "before", before)


def let_the_oldest_go_first(patch: pytest.MonkeyPatch) -> None:
    def first_to_go(self: History) -> Any:
        parts = [part.numbers for part in (self._successes, self._others) if part.numbers]
        return min(parts, key=lambda numbers: numbers.lowest())

    patch.setattr(History, "_first_to_go", first_to_go)


PLANTED_IN_FINDING: dict[Plant, str] = {
    leave_followers_alone: "cancel_many_with_followers",
    end_followers_twice: "cancel_many_with_followers",
    cancel_without_a_bound: "cancel_many_is_bounded",
    count_tasks_alone: "cancel_many_counts_all_records",
    keep_all_in_one_part: "successes_displace_only_successes",
    list_one_part_after_the_other: "both_parts_are_listed_as_one",
    let_the_oldest_go_first: "successes_go_first",
}


def write_nothing_of_many(patch: pytest.MonkeyPatch) -> None:
    async def complete(self: changes.Changes, changed: dict[int, Record], _: Any = None) -> dict[int, Record]:
        self._steps._publish([*changed.values()], ())
        return changed

    patch.setattr(changes.Changes, "_complete", complete)


def restore_no_repetition(patch: pytest.MonkeyPatch) -> None:
    decode = rows._decode_rare

    def decode_some(text: str) -> Rare:
        return msgspec.structs.replace(decode(text), retry_of=0)

    patch.setattr(rows, "_decode_rare", decode_some)


PLANTED_IN_KEPT_FINDING: dict[Plant, str] = {
    write_nothing_of_many: "cancel_many_is_durable",
    restore_no_repetition: "repeated_tasks_are_kept",
}
