"""``Bulk``: cancel, retry or change all tasks that a filter matches, in bounded steps.

A bulk walks the pages of a listing and acts on each page in one or more steps of the store. It concerns tasks that were
accepted before it began, so tasks that it submits, or that others submit meanwhile, do not prolong it. Between two
steps other tasks of the loop get a turn, and the caller may stop it.

Roads not taken: several steps at the same time, each on names of other shards, so that a store on a disk writes them in
one transaction, took as long, because the time goes into deciding and publishing. A step that is decided while the one
before it is written took longer: the writing thread then waits for the interpreter's lock beside a busy loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from ..errors import ExpiredTaskError, StoreUnavailableError, UnknownTaskError
from ..limits.times import WAIT_FOR_ROOM_SECONDS_MAX
from ..stores import PageRequest, Store
from ..stores.find import Filter
from ..task import Accepted, Draining, Finished, Full, Record, Running, State
from .submits import TaskSubmits

Action = Literal["cancel", "retry", "priority"]

IDS_LISTED_MAX: Final = 1000
"""How many ids of matching tasks a result lists."""

STEP_TASKS_MAX: Final = 400
"""How many tasks a step changes at most, so that it holds the loop for a few milliseconds."""

STATES: Final[dict[Action, tuple[State, ...]]] = {
    "cancel": (State.SCHEDULED, State.PENDING, State.RUNNING),
    "retry": (State.FINISHED,),
    "priority": (State.SCHEDULED, State.PENDING),
}
"""The states of the tasks that an action can change, in the order in which a task goes through them."""


class BulkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to act on many tasks.

    Parameters:
        action: what to do with the tasks.
        filter: which tasks; at least one criterion, unless ``task_ids`` are given.
        task_ids: the ids of the tasks, instead of a filter.
        tasks_max: how many tasks the bulk concerns at most.
        dry_run: whether to count the matching tasks without changing any.
        priority: the new priority, for the action ``priority``.

    Raises:
        ValueError: neither a criterion nor an id is given, or both, or the filter matches only tasks that the action
            cannot change.
    """

    action: Action
    filter: Filter = Filter()
    task_ids: Sequence[str] = ()
    tasks_max: int
    dry_run: bool = False
    priority: int = 0

    def __post_init__(self) -> None:
        if self.filter != Filter() and self.task_ids:
            raise ValueError("`filter` and `ids` exclude each other: give only one of them")
        if self.filter == Filter() and not self.task_ids:
            raise ValueError(
                "no task is named: give `filter` with at least one criterion, or `ids` with at least one id"
            )
        if not self.states():
            states = " or ".join(STATES[self.action])
            raise ValueError(f"`filter` matches no {states} task, and {self.action!r} changes only those")

    def states(self) -> list[State]:
        """Return the states in which to look for tasks, in order."""
        possible = self.filter.states()
        return [state for state in STATES[self.action] if state in possible]


class BulkResult(msgspec.Struct):
    """The result of a bulk.

    Parameters:
        matched: how many tasks matched, at most ``max``.
        changed: how many of them were cancelled, submitted anew, or got the new priority.
        unchanged: how many of them were left as they were: they had just started or ended, or their name is held.
        more: whether further tasks match that the bulk has not come to.
        unknown: how many of the given ids belong to no task whose record is kept; absent if no ids were given.
        stopped: why the bulk ended before that: ``full`` if the queue had no room, ``draining`` if the server stops.
        ids: the ids of the first 1000 tasks that matched.
    """

    matched: int = 0
    changed: int = 0
    unchanged: int = 0
    more: bool = False
    unknown: int | UnsetType = UNSET
    stopped: Literal["full", "draining"] | UnsetType = UNSET
    ids: list[str] = []

    def add_matched(self, records: Sequence[Record]) -> None:
        """Count records that match."""
        self.matched += len(records)
        self.ids += [record.id for record in records[: IDS_LISTED_MAX - len(self.ids)]]

    def add_changed(self, changed: Sequence[bool]) -> None:
        """Count what has become of records that match: whether each one was changed."""
        self.changed += sum(changed)
        self.unchanged += len(changed) - sum(changed)


Step = Callable[[Sequence[Record]], Awaitable[Sequence[bool]]]
"""One step of an action. It returns, for each of the first records, whether the record was changed."""


class Bulk:
    """Actions on many tasks of one executor.

    Parameters:
        store: the store that keeps the tasks.
        submits: submits tasks again, and waits for room.
        cancel: stops the attempt of a running task, by its serial.
        count_ended: called with the number of tasks that a step has ended.
    """

    def __init__(
        self,
        store: Store,
        submits: TaskSubmits,
        cancel: Callable[[int], None],
        count_ended: Callable[[int], None],
    ) -> None:
        self._store = store
        self._submits = submits
        self._cancel = cancel
        self._count_ended = count_ended

    async def run(self, request: BulkRequest, *, stops: Callable[[], bool] = lambda: False) -> BulkResult:
        """Act on the tasks that a request matches.

        Parameters:
            request: the action, the filter and the bounds.
            stops: called before each step; ``True`` ends the bulk.

        Raises:
            StoreUnavailableError: the store cannot be read or written, and no task was changed. After the first step
                such an error ends the bulk, and the result has what was done.
        """
        result = BulkResult()
        walk = _Walk(self._store, request, result, self._step_of(request, result), self._submits, stops)
        try:
            if request.task_ids:
                await walk.through_ids()
            for state in [] if request.task_ids else request.states():
                await walk.through(state)
        except StoreUnavailableError:
            if not result.changed:
                raise
            result.more = True
        return result

    def _step_of(self, request: BulkRequest, result: BulkResult) -> Step:
        match request.action:
            case "cancel":
                return self._cancel_some
            case "retry":
                return _Retries(self._submits, result).retry
            case "priority":
                return partial(self._change_some, request.priority)

    async def _cancel_some(self, records: Sequence[Record]) -> Sequence[bool]:
        cancelled = await self._store.cancel_many([record.id for record in records])
        for record in cancelled:
            if isinstance(record, Running):
                self._cancel(record.serial)
        self._count_ended(sum(isinstance(record, Finished) for record in cancelled))
        return [record is not None for record in cancelled]

    async def _change_some(self, priority: int, records: Sequence[Record]) -> Sequence[bool]:
        changed = await self._store.change_many([record.id for record in records], priority=priority)
        return [record is not None for record in changed]


