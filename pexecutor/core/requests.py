"""``Requests``: submits whose requests have a key, so that a repeated request submits nothing a second time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..handlers import Complaint
from ..stores import Store
from ..stores.answers import Answer, RequestKey
from ..task import DRAINING, Task, Verdict


class Requests:
    """The submits with a key of one executor.

    Parameters:
        store: the store that keeps the tasks and remembers the answers.
        is_serving: returns whether the executor accepts tasks.
        fault: returns why the handler of a task would refuse it, or ``None``.
        check: raises ``InvalidTaskError`` if a handler is unknown or would refuse its task.
        settle: called with the tasks that the store decided about and their verdicts.
    """

    def __init__(
        self,
        store: Store,
        *,
        is_serving: Callable[[], bool],
        fault: Callable[[Task], Complaint | None],
        check: Callable[[Sequence[Task]], None],
        settle: Callable[[Sequence[Task], Sequence[Verdict]], None],
    ) -> None:
        self._store = store
        self._is_serving = is_serving
        self._fault = fault
        self._check = check
        self._settle = settle

    async def submit(
        self, key: RequestKey, digest: bytes, tasks: Sequence[Task], *, atomic: bool = False
    ) -> list[Verdict] | Answer:
        """Submit the tasks of a request, or return the answer that the store remembers for its key.

        A remembered answer is returned also during a drain, and also if a handler is no longer known. The call does not
        wait for room, because tasks that are accepted later would not be in the answer.

        Parameters:
            key: the key of the request.
            digest: a digest of the request, which the answer keeps; at most 64 bytes. The caller compares it.
            tasks: the tasks.
            atomic: whether all tasks that need a place get one, or no task is accepted.

        Raises:
            InvalidTaskError: a handler is unknown or refuses its task, and no answer is remembered.
            StoreUnavailableError: the tasks could not be made durable.
        """
        if not self._is_serving() or any(self._fault(task) for task in tasks):
            if (answer := await self._store.answers.remembered(key)) is not None:
                return answer
            self._check(tasks)
            return [DRAINING] * len(tasks)
        verdicts = await self._store.answers.submit(key, digest, tasks, atomic=atomic)
        if not isinstance(verdicts, Answer):
            self._settle(tasks, verdicts)
        return verdicts
