"""``LocalAnswers``: the submits with a key of a local store, and the answers that it remembers for them.

Such a submit takes the lock of its key first, then the locks of the tasks' names. So a repetition that arrives while
the first submit is being written waits for it, and finds its answer. The answer is made durable in one step with the
tasks, and put into the book at the same instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from zlib import crc32

import trio

from ...task import Accepted, Task, Verdict
from ..answers import Answer, AnswerBounds, KeyedAnswer, RequestKey, answer_of, to_number
from .answer_book import AnswerBook
from .capacity import Room
from .journal_protocol import BesideRecords, Complete
from .registry import ShardedLockDict
from .shard_locks import KEY_SHARDS, ShardLocks, ShardsTaken
from .submission import Submission


class LocalAnswers:
    """Remembered answers in the memory of one process (see ``pexecutor.stores``).

    Parameters:
        bounds: how many answers are remembered, and for how long.
        registry: the locks of the names of tasks.
        forget: called with the keys of answers that are no longer remembered.
        begin: begins to decide about a submit.
        complete: completes a decided step.
        room: the bound of the queue.
        now: the wall clock, in seconds since 1970.
    """

    def __init__(
        self,
        bounds: AnswerBounds,
        registry: ShardedLockDict[int],
        *,
        forget: Callable[[Iterable[RequestKey]], None],
        begin: Callable[[], Submission],
        complete: Complete,
        room: Room,
        now: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._begin = begin
        self._complete = complete
        self._room = room
        self._now = now
        self._locks = ShardLocks()
        self._book = AnswerBook(bounds, forget)

    def __len__(self) -> int:
        return len(self._book)

    def load(self, answers: Iterable[KeyedAnswer]) -> None:
        """Put the answers of an earlier process, the oldest first, into an empty book."""
        self._book.load(answers, self._now())

    def find(self, key: RequestKey) -> Answer | None:
        """Return the answer for a key, also if it is too old, or ``None``."""
        return self._book.find(key)

    async def remembered(self, key: RequestKey) -> Answer | None:
        """Return the remembered answer for a key, or ``None``."""
        await trio.lowlevel.checkpoint()
        return self._book.get(key, self._now())

    async def submit(
        self, key: RequestKey, digest: bytes, tasks: Sequence[Task], *, atomic: bool = False
    ) -> list[Verdict] | Answer:
        """Decide about the tasks in one step and remember the answer, or return the remembered one."""
        async with self._locked(key):
            if (answer := self._book.get(key, self._now())) is not None:
                return answer
            try:
                async with self._registry.locked([task.name for task in tasks]):
                    submission = self._begin()
                    submission.decide(tasks, atomic=atomic)
                    with self._room.reserved(max(0, submission.places)):
                        await self._take(key, digest, submission)
                    return submission.verdicts
            finally:
                self._room.offer()

    async def _take(self, key: RequestKey, digest: bytes, submission: Submission) -> None:
        if not any(isinstance(verdict, Accepted) for verdict in submission.verdicts):
            return  # a submit that accepts nothing changes nothing, and is decided anew when it is repeated
        now = self._now()
        answer = answer_of(digest, now, map(to_number, submission.verdicts))
        await self._complete(
            submission.changes,
            known_with_it=submission.superseded_running,
            beside=BesideRecords(answers=[KeyedAnswer(key, answer)]),
        )
        self._book.put(key, answer, now)

    def _locked(self, key: RequestKey) -> ShardsTaken:
        """Return an async context in which only the caller submits with this key."""
        text = f"{key.kind} {key.scope} {key.key}"
        return self._locks.locked(1 << crc32(text.encode()) % KEY_SHARDS)
