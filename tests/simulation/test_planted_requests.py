"""Bugs in the memory of requests with a key, planted one at a time: the simulation finds each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pytest

from pexecutor import Record
from pexecutor.stores.answers import KeyedAnswer, RequestKey, answer_of, to_number
from pexecutor.stores.local.answers import LocalAnswers
from pexecutor.stores.local.journal_protocol import NOTHING_BESIDE, BesideRecords
from pexecutor.stores.local.submission import Submission
from pexecutor.stores.sqlite.journal import SqliteJournal, _Commit

from .ledger import BrokenInvariantError
from .requests import FIRST_SEED
from .world import World

SEEDS_MAX: Final = 1000

Plant = Callable[[pytest.MonkeyPatch], None]


def write_the_tasks_before_the_answer(patch: pytest.MonkeyPatch) -> None:
    commit = SqliteJournal.commit

    async def commit_in_two(
        self: SqliteJournal, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE
    ) -> Mapping[int, Record] | None:
        replaced = await commit(self, changes, acceptances, beside._replace(answers=()))
        if beside.answers:
            await commit(self, [], acceptances, BesideRecords(answers=beside.answers))
        return replaced

    patch.setattr(SqliteJournal, "commit", commit_in_two)


def write_the_answer_before_the_tasks(patch: pytest.MonkeyPatch) -> None:
    commit = SqliteJournal.commit

    async def commit_in_two(
        self: SqliteJournal, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE
    ) -> Mapping[int, Record] | None:
        if beside.answers:
            await commit(self, [], acceptances, BesideRecords(answers=beside.answers))
        return await commit(self, changes, acceptances, beside._replace(answers=()))

    patch.setattr(SqliteJournal, "commit", commit_in_two)


def remember_what_was_refused(patch: pytest.MonkeyPatch) -> None:
    async def take(self: LocalAnswers, key: RequestKey, digest: bytes, submission: Submission) -> None:
        answer = answer_of(digest, self._now(), map(to_number, submission.verdicts))
        await self._complete(
            submission.changes,
            known_with_it=submission.superseded_running,
            beside=BesideRecords(answers=[KeyedAnswer(key, answer)]),
        )
        self._book.put(key, answer, self._now())

    patch.setattr(LocalAnswers, "_take", take)


def leave_an_answer_in_doubt(patch: pytest.MonkeyPatch) -> None:
    doubt = SqliteJournal._doubt

    def doubt_the_rest_alone(self: SqliteJournal, commit: _Commit) -> None:
        doubt(self, _Commit(commit.changes, commit.acceptances, commit.beside._replace(answers=())))

    patch.setattr(SqliteJournal, "_doubt", doubt_the_rest_alone)


def forget_at_each_start(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalAnswers, "load", lambda *_: None)


PLANTED: Final[dict[Plant, str]] = {
    write_the_tasks_before_the_answer: "no task of a request without its answer",
    write_the_answer_before_the_tasks: "no answer to a request without its tasks",
    remember_what_was_refused: "what accepts nothing is not remembered",
    leave_an_answer_in_doubt: "no answer to a request without its tasks",
    forget_at_each_start: "what was told of a request is remembered|a request is accepted once|without its answer",
}
"""Each with the promise that it breaks."""

SEEDS_THAT_FIND: Final[dict[Plant, int]] = {
    write_the_tasks_before_the_answer: 118,
    write_the_answer_before_the_tasks: 298,
    leave_an_answer_in_doubt: 1618,
}
"""For bugs that few seeds find. When other seeds do, after a change of the simulation, enter one of those."""


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(BrokenInvariantError, match=PLANTED[plant]):
        _run_seeds(SEEDS_THAT_FIND.get(plant, FIRST_SEED))


def _run_seeds(first: int) -> None:
    for seed in (first, *range(FIRST_SEED, SEEDS_MAX, 10)):
        World(seed).run()
