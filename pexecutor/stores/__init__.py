"""The store contract: where tasks live, and the steps in which a store changes them.

A store is responsible for deduplication, the bound of the queue, the start order, the records and their history. The
executor is responsible for running the tasks that it claims. This text is complete: a store can be written from it.
The states, verdicts, outcomes and records that it mentions are in ``task.py``.

A *step* is atomic. Other callers see all of its changes or none of them, and a cancelled call leaves all of them or
none of them. A change is *durable* when it survives what the store's settings say that it survives.

**Submit.** ``submit`` decides about a list of tasks in one step and returns one verdict per task, in the order of the
list. Each task is decided on top of the tasks before it in the list.

* If the name is held, the verdict is ``Duplicate`` with the holder's record, unless the task's ``on_conflict`` says
  otherwise (``local/submission.py`` describes its values and is part of this contract). This applies also if the queue
  is full, and also if the holder is an earlier task of the same list.
* Otherwise, if the queue has room, the verdict is ``Accepted`` with the new record. The task is durable when ``submit``
  returns.
* Otherwise the verdict is ``Full``. With ``atomic``, either every task that needs a place gets one, or no task is
  accepted.
* If the write fails, ``submit`` raises ``StoreUnavailableError`` and changes nothing.
* ``retry_of`` has for each task the serial of the finished task that it repeats, or is empty. The records of accepted
  tasks keep it. A waiting task whose content ``latest`` replaces repeats what the new content repeats.

**Requests.** ``answers.submit`` is a submit with the key of its request and a digest of its content. If the store
remembers an answer for the key, it submits nothing and returns the remembered ``Answer``. Otherwise it decides as
``submit`` does. In the step that accepts at least one task, the store also remembers the answer: the digest, the
verdict on each task with the id of the accepted task or of the holder, and the time. The answer is as durable as the
tasks: after a crash the store has both or neither. A submit that accepts no task is not remembered, so its repetition
is decided anew. Of many submits with one key at the same time, through any nodes, at most one accepts tasks; the others
get its answer. The store does not compare digests: the caller does, and knows what a different
digest means.

``answers.remembered`` returns the remembered answer for a key, or ``None``. An answer is remembered for one day by the
store's clock. For each kind of request, the store remembers at most 10,000 answers and 16 MiB of them; when there are
more, the oldest goes. The latest answer stays, however large it is. A submit without a key costs no more because of
this, and changes no answer. A stored answer that is not valid is set aside, counted and logged.

**Room.** A task takes a place in the queue while it is scheduled, following or pending. ``submit`` never accepts a task
beyond ``queue_size``. A task that returns to the queue (by a retry or by ``release``) is not refused. The queue can
therefore exceed ``queue_size`` for a while, at most by the size of the pools.

``wait_for_room(least, most)`` waits until ``least`` places are likely to be free, and returns the number of free
places, at most ``most``. If ``least`` is more than ``queue_size``, it returns 0 at once. It reserves nothing: another
caller may take the places first. Callers are served in the order of their calls.

**Claim.** ``claim(limit)`` waits until a task can start, then starts at most ``limit`` pending tasks and returns them.
The highest priority starts first; tasks of equal priority start in acceptance order. A task that a pause or a limit
blocks, or whose handler the node does not know, does not start (see **Limits**). The returned tasks are running,
and their start is durable. No task is claimed twice. A cancelled ``claim`` has started no task. A start need not be
durable if a crash would have the same effect on the running task as on the pending one: its ``on_crash`` is ``rerun``,
the handler's work ends with the process, and no newer task supersedes it.

**Crashes.** A start counts as a crash of its task if the process dies, or the node loses its lease, before the end of
the attempt is recorded.

* Each crash adds 1 to the ``crashes`` of the task's record; ``release`` does not. The count survives retries and stays
  on the record as long as the record can be read.
* A task with ``crashes_max`` crashes (default 3) is not run again. It ends ``abandoned``, whatever its ``on_crash`` is,
  with an error that names the limit.
* A task that one more crash would abandon never runs at the same time as another task that has a crash. So a task that
  kills its process does not cause other tasks to be abandoned. Tasks without a crash run beside it, and start before it
  if it has to wait.
* Crashes of starts that were not durable cannot be counted. Therefore every start is durable during the first minute
  after a process died, and the start of a task that has a crash is always durable.

**Finish and release.** ``finish`` records how the attempts of many tasks ended, in one step. Each task either becomes
``Scheduled`` for a retry and keeps its name, or becomes ``Finished``. The step that makes a task ``Finished`` records
its outcome and frees its name, or passes the name to the task's follower. So a name can be submitted again exactly when
the outcome can be read. A task that has a follower is not retried. ``release`` makes running tasks pending again, at
their old place in the start order; a release is not a failure. The executor calls both within a shield that is bounded
in time.

**Damage.** If a record cannot be made durable (a text that cannot be encoded, a value that the store refuses), only its
task fails: it ends ``failed``, its error gives the reason, and ``finish`` returns that record. The other tasks of the
step are not affected. A stored entry that is not a valid record is set aside, counted and logged. It never hides
another record.

**Without waiting.** ``submit_nowait``, ``claim_nowait`` and ``finish_nowait`` do their verb's work without awaiting, if
the store has nothing to await for it. Otherwise they change nothing: ``claim_nowait`` returns no task, the others
return ``None``. ``submit_nowait`` also returns ``None`` unless it accepts every task.

**Nodes.** A store that several processes share calls these processes nodes. In such a store, a claim is a lease.

* A lease is valid as long as the store hears from the node. A node that is not heard of in time loses its running
  tasks, and each of them is treated as its ``on_crash`` says. So is a running task that its node does not know.
* Each claim has a ``token``, higher than the token of any earlier claim of the same task. A node that has lost a task
  cannot change it: ``finish`` returns ``None`` for the task, and ``release`` ignores it.
* The store remembers the cancel of a running task: the task ends ``CANCELLED`` when its node releases or loses it.

``nodes`` returns the nodes of a store. A store that is not shared has no nodes, and its claims do not
expire.

**Cancel.** ``cancel`` ends a waiting task at once and returns it as ``Finished``. It returns a running task unchanged:
the caller has to stop the attempt, and the task ends when the attempt has ended. Errors: ``UnknownTaskError`` for an
unknown id, ``ExpiredTaskError`` if the record is no longer in the history, ``AlreadyFinishedError`` if the task has
ended.

**Change.** ``change_waiting`` gives a waiting task another priority, another time, or both in one step. A new priority
moves the task to its new place in the start order. A new time, ``due_at``, replaces the ``delay`` and the ``run_at`` of
the task, and also the time of a retry that waits. A pending task whose new time is to come is scheduled again. If the
new time has passed by the store's clock, the task is due at once, and its ``run_at`` is the time of the step; a task
that is due already stays as it is. A task that follows another one starts at its new time if the holder has ended by
then. ``change_waiting`` raises ``AlreadyStartedError`` for a running task; the other errors are those of ``cancel``.

**Watch.** ``watch`` registers the ``Watcher`` that the store notifies when records change, in the order of the changes,
once every caller can see them. A task that becomes due is a change. The callbacks are synchronous, receive one or more
records, and must not raise. In a shared store, a change is reported only to the node through which it was made. A node
is also notified if a task that it runs was cancelled through another node, and if it has lost a task.

**Many.** ``cancel_many`` and ``change_many`` do for a list of tasks, in one step, what ``cancel`` and
``change_waiting`` do for one. They return one result per task, in the order of the list: the record after the step, or
``None`` where the single call would raise. A step changes at most ``STEP_RECORDS_MAX`` records, where a follower that
gets the name and each delivery count as records. The list of results is therefore shorter than the list of tasks if the
rest did not fit, and has at least one result; the caller repeats the call with the rest.

**Read.** ``get`` and ``wait`` raise ``UnknownTaskError`` and ``ExpiredTaskError``. ``wait`` returns a task once it has
its outcome. ``page`` lists records in this order: scheduled ones by acceptance, pending ones by start order, running
ones by start time, finished ones with the latest first. A cursor names a place in this order, not a row number. A task
that stays where it is therefore appears exactly once, and a task that changes its state between two pages may appear
twice, but is never missed.

A page examines a bounded number of records, so that it holds the loop (and a shared server) for at most 20 ms. A page
that is cut by this bound may be short or empty although more records match: only a page without ``next_cursor`` is the
last. ``find.py`` says which records a filter matches. Each page also has the highest serial that the store has
given; a request with this number as ``serial_max`` leaves out tasks that were accepted later.

**History.** Records of finished tasks are kept in two parts: successes, and other outcomes. Each part is bounded by
count and by age. Both together are bounded by the bytes of params, errors, attempts, results and output; beyond this
bound the oldest successes go first, then the oldest others. A record that exceeds the byte limit alone stays until the
next task ends. Listings show both parts as one, the latest first.

**Schedules.** ``schedules`` holds the schedules of the store, which submit tasks at their times. One occurrence is one
step: it submits the task, records the occurrence and sets the next time (``schedules.py`` describes its operations and
is part of this contract).

**Deliveries.** ``deliveries`` holds the notifications that outcomes and skipped occurrences bring. The step that
records an outcome also makes its deliveries (``deliveries.py`` describes this, and is part of this contract).

**Limits.** ``limits`` holds the numbers of limits and the pauses, and says why a task does not run (``limits.py``
describes this, and is part of this contract).

**Lifetime.** ``opened`` is entered before the first call and left after the last one. A store runs its heartbeat or its
writer inside ``opened``. A durable store restores its tasks there: waiting tasks wait at their old place, and tasks
that were running are treated as their ``on_crash`` says. Leaving ``opened`` makes every change durable, within a
bounded time. ``commits`` measures how long changes took to become durable; a store that writes nothing leaves it empty.
``statistics`` returns a snapshot without awaiting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

import msgspec

from ..limits.defaults import PAGE_RECORDS_MAX
from ..limits.keys import LimitKey
from ..observe.histogram import Histogram
from ..task import (
    Brings,
    Ending,
    Finished,
    Following,
    Outcome,
    Pending,
    Record,
    Running,
    Scheduled,
    Task,
    Verdict,
)
from .answers import AnswerStore
from .deliveries import Delivery, DeliveryStore, brings_nothing
from .find import Filter
from .limits import NO_LIMITS, LimitState, LimitStore, no_limit_keys
from .schedules import ScheduleStore


class PageRequest(Filter, frozen=True, kw_only=True):
    """A request for one page of the records that a filter matches.

    Parameters:
        limit: how many records the page has at most.
        cursor: the ``next_cursor`` of the previous page; ``None`` for the first page.
        serial_max: only tasks that were accepted no later than the one with this serial.
    """

    limit: int = PAGE_RECORDS_MAX
    cursor: str | None = None
    serial_max: int | None = None

    @classmethod
    def of(cls, criteria: Filter, *, limit: int, cursor: str | None, serial_max: int | None = None) -> PageRequest:
        """Return a request for a page of the records that a filter matches."""
        return cls(**msgspec.structs.asdict(criteria), limit=limit, cursor=cursor, serial_max=serial_max)


class Page(msgspec.Struct, frozen=True):
    """One page of a listing.

    Parameters:
        records: the records, in listing order.
        next_cursor: the cursor of the next page; ``None`` on the last page.
        serial_last: the highest serial that the store had given when it read this page; 0 for none.
    """

    records: list[Record]
    next_cursor: str | None
    serial_last: int = 0


class StoreStatistics(msgspec.Struct, frozen=True):
    """A snapshot of a store.

    Parameters:
        queue_size: the largest number of tasks that may wait, pending or scheduled.
        pending: the number of tasks that are due and wait for a worker.
        scheduled: the number of tasks that are not due.
        running: the number of running tasks.
        history: the number of finished tasks that can be read.
        finished: the number of tasks that have ended, by outcome.
        finished_by_handler: the number of tasks that have ended, by handler and outcome.
        durable: whether tasks outlive the process.
        trouble: why the store cannot make changes durable at present; ``None`` if it can.
        damaged: the number of damaged entries that were set aside or repaired.
        schedules: the number of schedules.
        deliveries: the number of deliveries.
        limits: the numbers of limits, the pauses, and the slots in use.
        writing_seconds: for how long the present write to the disk has been under way; 0 if there is none.
    """

    queue_size: int
    pending: int
    scheduled: int
    running: int
    history: int
    finished: dict[Outcome, int]
    finished_by_handler: dict[str, dict[Outcome, int]]
    durable: bool
    trouble: str | None
    damaged: int = 0
    schedules: int = 0
    deliveries: int = 0
    limits: LimitState = NO_LIMITS
    writing_seconds: float = 0.0


class NodeState(msgspec.Struct, frozen=True):
    """The state that a node reports: how many tasks it can run at once, how many it runs, whether it is draining."""

    pool_size: int = 0
    busy: int = 0
    draining: bool = False


class Node(msgspec.Struct, frozen=True):
    """One of the processes that share a store.

    Parameters:
        name: the host, the process id, and a part that is unique to this start of the process.
        beat_at: the time of its last heartbeat, in seconds since 1970, by the store's clock.
        lease_until: the time at which its lease ends unless another heartbeat arrives, by the same clock.
        state: the state that it reported with its last heartbeat.
    """

    name: str
    beat_at: float
    lease_until: float
    state: NodeState


class Watcher(NamedTuple):
    """The callbacks by which a store notifies its executor.

    Parameters:
        changed: called with changed records, in the order of the changes.
        cancel: called with the serial of a task that runs on this node and was cancelled through another one; its
            attempt ends as cancelled.
        lost: called with the serial of a task that runs on this node, which no longer holds it; the attempt is stopped
            at once, and its end is not recorded.
        describe: returns the state to report to the other nodes.
        schedules_changed: called once a schedule was changed through this node.
        brings: returns the targets that are notified of a task's outcome; called when the task is accepted.
        deliveries_changed: called once there may be a delivery to attempt, or an earlier one.
        deliveries_ended: called with the oldest deliveries, which had to go because there were too many.
        limit_keys: returns the keys of the limits that bound a task, in ascending order; called when it is accepted.
        handlers: the names of the handlers that this node knows, or ``None`` for any. If they change, the watcher is
            registered again.
        ends_with_us: the names of the handlers whose work always ends with this process, even if it is killed; ``None``
            for those that the store was made with. If they change, the watcher is registered again.
        forgotten: called with the serials of finished tasks whose records are gone; a shared store never calls it.
    """

    changed: Callable[[Sequence[Record]], None] = lambda _: None
    cancel: Callable[[int], None] = lambda _: None
    lost: Callable[[int], None] = lambda _: None
    describe: Callable[[], NodeState] = NodeState
    schedules_changed: Callable[[], None] = lambda: None
    brings: Callable[[Task], Brings | None] = brings_nothing
    deliveries_changed: Callable[[], None] = lambda: None
    deliveries_ended: Callable[[Sequence[Delivery]], None] = lambda _: None
    limit_keys: Callable[[Task], tuple[LimitKey, ...]] = no_limit_keys
    handlers: frozenset[str] | None = None
    ends_with_us: frozenset[str] | None = None
    forgotten: Callable[[Sequence[int]], None] = lambda _: None


class Store(Protocol):
    """The operations of a store; the docstring of this module says what each one guarantees."""

    @property
    def commits(self) -> Histogram: ...

    @property
    def answers(self) -> AnswerStore: ...

    @property
    def schedules(self) -> ScheduleStore: ...

    @property
    def deliveries(self) -> DeliveryStore: ...

    @property
    def limits(self) -> LimitStore: ...

    def opened(self) -> AbstractAsyncContextManager[None]: ...

    async def submit(
        self, tasks: Sequence[Task], *, atomic: bool = False, retry_of: Sequence[int] = ()
    ) -> list[Verdict]: ...

    def submit_nowait(self, tasks: Sequence[Task]) -> list[Verdict] | None: ...

    async def wait_for_room(self, least: int, most: int) -> int: ...

    async def claim(self, limit: int) -> list[Running]: ...

    def claim_nowait(self, limit: int) -> list[Running]: ...

    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]: ...

    def finish_nowait(
        self, ended: Sequence[tuple[Running, Ending]]
    ) -> Sequence[Finished | Scheduled | None] | None: ...

    async def release(self, tasks: Sequence[Running]) -> None: ...

    async def cancel(self, task_id: str) -> Running | Finished: ...

    async def change_waiting(
        self, task_id: str, *, priority: int | None = None, due_at: float | None = None
    ) -> Scheduled | Following | Pending: ...

    async def cancel_many(self, task_ids: Sequence[str]) -> list[Running | Finished | None]: ...

    async def change_many(self, task_ids: Sequence[str], *, priority: int) -> list[Record | None]: ...

    def watch(self, watcher: Watcher) -> None: ...

    async def nodes(self) -> list[Node]: ...

    async def get(self, task_id: str) -> Record: ...

    async def wait(self, task_id: str) -> Finished: ...

    async def page(self, request: PageRequest) -> Page: ...

    def statistics(self) -> StoreStatistics: ...