class _Retries:
    """The steps of one retry. Of several tasks with one name, the one that ended last is submitted.

    Parameters:
        submits: submits tasks again.
        result: gets the reason for which tasks were refused.
    """

    def __init__(self, submits: TaskSubmits, result: BulkResult) -> None:
        self._submits = submits
        self._result = result
        self._names: set[str] = set()

    async def retry(self, records: Sequence[Record]) -> Sequence[bool]:
        """Submit tasks again; end before the first one for which there is no room."""
        first = {record.task.name: record for record in reversed(records) if record.task.name not in self._names}
        chosen = [record for record in records if first.get(record.task.name) is record]
        tasks = [msgspec.structs.replace(record.task, delay=0, run_at=None) for record in chosen]
        verdicts = await self._submits.submit_again(tasks, [record.serial for record in chosen]) if tasks else ()
        of = {record.serial: verdict for record, verdict in zip(chosen, verdicts, strict=True)}
        done: list[bool] = []
        for record in records:
            verdict = of.get(record.serial)
            if isinstance(verdict, Full | Draining):
                self._result.stopped = "full" if isinstance(verdict, Full) else "draining"
                break
            self._names.add(record.task.name)
            done.append(isinstance(verdict, Accepted))
        return done


class _Walk:
    """The walk of one bulk through the tasks that match.

    Parameters:
        store: the store that has the tasks.
        request: what to do with which tasks.
        result: counts what was done.
        step: does it.
        submits: waits for room in the queue.
        stops: called before each step; ``True`` ends the walk.
    """

    def __init__(
        self,
        store: Store,
        request: BulkRequest,
        result: BulkResult,
        step: Step,
        submits: TaskSubmits,
        stops: Callable[[], bool],
    ) -> None:
        self.result = result
        self._store = store
        self._request = request
        self._step = step
        self._submits = submits
        self._stops = stops
        self._waits_left = int(WAIT_FOR_ROOM_SECONDS_MAX)  # each of them takes a second
        self._serial_max: int | None = None  # of the task that was accepted last before the walk
        self._seen: set[int] = set()  # a task that gets another priority may come again on a later page

    async def through(self, state: State) -> None:
        """Walk through the matching tasks in one state, until the end or until ``result.more``."""
        cursor: str | None = None
        while not self.result.more:
            page = await self._store.page(self._page_request(state, cursor))
            if self._serial_max is None:
                self._serial_max = page.serial_last
            await self._act_on([record for record in page.records if record.serial not in self._seen])
            cursor = page.next_cursor
            if cursor is None:
                return

    async def through_ids(self) -> None:
        """Walk through the tasks whose ids are given, and count the ids without a record."""
        records = []
        task_ids = dict.fromkeys(self._request.task_ids)
        for task_id in task_ids:
            with suppress(UnknownTaskError, ExpiredTaskError):
                records.append(await self._store.get(task_id))
        self.result.unknown = len(task_ids) - len(records)
        await self._act_on([record for record in records if record.state in self._request.states()])

    def _page_request(self, state: State, cursor: str | None) -> PageRequest:
        criteria = msgspec.structs.replace(self._request.filter, state=state)
        return PageRequest.of(criteria, limit=STEP_TASKS_MAX, cursor=cursor, serial_max=self._serial_max)

    async def _act_on(self, records: Sequence[Record]) -> None:
        """Act on the records of a page, in one or more steps."""
        left = self._request.tasks_max - self.result.matched
        if len(records) > left:
            self.result.more, records = True, records[:left]
        while records:
            if self._stops():
                self.result.more = True
                return
            done = records if self._request.dry_run else records[: await self._act(records)]
            if done:
                self.result.stopped = UNSET  # the next step finds out whether there is more room
            self._seen.update(record.serial for record in done)
            self.result.add_matched(done)
            if not done and not await self._finds_room():
                self.result.more = True
                return
            records = records[len(done) :]

    async def _finds_room(self) -> bool:
        """Wait a moment for room, and return whether the step may be tried again."""
        if self.result.stopped == "draining" or not self._waits_left:
            return False
        self._waits_left -= 1
        self.result.stopped = UNSET
        await self._submits.wait_for_room()
        return True

    async def _act(self, records: Sequence[Record]) -> int:
        """Do one step, and return for how many of the first records it was done."""
        changed = await self._step(records[:STEP_TASKS_MAX])
        self.result.add_changed(changed)
        return len(changed)
