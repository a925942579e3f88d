"""``TaskSubmits``: submits tasks to the store of an executor, waits for room, and counts the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import trio

from ..errors import FieldError, InvalidTaskError, StoreUnavailableError
from ..handlers import Complaint
from ..stores import Store
from ..task import DRAINING, Accepted, Full, Task, Verdict
from .room_waiters import RoomWaiters
from .settings import CurrentSettings
from .statistics import Tally


class TaskSubmits:
    """The submits of one executor.

    Parameters:
        store: the store that decides about tasks.
        settings: the owner of the handlers, which may refuse tasks.
        tally: counts the verdicts.
        is_serving: returns whether the executor accepts tasks.
        superseded: called with the serial of a running task that an accepted one supersedes.
    """

    def __init__(
        self,
        store: Store,
        settings: CurrentSettings,
        tally: Tally,
        is_serving: Callable[[], bool],
        superseded: Callable[[int], None],
    ) -> None:
        self.room: RoomWaiters = RoomWaiters(store, is_serving)
        self.is_serving: Callable[[], bool] = is_serving
        self._store = store
        self._settings = settings
        # The tasks of the submits that have not returned. Only submitting() changes it.
        self._under_way: dict[object, Sequence[Task]] = {}
        self._tally = tally
        self._superseded = superseded

    def fault(self, task: Task) -> Complaint | None:
        """Return why a task's handler would refuse the task, or ``None``."""
        return self._settings.handlers.check(task)

    def fill(self, task: Task, given: Container[str]) -> Task:
        """Return a task with the defaults of its handler, except for the fields that were given."""
        return self._settings.handlers.fill(task, given)

    async def submit(
        self,
        tasks: Sequence[Task],
        *,
        atomic: bool = False,
        wait_for_room_seconds: float = 0.0,
        retry_of: Sequence[int] = (),
    ) -> list[Verdict]:
        """Submit tasks; see ``Executor.submit``. ``retry_of`` has the serials of the tasks that they repeat, if any."""
        self.check(tasks)
        with self.submitting(tasks):
            return await self._submit(tasks, atomic, trio.current_time() + wait_for_room_seconds, retry_of)

    async def _submit(
        self, tasks: Sequence[Task], atomic: bool, deadline: float, retry_of: Sequence[int]
    ) -> list[Verdict]:
        """Submit tasks, and those for which there is no room again until the deadline."""
        verdicts = await self._submit_once(tasks, atomic, retry_of)
        if set(map(type, verdicts)) == {Accepted}:
            return verdicts
        refused = [index for index, verdict in enumerate(verdicts) if isinstance(verdict, Full)]
        while refused:
            least = len({tasks[index].name for index in refused}) if atomic else 1
            places = await self.room.wait(least, len(refused), deadline)
            if not places:
                break
            retried, left = (refused, []) if atomic else (refused[:places], refused[places:])
            serials = [retry_of[index] for index in retried] if retry_of else ()
            try:
                again = await self._submit_once([tasks[index] for index in retried], atomic, serials)
            except StoreUnavailableError:
                if any(isinstance(verdict, Accepted) for verdict in verdicts):
                    break  # an exception would hide from the caller that some tasks were accepted
                raise
            for index, verdict in zip(retried, again, strict=True):
                verdicts[index] = verdict
            refused = [index for index in retried if isinstance(verdicts[index], Full)] + left
        self._tally.count_refused(tasks, verdicts)
        return verdicts

    def submit_nowait(self, tasks: Sequence[Task]) -> list[Verdict] | None:
        """Submit tasks without waiting; see ``Executor.submit_nowait``."""
        self.check(tasks)
        verdicts = self._store.submit_nowait(tasks) if self.is_serving() else None
        if verdicts is not None:
            self._tally.count_taken(tasks, verdicts)
        return verdicts

    async def submit_again(self, tasks: Sequence[Task], retry_of: Sequence[int]) -> list[Verdict | None]:
        """Submit tasks that repeat finished ones. The verdict on a task that its handler refuses by now is ``None``."""
        fit = [index for index, task in enumerate(tasks) if self.fault(task) is None]
        taken = await self.submit([tasks[index] for index in fit], retry_of=[retry_of[index] for index in fit])
        verdicts: list[Verdict | None] = [None] * len(tasks)
        for index, verdict in zip(fit, taken, strict=True):
            verdicts[index] = verdict
        return verdicts

    async def wait_for_room(self) -> None:
        """Wait until there is likely room for a task, or for a second."""
        await self.room.wait(1, 1, trio.current_time() + 1)

    async def _submit_once(self, tasks: Sequence[Task], atomic: bool, retry_of: Sequence[int]) -> list[Verdict]:
        if not self.is_serving():
            await trio.lowlevel.checkpoint()
            return [DRAINING] * len(tasks)
        verdicts = await self._store.submit(tasks, atomic=atomic, retry_of=retry_of)
        self._take(tasks, verdicts)
        return verdicts

    @contextmanager
    def submitting(self, tasks: Sequence[Task]) -> Iterator[None]:
        """Note tasks that were checked and may still be accepted, so that their handlers are not removed meanwhile."""
        key = object()
        self._under_way[key] = tasks
        try:
            yield
        finally:
            del self._under_way[key]

    def under_way(self) -> Iterator[Task]:
        """Return the tasks that were checked and are being submitted."""
        return chain.from_iterable(self._under_way.values())

    def _take(self, tasks: Sequence[Task], verdicts: Sequence[Verdict]) -> None:
        self._tally.count_taken(tasks, verdicts)
        for superseded in [verdict.superseded for verdict in verdicts if isinstance(verdict, Accepted)]:
            if superseded is not None:
                self._superseded(superseded.serial)

    def settle(self, tasks: Sequence[Task], verdicts: Sequence[Verdict]) -> None:
        """Count verdicts that the store gave without ``submit``, and stop the tasks that were superseded."""
        self._take(tasks, verdicts)
        self._tally.count_refused(tasks, verdicts)

    def check(self, tasks: Sequence[Task]) -> None:
        """Check that the handlers accept all tasks. Raises ``InvalidTaskError`` with the faults of all tasks."""
        check = self._settings.handlers.check
        faults = [FieldError(index, *fault) for index, task in enumerate(tasks) if (fault := check(task)) is not None]
        if faults:
            raise InvalidTaskError(faults)
