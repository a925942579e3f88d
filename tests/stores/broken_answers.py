"""Bugs in a store that remembers the answers to requests, as one might make them by mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pytest

from pexecutor import Record, Task, Verdict
from pexecutor.stores.answers import Answer, AnswerBounds, KeyedAnswer, RequestKey, RequestKind, answer_of, to_number
from pexecutor.stores.local import answer_book, answers
from pexecutor.stores.local.answer_book import AnswerBook
from pexecutor.stores.local.answers import LocalAnswers
from pexecutor.stores.local.journal_protocol import NOTHING_BESIDE, BesideRecords
from pexecutor.stores.local.shard_locks import ShardLocks, ShardsTaken
from pexecutor.stores.local.submission import Submission
from pexecutor.stores.sqlite.journal import SqliteJournal

Plant = Callable[[pytest.MonkeyPatch], None]


def remember_a_key_before_its_tasks(patch: pytest.MonkeyPatch) -> None:
    submit = LocalAnswers.submit

    async def submit_in_two_steps(
        self: LocalAnswers, key: RequestKey, digest: bytes, tasks: Sequence[Task], *, atomic: bool = False
    ) -> list[Verdict] | Answer:
        if (answer := self._book.get(key, self._now())) is not None:
            return answer
        now = self._now()
        answer = answer_of(digest, now, [1] * len(tasks))
        await self._complete((), beside=BesideRecords(answers=[KeyedAnswer(key, answer)]))
        self._book.put(key, answer, now)
        return await submit(self, RequestKey(key.kind, key.scope, f"{key.key}, in fact"), digest, tasks, atomic=atomic)

    patch.setattr(LocalAnswers, "submit", submit_in_two_steps)


def remember_a_key_after_its_tasks(patch: pytest.MonkeyPatch) -> None:
    commit = SqliteJournal.commit

    async def commit_without_answer(
        self: SqliteJournal, changes: Sequence[Record], acceptances: int, _: BesideRecords = NOTHING_BESIDE
    ) -> Mapping[int, Record] | None:
        return await commit(self, changes, acceptances)

    patch.setattr(SqliteJournal, "commit", commit_without_answer)


def write_a_key_without_its_tasks(patch: pytest.MonkeyPatch) -> None:
    commit = SqliteJournal.commit

    async def commit_answer_alone(
        self: SqliteJournal, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE
    ) -> Mapping[int, Record] | None:
        return await commit(self, changes if not beside.answers else [], acceptances, beside)

    patch.setattr(SqliteJournal, "commit", commit_answer_alone)


def remember_what_was_refused(patch: pytest.MonkeyPatch) -> None:
    async def take(self: LocalAnswers, key: RequestKey, digest: bytes, submission: Submission) -> None:
        answer = answer_of(digest, self._now(), map(to_number, submission.verdicts))
        await self._complete(submission.changes, beside=BesideRecords(answers=[KeyedAnswer(key, answer)]))
        self._book.put(key, answer, self._now())

    patch.setattr(LocalAnswers, "_take", take)


def remember_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AnswerBook, "get", lambda *_: None)


def remember_forever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AnswerBook, "_is_too_old", lambda *_: False)


def remember_any_number(patch: pytest.MonkeyPatch) -> None:
    trim = AnswerBook.trim

    def trim_by_age(self: AnswerBook, kind: RequestKind, now: float) -> None:
        self._bounds = AnswerBounds(1_000_000, 1_000_000_000, self._bounds.seconds_max)
        trim(self, kind, now)

    patch.setattr(AnswerBook, "trim", trim_by_age)


def count_no_bytes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(answer_book, "answer_bytes", lambda *_: 0)


def mix_up_the_kinds(patch: pytest.MonkeyPatch) -> None:
    get = AnswerBook.get
    patch.setattr(
        AnswerBook,
        "get",
        lambda self, key, now: next(
            filter(None, (get(self, RequestKey(kind, key.scope, key.key), now) for kind in RequestKind)), None
        ),
    )


def remember_no_duplicates(patch: pytest.MonkeyPatch) -> None:
    def accepted(digest: bytes, at: float, numbers: Iterable[int]) -> Answer:
        return answer_of(digest, at, [max(0, number) for number in numbers])

    patch.setattr(answers, "answer_of", accepted)


def let_two_decide_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalAnswers, "_locked", lambda *_: ShardsTaken(ShardLocks(), 1))


BROKEN_ANSWERS: dict[Plant, str] = {
    remember_a_key_before_its_tasks: "cancelled_request_is_whole",
    remember_a_key_after_its_tasks: "answers_are_kept",
    write_a_key_without_its_tasks: "answers_are_kept",
    remember_what_was_refused: "refused_request",
    remember_nothing: "repeated_request",
    remember_forever: "answers_by_age",
    remember_any_number: "answers_by_count",
    count_no_bytes: "answers_by_bytes",
    mix_up_the_kinds: "keys_differ",
    remember_no_duplicates: "remembered_verdicts",
    let_two_decide_at_once: "one_of_many_requests",
}
"""Each with the guarantee that finds it, in a store that keeps its tasks in a file."""
