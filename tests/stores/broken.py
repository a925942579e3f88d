"""Stores that break the contract, each in one way, as one might by mistake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from pexecutor import (
    Accepted,
    Duplicate,
    Ending,
    Finished,
    Following,
    LocalStore,
    Outcome,
    Page,
    PageRequest,
    Pending,
    Record,
    Running,
    Scheduled,
    Task,
    Verdict,
)
from pexecutor.conformance import Need, Place
from pexecutor.conformance.subjects import MemorySubject
from pexecutor.errors import AlreadyFinishedError, ExpiredTaskError, UnknownTaskError
from pexecutor.stores import Store, StoreStatistics, Watcher, endings
from pexecutor.stores.local import crashes, recovery, store, submission
from pexecutor.stores.local.crashes import Beside
from pexecutor.stores.local.journal_protocol import NOTHING_BESIDE, BesideRecords
from pexecutor.stores.sqlite.journal import SqliteJournal, _Commit
from pexecutor.task import Rare, wait_again


class GivesATaskTwice(LocalStore):
    async def claim(self, limit: int) -> list[Running]:
        started = await super().claim(limit)
        for task in started:
            self._book.put([Pending(task.serial, task.task, task.submitted_at, task.attempts)])
        await trio.lowlevel.checkpoint()
        return started


class LeaksAName(LocalStore):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._leaked: dict[str, Any] = {}

    async def cancel(self, task_id: str) -> Running | Finished:
        record = await super().get(task_id)
        answer = await super().cancel(task_id)
        if isinstance(answer, Finished):
            self._leaked[answer.task.name] = record
        return answer

    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False, **more: Any) -> list[Verdict]:
        verdicts = await super().submit(
            [task for task in tasks if task.name not in self._leaked], atomic=atomic, **more
        )
        rest = iter(verdicts)
        return [Duplicate(self._leaked[task.name]) if task.name in self._leaked else next(rest) for task in tasks]


class TakesTheSecondOfTwo(LocalStore):
    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False, **more: Any) -> list[Verdict]:
        return list(reversed(await super().submit(list(reversed(tasks)), atomic=atomic, **more)))


class StartsTheLatestFirst(LocalStore):
    async def claim(self, limit: int) -> list[Running]:
        started = await super().claim(1000)
        await super().release(started[:-limit])
        return started[-limit:]


class KnowsNoPriority(LocalStore):
    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False, **more: Any) -> list[Verdict]:
        return await super().submit(
            [msgspec.structs.replace(task, priority=0) for task in tasks], atomic=atomic, **more
        )


class HasOnePlaceMore(LocalStore):
    def __init__(self, *, queue_size: int = 1000, **settings: Any) -> None:
        super().__init__(queue_size=queue_size + 1, **settings)


class TakesAPartOfAnAtomicSubmit(LocalStore):
    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False, **more: Any) -> list[Verdict]:
        return await super().submit(tasks, **more)


class ForgetsHalfOfACancelledSubmit(LocalStore):
    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False, **more: Any) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for task in tasks:
            verdicts += await super().submit([task], atomic=atomic, **more)
            await trio.lowlevel.checkpoint()
        return verdicts


class CountsARelease(LocalStore):
    async def release(self, tasks: Sequence[Running]) -> None:
        await super().finish([(task, Ending(Outcome.FAILED, "released")) for task in tasks])


class NeverTriesAgain(LocalStore):
    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]:
        return await super().finish(
            [(running, msgspec.structs.replace(ending, retryable=False)) for running, ending in ended]
        )


class RetriesAtOnce(LocalStore):
    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]:
        return await super().finish(
            [(running, msgspec.structs.replace(ending, retry_after_seconds=0.0)) for running, ending in ended]
        )


class LosesResults(LocalStore):
    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]:
        return await super().finish(
            [(running, msgspec.structs.replace(ending, result=None)) for running, ending in ended]
        )


class AnswersEndingsInAnotherOrder(LocalStore):
    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]:
        return list(reversed(await super().finish(ended)))


class EndsWhatRuns(LocalStore):
    async def cancel(self, task_id: str) -> Running | Finished:
        answer = await super().cancel(task_id)
        if isinstance(answer, Running):
            await super().finish([(answer, Ending(Outcome.CANCELLED))])
        return answer


class CancelsTwice(LocalStore):
    async def cancel(self, task_id: str) -> Running | Finished:
        try:
            return await super().cancel(task_id)
        except AlreadyFinishedError:
            record = await self.get(task_id)
            assert isinstance(record, Finished)
            return record


class ChangesNoPriority(LocalStore):
    async def change_waiting(self, task_id: str, *, priority: int | None = None, due_at: float | None = None) -> Any:
        record = await self.get(task_id)
        if isinstance(record, Pending | Scheduled):
            priority = None
        return await super().change_waiting(task_id, priority=priority, due_at=due_at)


class ChangesNoTimeOfPendingTasks(LocalStore):
    async def change_waiting(self, task_id: str, *, priority: int | None = None, due_at: float | None = None) -> Any:
        if isinstance(await self.get(task_id), Pending):
            due_at = None
        return await super().change_waiting(task_id, priority=priority, due_at=due_at)


class ChangesNoTimeOfFollowers(LocalStore):
    async def change_waiting(self, task_id: str, *, priority: int | None = None, due_at: float | None = None) -> Any:
        if isinstance(await self.get(task_id), Following):
            due_at = None
        return await super().change_waiting(task_id, priority=priority, due_at=due_at)


class WaitsForThePast(LocalStore):
    """A time that has passed is taken for none."""

    async def change_waiting(self, task_id: str, *, priority: int | None = None, due_at: float | None = None) -> Any:
        if due_at is not None and due_at < 1:
            due_at = None
        return await super().change_waiting(task_id, priority=priority, due_at=due_at)


class CountsRowsInItsCursors(LocalStore):
    async def page(self, request: PageRequest) -> Page:
        first = int((request.cursor or "0").rpartition(".")[2])
        everything = await super().page(msgspec.structs.replace(request, limit=10_000, cursor=None))
        records = everything.records[first : first + request.limit]
        more = first + request.limit < len(everything.records)
        return Page(records, f"{request.state}.0.{first + request.limit}" if more else None)


class KeepsEverything(LocalStore):
    def __init__(self, *, history_records_max: int = 0, history_seconds_max: float = 0, **settings: Any) -> None:
        super().__init__(**settings)


class TellsNobodyWhoWaits(LocalStore):
    async def wait(self, task_id: str) -> Finished:
        record = await self.get(task_id)
        if not isinstance(record, Finished):
            await trio.sleep_forever()
        return record


class WakesNobody(LocalStore):
    async def claim(self, limit: int) -> list[Running]:
        if not self.statistics().pending:
            await trio.sleep_forever()
        return await super().claim(limit)


class StartsBeforeItIsDue(LocalStore):
    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False, **more: Any) -> list[Verdict]:
        hasty = [msgspec.structs.replace(task, delay=task.delay // 10) for task in tasks]
        return await super().submit(hasty, atomic=atomic, **more)


class TellsNoChanges(LocalStore):
    def watch(self, watcher: Watcher) -> None:
        super().watch(Watcher())


class TellsBackwards(LocalStore):
    def watch(self, watcher: Watcher) -> None:
        self._told: list[Record] = []
        super().watch(Watcher(changed=lambda records: self._told.extend(reversed(records))))
        self._watcher = watcher

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with super().opened():
            yield
        for record in getattr(self, "_told", []):
            self._watcher.changed(record)


class CountsWrongly(LocalStore):
    def statistics(self) -> StoreStatistics:
        return msgspec.structs.replace(super().statistics(), pending=0)


class MakesTwoFollowers(LocalStore):
    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False, **more: Any) -> list[Verdict]:
        return await super().submit([_more_eager(task) for task in tasks], atomic=atomic, **more)


def _more_eager(task: Task) -> Task:
    return msgspec.structs.replace(task, on_conflict="supersede") if task.on_conflict == "latest" else task


class JoinsNobody(LocalStore):
    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False, **more: Any) -> list[Verdict]:
        rejecting = [
            msgspec.structs.replace(task, on_conflict="reject") if task.on_conflict == "join" else task
            for task in tasks
        ]
        return await super().submit(rejecting, atomic=atomic, **more)


class NamesNobodyToStop(LocalStore):
    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False, **more: Any) -> list[Verdict]:
        verdicts = await super().submit(tasks, atomic=atomic, **more)
        return [Accepted(verdict.record) if isinstance(verdict, Accepted) else verdict for verdict in verdicts]


class DecidesBeforeItIsItsTurn(LocalStore):
    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False, **more: Any) -> list[Verdict]:
        held = {record.task.name for record in (await self.page(PageRequest())).records}
        await trio.sleep(0.01)
        verdicts = await super().submit(tasks, atomic=atomic, **more)
        return [
            Accepted(verdict.holder) if isinstance(verdict, Duplicate) and task.name not in held else verdict
            for task, verdict in zip(tasks, verdicts, strict=True)
        ]


class SupersedesNobody(LocalStore):
    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False, **more: Any) -> list[Verdict]:
        return await super().submit([_less_eager(task) for task in tasks], atomic=atomic, **more)


def _less_eager(task: Task) -> Task:
    return msgspec.structs.replace(task, on_conflict="latest") if task.on_conflict == "supersede" else task


class TriesAgainInVain(LocalStore):
    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]:
        return await super().finish(
            [(running, msgspec.structs.replace(ending, retryable=True)) for running, ending in ended]
        )


class LosesOneBetweenPages(LocalStore):
    async def page(self, request: PageRequest) -> Page:
        page = await super().page(msgspec.structs.replace(request, limit=request.limit + 1))
        return Page(page.records[: request.limit], page.next_cursor)


class RemembersWhatNeverWas(LocalStore):
    async def get(self, task_id: str) -> Record:
        try:
            return await super().get(task_id)
        except UnknownTaskError as error:
            raise ExpiredTaskError(task_id) from error


BROKEN: dict[type[LocalStore], str] = {
    GivesATaskTwice: "no_task_is_claimed_twice",
    LeaksAName: "cancel_what_waits",
    TakesTheSecondOfTwo: "first_of_two_equal_names",
    StartsTheLatestFirst: "acceptance_order",
    KnowsNoPriority: "priority_order",
    HasOnePlaceMore: "never_more_than_the_bound",
    TakesAPartOfAnAtomicSubmit: "atomic_is_all_or_nothing",
    ForgetsHalfOfACancelledSubmit: "cancelled_submit_is_whole",
    CountsARelease: "released",
    NeverTriesAgain: "retries",
    RetriesAtOnce: "retries_wait",
    LosesResults: "outcome_is_recorded",
    AnswersEndingsInAnotherOrder: "many_endings_in_one_step",
    EndsWhatRuns: "cancel_what_runs",
    CancelsTwice: "nothing_to_cancel",
    ChangesNoPriority: "new_priority",
    ChangesNoTimeOfPendingTasks: "new_time_to_come",
    ChangesNoTimeOfFollowers: "new_time_of_a_follower",
    WaitsForThePast: "new_time_that_has_passed",
    CountsRowsInItsCursors: "pages_do_not_shift",
    KeepsEverything: "history_by_age",
    TellsNobodyWhoWaits: "waiting_for_an_outcome",
    WakesNobody: "claims_wait",
    StartsBeforeItIsDue: "due_and_not_before",
    TellsNoChanges: "changes_are_told",
    TellsBackwards: "changes_are_told",
    CountsWrongly: "listing_order",
    MakesTwoFollowers: "latest_on_one_that_runs",
    JoinsNobody: "join",
    NamesNobodyToStop: "supersede_one_that_runs",
    DecidesBeforeItIsItsTurn: "one_of_many_submits",
    SupersedesNobody: "supersede_one_that_waits",
    TriesAgainInVain: "not_retried",
    LosesOneBetweenPages: "pages_make_a_listing",
    RemembersWhatNeverWas: "unknown_ids",
}
"""What tells each of them."""


class AnswersBeforeItIsWritten(SqliteJournal):
    async def commit(self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE) -> None:
        await trio.lowlevel.checkpoint()
        self._line.append(_Commit(changes, acceptances, beside))  # and nobody wakes the writer before the end


class ForgetsEndings(SqliteJournal):
    async def commit(self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE) -> None:
        await super().commit([record for record in changes if not isinstance(record, Finished)], acceptances, beside)


class ForgetsWhoFollows(SqliteJournal):
    async def commit(self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE) -> None:
        await super().commit([record for record in changes if not isinstance(record, Following)], acceptances, beside)


class NumbersTasksAnew(SqliteJournal):
    async def commit(self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE) -> None:
        await super().commit(changes, 0, beside)


class RunsEverythingAgain(SqliteJournal):
    async def commit(self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE) -> None:
        await super().commit([_to_be_rerun(record) for record in changes], acceptances, beside)


def _to_be_rerun(record: Record) -> Record:
    return msgspec.structs.replace(record, task=msgspec.structs.replace(record.task, on_crash="rerun"))


class LosesWhatRuns(SqliteJournal):
    async def commit(self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE) -> None:
        for record in changes:
            if isinstance(record, Running):
                self.forget([record.serial])
        await super().commit(changes, acceptances, beside)


BROKEN_JOURNALS: dict[type[SqliteJournal], str] = {
    AnswersBeforeItIsWritten: "what_waits_waits_again",
    ForgetsEndings: "outcomes_are_kept",
    ForgetsWhoFollows: "followers_follow_again",
    NumbersTasksAnew: "ids_are_not_given_twice",
    RunsEverythingAgain: "what_ran_is_abandoned",
    LosesWhatRuns: "what_ran_runs_again",
}


def count_no_crash(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "with_crash", lambda record: record)


def count_crashes_anew_with_each_retry(patch: pytest.MonkeyPatch) -> None:
    def make(*fields: Any, rare: Rare | None) -> Scheduled:
        return Scheduled(*fields) if rare is None else Scheduled(*fields, rare=Rare())

    patch.setattr(submission, "Scheduled", make)


def count_a_release(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(store, "wait_again", lambda record: wait_again(crashes.with_crash(record)))


def abandon_without_a_reason(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "abandoned_after", lambda _: endings.ABANDONED)


def abandon_one_crash_later(patch: pytest.MonkeyPatch) -> None:
    recover = recovery._recover
    patch.setattr(
        recovery, "_recover", lambda book, record, now, crashes_max: recover(book, record, now, crashes_max + 1)
    )


def try_all_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Beside, "lets_start", lambda *_: True)


def try_each_alone(patch: pytest.MonkeyPatch) -> None:
    def lets_start(self: Beside, _: Pending) -> bool:
        one_runs, self._one_runs = self._one_runs, True
        return not one_runs

    patch.setattr(Beside, "lets_start", lets_start)


def try_beside_fewer_crashes(patch: pytest.MonkeyPatch) -> None:
    class BesideTrials(Beside):
        def __init__(self, running: Iterable[Record], crashes_max: int) -> None:
            super().__init__([record for record in running if record.crashes >= crashes_max - 1], crashes_max)

        def lets_start(self, record: Pending) -> bool:
            return record.crashes < self._crashes_max - 1 or super().lets_start(record)

    patch.setattr(crashes, "Beside", BesideTrials)


BROKEN_CRASHES: dict[Callable[[pytest.MonkeyPatch], None], str] = {
    count_no_crash: "crashes_are_counted",
    count_crashes_anew_with_each_retry: "crashes_are_counted",
    count_a_release: "crashes_are_counted",
    abandon_without_a_reason: "too_many_crashes",
    abandon_one_crash_later: "too_many_crashes",
    try_all_at_once: "tried_one_at_a_time",
    try_each_alone: "tried_one_at_a_time",
    try_beside_fewer_crashes: "tried_apart_from_others_with_a_crash",
}
"""Bugs in a store that keeps its tasks in a file."""


class SharedByPretence(MemorySubject):
    """Says that its stores are nodes of one queue, and every one is for itself."""

    lacks: Mapping[Need, str] = {}


class SharedWithoutLeases(MemorySubject):
    """One store for all nodes, which knows none of them."""

    lacks: Mapping[Need, str] = {}

    def place(self) -> Place:
        return _OneStore(self._make)


class _OneStore:
    def __init__(self, make: Callable[..., Store]) -> None:
        self._make = make
        self._store: Store | None = None

    @asynccontextmanager
    async def open(self, **settings: Any) -> AsyncIterator[Store]:
        await trio.lowlevel.checkpoint()
        if self._store is None:
            self._store = self._make(**settings)
        yield self._store

    async def cut(self, store: Store) -> None:
        await trio.lowlevel.checkpoint()

    mend = cut
