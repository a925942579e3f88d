"""``Requests``: submits whose requests have a key, so that a repeated request submits nothing a second time."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ..stores import Store
from ..stores.answers import Answer, RequestKey
from ..task import DRAINING, Accepted, Full, Task, Verdict
from .submits import TaskSubmits


class Requests:
    """The submits with a key of one executor.

    Parameters:
        store: the store that keeps the tasks and remembers the answers.
        submits: the submits without a key, which share the checks, the counts and the room.
    """

    def __init__(self, store: Store, submits: TaskSubmits) -> None:
        self._store = store
        self._submits = submits

    async def submit(
        self,
        key: RequestKey,
        digest: bytes,
        tasks: Sequence[Task],
        *,
        atomic: bool = False,
        wait_for_room_seconds: float = 0.0,
    ) -> list[Verdict] | Answer:
        """Submit the tasks of a request, or return the answer that the store remembers for its key.

        A remembered answer is returned also during a drain, and also if a handler is no longer known. Once a task is
        accepted, the call does not wait for room, because tasks that are accepted later would not be in the answer.

        Parameters:
            key: the key of the request.
            digest: a digest of the request, which the answer keeps; at most 64 bytes. The caller compares it.
            tasks: the tasks.
            atomic: whether all tasks that need a place get one, or no task is accepted.
            wait_for_room_seconds: how long to wait for room while no task is accepted.

        Raises:
            InvalidTaskError: a handler is unknown or refuses its task, and no answer is remembered.
            StoreUnavailableError: the tasks could not be made durable.
        """
        deadline = trio.current_time() + wait_for_room_seconds
        while True:
            verdicts = await self._submit_once(key, digest, tasks, atomic)
            if isinstance(verdicts, Answer):
                return verdicts
            full = [task.name for task, verdict in zip(tasks, verdicts, strict=True) if isinstance(verdict, Full)]
            if not full or any(isinstance(verdict, Accepted) for verdict in verdicts):
                break
            if not await self._submits.room.wait(len(set(full)) if atomic else 1, len(full), deadline):
                break
        self._submits.settle(tasks, verdicts)
        return verdicts

    async def _submit_once(
        self, key: RequestKey, digest: bytes, tasks: Sequence[Task], atomic: bool
    ) -> list[Verdict] | Answer:
        if not self._submits.is_serving() or any(self._submits.fault(task) for task in tasks):
            if (answer := await self._store.answers.remembered(key)) is not None:
                return answer
            self._submits.check(tasks)
            return [DRAINING] * len(tasks)
        with self._submits.submitting(tasks):
            return await self._store.answers.submit(key, digest, tasks, atomic=atomic)
