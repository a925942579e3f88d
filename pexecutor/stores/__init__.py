"""The store contract: where tasks live, and everything that must happen to them in one step.

A store answers for dedup, the bound, the order, the records and their history. The executor answers for running
what it claimed. A store can be written from this text alone.

**Submit.** ``submit`` gives each task its verdict, in the order of the list, all in one step: nobody sees a part of
it, and cancelling it leaves the whole or nothing. A name that is held makes a ``Duplicate``, also in a full queue,
also by an earlier task of the same list, unless the task's ``on_conflict`` says otherwise (see ``submission.py``,
which is part of this contract). Otherwise the task is ``Accepted`` while there is room, and durable as far as this
store goes when ``submit`` returns. With ``atomic`` either every task that needs a place finds one, or none is taken.
When the write fails, ``StoreUnavailableError`` is raised and nothing has happened.

**Room.** A task takes a place in the queue while it is scheduled, following or pending. A submit never takes more
than ``queue_size``. A task that comes back (a retry, ``release``) was admitted before and is not refused, so for a
while there may be more, at most by the size of the pools. ``wait_for_room(least, most)`` waits until ``least`` places
are likely free and returns how many there are, at most ``most``; 0 at once when the queue has not so many places in
all. Who then submits may still find that another was quicker. Those who wait are served in the order they came.

**Claim.** ``claim(limit)`` waits for work, then starts at most ``limit`` pending tasks, the highest priority first,
in acceptance order within one: when it returns, they are running, durably so. No task is claimed twice. A claim that
is cancelled has started nothing. Where a crash comes to the same for a running task as for a pending one, the start
need not be durable: where ``on_crash`` is ``rerun``, the handler's work ends with the process, and nobody supersedes
the task.

**Crashes.** A start that is cut off because its process died, or because its node's lease was lost, counts as a
crash of the task: ``crashes`` of its record is one more. ``release`` counts none. The count stays with the task
through retries, and is on its record for as long as that can be read. A task with ``crashes_max`` crashes (3 unless
the store has another limit) is not run again: it ends ``abandoned``, whatever its ``on_crash``, and its error names
that limit. A task whose next crash would abandon it is never running together with another task that has a crash, so
a task that kills its process takes no other along; tasks without a crash run beside it, and start before it if it has
to wait. A start that was not durable cannot be counted. So for the first minute after a process died every start is
durable, and the start of a task that has a crash always is.

**Finish, release.** ``finish`` is told how attempts ended, of many tasks in one step. Each is either tried again, after
a while in which it is ``Scheduled`` and holds its name, or it is ``Finished``: that records the outcome and frees the
name, or passes it to the task that follows, in the same step. Whoever can read the outcome can submit the name again,
and nobody can before. A task that is followed is not retried. ``release`` makes running tasks pending again, at their
old place in the order; that is no failure. Both are called in a bounded shield.

**Rows.** A record that cannot be made durable (a text that has no encoding, a value that the store refuses) fails its
own task: that one ends as failed, its error says so, and ``finish`` answers that. The other tasks of the step are not
touched. Whatever a store finds that is no record of a task, it sets aside, counts and logs; it hides no other record.

**At once.** ``submit_nowait``, ``claim_nowait`` and ``finish_nowait`` do the same without awaiting, for a store that
has nothing to await then. Otherwise they do nothing: a claim gives no task, the others ``None``. A submit is also
``None`` unless every task is accepted.

**Nodes.** A store that several processes share knows them as nodes, and a claim in it is a lease: it holds as long as
the node is heard of. One that is not loses what it runs, and each of these tasks gets what its ``on_crash`` says; so
does a task that its node knows nothing of. Each claim has a ``token``, higher than that of any claim of the task
before. What a task has become since, a node that has lost it cannot change: ``finish`` answers ``None`` for it, and
``release`` does nothing. Such a store remembers that a running task was cancelled: it is ``CANCELLED`` when its node
releases or loses it. A store that is not shared knows no nodes, and its claims have no end.

**Cancel.** ``cancel`` finishes a task that waits at once and returns it ``Finished``. A running one is returned as it
is: its work must end first, and whoever runs it sees to that. Unknown id: ``UnknownTaskError``; gone from history:
``ExpiredTaskError``; already ended: ``AlreadyFinishedError``.

**Priority.** ``set_priority`` moves a task that waits to its new place in the start order; a running one is
``AlreadyStartedError``, the other errors are those of ``cancel``.

**Watch.** ``watch`` names whom to tell of the changes of records, in their order, once everybody can see them;
becoming due is one. He is told without awaiting, of one or of many at once, and must not fail. Of the nodes of a shared
store one is told of a change, the one that it was made through. A node is told, too, of a task it runs that was
cancelled on another, and of one that it has lost.

**Read.** ``get`` and ``wait`` have the first two errors; ``wait`` returns the task once it has its outcome. ``page``
lists scheduled tasks in acceptance order, then pending ones in start order, then running ones by start time, then
finished ones, the latest first. A cursor names a place in that order, not a row count, so tasks that come and go
between two pages shift nothing: a task that stays where it is appears exactly once, and one that moves on may appear
twice but is never missed. History is bounded by count, by age and by the bytes of params, errors,
attempts, results and output; one that is too big alone goes with the next.

**Life.** ``opened`` is entered before the first call and left after the last; a store that needs a heartbeat or a
writer runs it in there, and a durable one finds its tasks of earlier lives: those that waited wait again at their
place, and those that ran get what their ``on_crash`` says. Leaving it makes everything durable, and is bounded in time.
``commits`` counts how long changes took to be durable; a store that writes nothing counts none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

import msgspec

from ..observe.histogram import Histogram
from ..task import Ending, Finished, Following, Outcome, Pending, Record, Running, Scheduled, State, Task, Verdict


class PageRequest(msgspec.Struct, frozen=True):
    """Which records to list.

    ``state`` and ``name`` narrow the list; ``cursor`` is the ``next_cursor`` of the page before.
    """

    state: State | None = None
    name: str | None = None
    limit: int = 1000
    cursor: str | None = None


class Page(msgspec.Struct, frozen=True):
    """Some records, and where the next ones begin; ``next_cursor`` is ``None`` on the last page."""

    records: list[Record]
    next_cursor: str | None


class StoreStatistics(msgspec.Struct, frozen=True):
    """A snapshot of a store.

    Parameters:
        queue_size: how many tasks may wait, pending or scheduled.
        pending: how many are due and wait for a worker.
        scheduled: how many are not due.
        running: how many run.
        history: how many finished ones can be read.
        finished: how many have ended, by outcome.
        finished_by_handler: the same, by handler.
        durable: whether tasks outlive the process.
        trouble: why nothing can be made durable at present; ``None`` when it can.
        damaged: how many entries were found damaged, and set aside or repaired.
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


