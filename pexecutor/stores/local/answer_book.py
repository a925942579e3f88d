"""``AnswerBook``: the remembered answers of a local store, bounded for each kind of request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from ..answers import Answer, AnswerBounds, KeyedAnswer, RequestKey, RequestKind, answer_bytes


class AnswerBook:
    """Answers by the key of their request, each kind from the oldest to the latest.

    Parameters:
        bounds: the bounds of each kind.
        forget: called with the keys of answers that are no longer remembered.
    """

    def __init__(self, bounds: AnswerBounds, forget: Callable[[Iterable[RequestKey]], None]) -> None:
        self._bounds = bounds
        self._forget = forget
        # Changed by put() and _drop_oldest() alone.
        self._answers = {kind: OrderedDict[RequestKey, Answer]() for kind in RequestKind}
        self._bytes = dict.fromkeys(RequestKind, 0)

    def __len__(self) -> int:
        return sum(map(len, self._answers.values()))

    def get(self, key: RequestKey, now: float) -> Answer | None:
        """Return the answer for a key, or ``None`` if there is none or it is too old."""
        answer = self._answers[key.kind].get(key)
        return None if answer is None or self._is_too_old(answer, now) else answer

    def find(self, key: RequestKey) -> Answer | None:
        """Return the answer for a key, also if it is too old, or ``None``."""
        return self._answers[key.kind].get(key)

    def put(self, key: RequestKey, answer: Answer, now: float) -> None:
        """Remember an answer as the latest; forget the oldest ones that are out of bounds."""
        answers = self._answers[key.kind]
        replaced = answers.pop(key, None)
        if replaced is not None:
            self._bytes[key.kind] -= answer_bytes(key, replaced)
        answers[key] = answer
        self._bytes[key.kind] += answer_bytes(key, answer)
        self.trim(key.kind, now)

    def trim(self, kind: RequestKind, now: float) -> None:
        """Forget the oldest answers that are out of bounds; the latest stays unless it is too old."""
        gone: list[RequestKey] = []
        while (answers := self._answers[kind]) and self._is_out_of_bounds(kind, next(iter(answers.values())), now):
            key, answer = answers.popitem(last=False)
            self._bytes[kind] -= answer_bytes(key, answer)
            gone.append(key)
        if gone:
            self._forget(gone)

    def load(self, answers: Iterable[KeyedAnswer], now: float) -> None:
        """Put the answers of an earlier process, the oldest first, into an empty book."""
        for key, answer in answers:
            self._answers[key.kind][key] = answer
            self._bytes[key.kind] += answer_bytes(key, answer)
        for kind in RequestKind:
            self.trim(kind, now)

    def _is_out_of_bounds(self, kind: RequestKind, oldest: Answer, now: float) -> bool:
        count = len(self._answers[kind])
        too_much = count > self._bounds.answers_max or self._bytes[kind] > self._bounds.bytes_max
        return (too_much and count > 1) or self._is_too_old(oldest, now)

    def _is_too_old(self, answer: Answer, now: float) -> bool:
        return now - answer.at >= self._bounds.seconds_max
