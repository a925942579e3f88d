"""``Requests``: the requests with a key of one seed, what their callers were told, and what has to follow from it.

A key is told once that tasks are accepted, and each repetition gets the same answer, whatever happens in between. The
tasks of a request and its answer are in the store together, or neither.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import count
from random import Random
from typing import Final, NamedTuple

from pexecutor.stores.answers import ANSWER_BOUNDS, Answer, RequestKey, RequestKind

from .ledger import demand

FIRST_SEED: Final = 8

REPEATED: Final = 0.6
"""How many of the requests are repetitions."""

LATEST: Final = 6
"""How many of the latest requests are repeated."""


class Told(NamedTuple):
    """What the caller of a request was told: the numbers of its answer, and when it had begun."""

    begun_at: float
    numbers: list[int]


class Requests:
    """The requests of one seed.

    Parameters:
        seed: the seed; one in ten has such requests, so that the other seeds are what they would be without.
        now: the clock of the store.
    """

    def __init__(self, seed: int, now: Callable[[], float]) -> None:
        self.are_made = seed % 10 == FIRST_SEED
        self.now = now
        self.told: dict[RequestKey, Told] = {}
        self._forgot_at = 0.0
        self._used: list[RequestKey] = []
        self._names = count(1)
        # By the mark of a submitted task: the request that it belongs to, and when that had begun.
        self._marks: dict[int, tuple[RequestKey, float]] = {}

    def draw(self, chance: Random) -> RequestKey:
        """Return the key of a new request, or of one that is repeated."""
        if self._used and chance.random() < REPEATED:
            return chance.choice(self._used[-LATEST:])
        self._used.append(RequestKey(chance.choice(list(RequestKind)), "world", str(next(self._names))))
        return self._used[-1]

    def begin(self, key: RequestKey, marks: Iterable[int]) -> float:
        """Note that a request with these tasks begins; return the time."""
        now = self.now()
        self._marks |= dict.fromkeys(marks, (key, now))
        return now

    def tell_accepted(self, key: RequestKey, begun_at: float, numbers: list[int]) -> None:
        """A caller was told that tasks of a request are accepted."""
        if begun_at < self._forgot_at:
            return  # the reply was under way when the server forgot what it had not written
        known = self.told.get(key)
        demand(known is None or self._may_be_over(known.begun_at), "a request is accepted once", key, known, numbers)
        self.told[key] = Told(begun_at, numbers)

    def tell_answer(self, key: RequestKey, answer: Answer) -> None:
        """A caller was told the remembered answer of a request."""
        numbers, known = list(answer.numbers()), self.told.get(key)
        demand(any(number > 0 for number in numbers), "what accepts nothing is not remembered", key, numbers)
        same = known is None or known.numbers == numbers or self._may_be_over(known.begun_at)
        demand(same, "a repetition gets the first answer", key, known, numbers)
        demand(not self._is_over(answer.at), "an answer is forgotten in time", key, answer)

    def forgive(self, left: Collection[RequestKey]) -> None:
        """The server has forgotten what it had not written: only these answers are left."""
        self._forgot_at = self.now()
        self.told = {key: told for key, told in self.told.items() if key in left}

    def look(
        self,
        answers: Mapping[RequestKey, Answer],
        marks: Mapping[int, object],
        is_known: Callable[[int], bool],
    ) -> None:
        """Compare the remembered answers with the tasks.

        Parameters:
            answers: the answers in the store.
            marks: the tasks in the store by their marks.
            is_known: whether the store has a task with this serial, or has had one.
        """
        for key, told in self.told.items():
            there = key in answers or self._may_be_over(told.begun_at)
            demand(there, "what was told of a request is remembered", key, told)
        for mark in marks.keys() & self._marks.keys():
            key, begun_at = self._marks[mark]
            there = key in answers or self._may_be_over(begun_at)
            demand(there, "no task of a request without its answer", key, marks[mark])
        for key, answer in answers.items():
            missing = [number for number in answer.numbers() if number > 0 and not is_known(number)]
            demand(not missing, "no answer to a request without its tasks", key, missing)

    def _may_be_over(self, begun_at: float) -> bool:
        """Whether an answer of a request that began then may be forgotten."""
        return self.now() - begun_at >= ANSWER_BOUNDS.seconds_max

    def _is_over(self, at: float) -> bool:
        return self.now() - at >= ANSWER_BOUNDS.seconds_max + 60