class NodeState(msgspec.Struct, frozen=True):
    """What a node says of itself: how many tasks it can run at once, how many it runs, and whether it is draining."""

    pool_size: int = 0
    busy: int = 0
    draining: bool = False


class Node(msgspec.Struct, frozen=True):
    """One of the processes that share a store.

    Parameters:
        name: the host, the number of the process there, and something that no other start has.
        beat_at: when it was heard of last, in seconds since 1970, by the store's clock.
        lease_until: when it will be taken for dead, if it is not heard of before.
        state: what it said of itself then.
    """

    name: str
    beat_at: float
    lease_until: float
    state: NodeState


class Watcher(NamedTuple):
    """Whom a store tells.

    Parameters:
        changed: told of changes, in their order.
        cancel: told the serial of a task that runs here and was cancelled elsewhere; its attempt ends as cancelled.
        lost: told the serial of a task that runs here and is no longer held; its work is cut off at once, and nothing
            is recorded of it.
        describe: asked what to tell other nodes.
    """

    changed: Callable[[Sequence[Record]], None] = lambda _: None
    cancel: Callable[[int], None] = lambda _: None
    lost: Callable[[int], None] = lambda _: None
    describe: Callable[[], NodeState] = NodeState


class Store(Protocol):
    """The verbs; what they promise is at the head of this module."""

    @property
    def commits(self) -> Histogram: ...

    def opened(self) -> AbstractAsyncContextManager[None]: ...

    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False) -> list[Verdict]: ...

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

    async def set_priority(self, task_id: str, priority: int) -> Scheduled | Following | Pending: ...

    def watch(self, watcher: Watcher) -> None: ...

    async def nodes(self) -> list[Node]: ...

    async def get(self, task_id: str) -> Record: ...

    async def wait(self, task_id: str) -> Finished: ...

    async def page(self, request: PageRequest) -> Page: ...

    def statistics(self) -> StoreStatistics: ...
