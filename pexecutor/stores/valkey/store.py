"""``ValkeyStore``: the tasks of many nodes, in one queue on a Valkey or Redis server.

Each verb is one call of a function on the server (``functions/``), which is atomic and makes all decisions. The code
here does one node's part: it keeps track of the tasks that the node holds, waits without polling, and reports the
changes that were made through the node.

Callers are woken by the server's messages 'work', 'room', 'ended' and 'cancel'. A message can be lost with its
connection, so waiting callers check again after each reconnect, and regularly with the beats.

``statistics`` shows the last reply; there is one a second, from the beats. Each node counts the endings that it
records.
"""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from typing import Any, Final, Literal

import msgspec
import trio

from ...errors import AlreadyFinishedError, ExpiredTaskError, StoreUnavailableError, UnknownTaskError
from ...limits import defaults
from ...limits.times import LEASE_SECONDS, STORE_CALL_SECONDS_MAX
from ...observe.histogram import COMMIT_SECONDS, Histogram
from ...task import (
    TAG_BITS,
    Ending,
    Finished,
    Following,
    Pending,
    Record,
    Running,
    Scheduled,
    Task,
    Verdict,
)
from .. import Node, Page, PageRequest, StoreStatistics, Watcher
from ..answers import ANSWER_BOUNDS, AnswerBounds
from ..deliveries import DELIVERY_BOUNDS, DeliveryBounds
from ..moves.marks import check_not_sealed
from ..schedules import SCHEDULE_BOUNDS, ScheduleBounds
from .answers import ValkeyAnswers
from .calls import Calls, Link
from .damage import Damage
from .deliveries import ValkeyDeliveries
from .lease import Holdings, Lease
from .limits import ValkeyLimits, about, known_handlers
from .listing import read_page
from .many import cancel_many, change_many
from .messages import Messages
from .protocol import NO_CLAIM, Stored
from .queue_rows import Joined, NodeRow, to_mark, to_node
from .replies import number_of, verdicts_of
from .schedules import ValkeySchedules
from .server_checks import SETTINGS, Durability, check_durability, report_warnings
from .snapshot import take_snapshot
from .steps import EndingSteps
from .upgrade import check_layout, upgrade
from .waiting import change_waiting
from .wire import Beat, Claimed, Found, KeepSeconds, Row, ServerReply, to_arguments

LINGERING: Final = True
"""Argument of ``get``: also return an expired record that is kept for callers that wait for its end."""

CLAIMED_AT_ONCE_MAX: Final = 250
"""How many tasks one claim starts at most: the first ones run here while the server starts the next ones."""

LOOK_AGAIN_SECONDS: Final = 1.0
"""How long to rely on messages alone, in seconds."""


class ValkeyStore:
    """One node's part of a shared store; fulfils the store contract (see ``pexecutor.stores``).

    Parameters:
        link: the client for the server and the queue.
        node: the name of this node; unique, and new with each start.
        queue_size: how many tasks may wait, for all nodes together.
        history_records_max: how many tasks that succeeded can be read.
        history_seconds_max: how long a task that succeeded can be read, in seconds.
        history_failed_records_max: how many tasks with another outcome can be read.
        history_failed_seconds_max: how long a task with another outcome can be read, in seconds.
        history_bytes_max: the bytes of endings that are kept in all.
        answer_bounds: how many answers to requests with a key are remembered, and for how long.
        durability: how durable an accepted task is; the link provides it, and the store only reports it.
        on_doubt: called with a warning for each server setting that endangers the tasks.
        on_damage: called with a description of each entry of the queue that was set aside or repaired.
        on_lease_lost: called with how many tasks are stopped on this node because no beat got through in time.
        crashes_max: the number of losses of its node after which a task is abandoned.
        schedule_bounds: how many schedules are kept, and how many bytes of them.
        delivery_bounds: how many deliveries are kept, and for how long.
        lease_seconds: how long a node may be silent before it counts as dead.
        jitter: the source of the random delays of retries.
        clock: this node's clock, in seconds; only durations are measured with it.
        sleep: waits this many seconds of that clock.
    """

    def __init__(
        self,
        link: Link,
        *,
        node: str,
        queue_size: int = defaults.QUEUE_SIZE,
        history_records_max: int = defaults.HISTORY_RECORDS_MAX,
        history_seconds_max: float = defaults.HISTORY_SECONDS_MAX,
        history_failed_records_max: int = defaults.HISTORY_FAILED_RECORDS_MAX,
        history_failed_seconds_max: float = defaults.HISTORY_FAILED_SECONDS_MAX,
        history_bytes_max: int = defaults.HISTORY_BYTES_MAX,
        answer_bounds: AnswerBounds = ANSWER_BOUNDS,
        durability: Durability = "aof",
        on_doubt: Callable[[str], None] = lambda _: None,
        on_damage: Callable[[str], None] = lambda _: None,
        on_lease_lost: Callable[[int], None] = lambda _: None,
        crashes_max: int = defaults.CRASHES_MAX,
        schedule_bounds: ScheduleBounds = SCHEDULE_BOUNDS,
        delivery_bounds: DeliveryBounds = DELIVERY_BOUNDS,
        lease_seconds: float = LEASE_SECONDS,
        jitter: random.Random | None = None,
        clock: Callable[[], float] = trio.current_time,
        sleep: Callable[[float], Awaitable[None]] = trio.sleep,
    ) -> None:
        if queue_size < 1:
            raise ValueError("queue_size must be at least 1")
        self.queue_size = queue_size
        self.commits: Histogram = Histogram(COMMIT_SECONDS)
        self._link = link
        self.node: str = node
        history_max = (history_records_max, history_failed_records_max, history_bytes_max)
        self._bounds = (*history_max, crashes_max, delivery_bounds.deliveries_max)
        self._keep_seconds_max = KeepSeconds(history_seconds_max, history_failed_seconds_max)
        self._durability: Durability = durability
        self._on_doubt = on_doubt
        self._lease_seconds = lease_seconds
        self._must_join = True
        self._beats, self._claims = count(1), count(1)
        self._holdings = Holdings()
        self._claiming = trio.Lock()  # a claim and its repetition share one id, so only one may be under way
        self._turn = trio.Lock()  # held by the first caller in line for room
        self._damage = Damage(on_damage)
        self._calls = Calls(
            link, node, work_is_there=self._work_is_there, other_queue=self._lose_queue, damage=self._damage
        )
        submitting = (self._calls, link, queue_size, self._keep_seconds_max, self.commits)
        self.answers: ValkeyAnswers = ValkeyAnswers(answer_bounds, *submitting)
        self.schedules: ValkeySchedules = ValkeySchedules(schedule_bounds, *submitting)
        self.deliveries: ValkeyDeliveries = ValkeyDeliveries(delivery_bounds, self._calls, link)
        self.limits: ValkeyLimits = ValkeyLimits(self._calls, link, node, ask=self._asked)
        self._steps = EndingSteps(
            self._calls, node, self._holdings, jitter=jitter or random.Random(), commits=self.commits
        )
        self._messages = Messages(node, cancelled=self._calls.report_cancelled, missed=self._missed_some)
        self._lease = Lease(
            lease_seconds,
            self._holdings,
            beat=self._beat,
            lost=self._calls.report_lost,
            cancelled=self._calls.report_cancelled,
            given_up=on_lease_lost,
            clock=clock,
            sleep=sleep,
        )

    def watch(self, watcher: Watcher) -> None:
        """Register the callbacks for changes that are made through this node, and for its running tasks."""
        self._calls.watcher = watcher
        self._work_is_there()  # the node may know other handlers now

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Join the queue as a node.

        Raises:
            UnusableStoreError: the server cannot be used, or the queue has another layout.
        """
        async with self._link.opened(self._messages.hear):
            check_not_sealed([to_mark(row) for row in await self._calls.call("marks")], "this queue")
            await self._join()
            report_warnings(await self._link.settings(*SETTINGS), self._durability, self._on_doubt)
            await check_durability(self._link.flush)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._lease.keep)  # nothing is claimed before its first beat
                nursery.start_soon(self._damage.keep_mending, self._calls.call)
                try:
                    yield
                finally:
                    nursery.cancel_scope.cancel()
                    with trio.move_on_after(STORE_CALL_SECONDS_MAX, shield=True), suppress(StoreUnavailableError):
                        while not await self._calls.call("leave", self.node, self._holdings.claim):
                            pass  # its tasks are given back in several steps

    async def _join(self, *, to_end_seconds: float = 0) -> None:
        await upgrade(self._calls.call)
        joined: Joined = await self._calls.call("join", secrets.randbits(TAG_BITS), to_end_seconds)
        self._calls.tag = joined.tag
        check_layout(joined.layout)
        self._must_join = False

    def _lose_queue(self) -> None:
        """Stop the work on all held tasks: they belong to a queue that is gone, so their ends cannot be recorded."""
        if not self._must_join:
            self._must_join = True
            self._holdings.settling.clear()
            self._lease.give_up()

    # The lease

    def _missed_some(self) -> None:
        self._lease.compare_soon()

    def _work_is_there(self) -> None:
        self._messages.work.unpark_all()

    async def _beat(self, holdings: list[object] | Literal[False]) -> Beat:
        if self._must_join:
            await self._join(to_end_seconds=self._lease.to_end_seconds)
        described = about(self._calls.watcher)
        arguments = (self.node, next(self._beats), self._lease_seconds, described, holdings, *self._bounds)
        beat: Beat = await self._calls.call("beat", *arguments)
        if not beat.lost:
            self._messages.room.unpark_all()
        if beat.extended:
            self.limits.note(beat.limits)
        return beat

    async def nodes(self) -> list[Node]:
        """Return the nodes of the queue."""
        rows: list[NodeRow] = await self._calls.call("nodes")
        return [to_node(row) for row in rows]

    # Submit

    async def submit(
        self, tasks: Sequence[Task], *, atomic: bool = False, retry_of: Sequence[int] = ()
    ) -> list[Verdict]:
        """Decide about the tasks in one step; return a verdict for each."""
        asked_at = trio.current_time()
        facts = self._calls.rare_facts(tasks, retry_of)
        arguments = [to_arguments(task, self._keep_seconds_max, rare) for task, rare in zip(tasks, facts, strict=True)]
        reply = await self._calls.ask("submit", self._calls.new_id(), arguments, atomic, self.queue_size)
        verdicts, taken = verdicts_of(tasks, facts, reply, self._calls.tag, self._calls.read)
        self._calls.report_all(reply.changes, taken)
        await self._link.flush()
        self.commits.observe(trio.current_time() - asked_at)
        return verdicts

    async def wait_for_room(self, least: int, most: int) -> int:
        """Wait until ``least`` places are likely to be free; return how many are free, at most ``most``."""
        if least > self.queue_size:
            return 0
        async with self._turn:
            while True:
                free: int = await self._calls.call("seek", least, self.queue_size)
                if free >= least:
                    return min(free, most)
                with trio.move_on_after(LOOK_AGAIN_SECONDS):
                    await self._messages.room.park()

    # Claim, finish, release, cancel

    async def claim(self, limit: int) -> list[Running]:
        """Wait for work, then start at most ``limit`` tasks in start order."""
        while True:
            term = await self._lease.good()
            async with self._claiming:
                started = await self._claim(limit, term) if self._lease.is_good(term) else []
            if started:
                return started
            if not self._holdings.has_more and self._lease.is_good(term):
                await self._work_to_come()

    async def _claim(self, limit: int, term: int) -> list[Running]:
        """Claim once. If the reply is missing or too late, the next call repeats the same claim."""
        if self._holdings.claim == NO_CLAIM:
            self._holdings.claim = next(self._claims)
        known = known_handlers(self._calls.watcher)
        most = min(limit, CLAIMED_AT_ONCE_MAX)
        claimed: Claimed = await self._calls.call("claim", self.node, self._holdings.claim, most, known)
        if not self._lease.is_good(term):  # too late to start; the id of the claim stays, so that it is repeated
            return []
        self._holdings.claim = NO_CLAIM
        self._holdings.has_more = claimed.more
        started: list[Running] = []
        for row in claimed.rows:
            record = self._calls.read(row)
            assert isinstance(record, Running), "a claimed task runs"
            if self._damage.is_lost(row.number):
                continue  # its params are unknown; the repair ends it as failed
            self._holdings.tokens[row.number] = row.token
            started.append(record)
        self._calls.report(started)
        return started

    def submit_nowait(self, tasks: Sequence[Task]) -> list[Verdict] | None:  # noqa: ARG002  # as in the contract
        """Return ``None``: every call has to wait for the server."""
        return None

    def claim_nowait(self, limit: int) -> list[Running]:  # noqa: ARG002  # as in the contract
        """Return no task: every call has to wait for the server."""
        return []

    async def _work_to_come(self) -> None:
        """Wait until another claim may find a task."""
        await trio.lowlevel.checkpoint()
        due = self._calls.counts.next_due_seconds
        with trio.move_on_after(due if due >= 0 else math.inf):
            await self._messages.work.park()

    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]:
        """Record how attempts ended; return each task's outcome or retry, or ``None`` if the node has lost the task."""
        return await self._steps.finish(ended)

    def finish_nowait(self, ended: Sequence[tuple[Running, Ending]]) -> None:
        """Return ``None``: every call has to wait for the server."""

    async def release(self, tasks: Sequence[Running]) -> None:
        """Make running tasks pending again, at their old place in the start order."""
        await self._steps.release(tasks)

    async def cancel(self, task_id: str) -> Running | Finished:
        """End a waiting task; return a running one unchanged: the node that runs it is notified."""
        record, state = await self._found(task_id, "cancel", self._calls.new_id())
        if state == Stored.FINISHED:
            raise AlreadyFinishedError(task_id)
        assert isinstance(record, Running | Finished), "a waiting task has been ended"
        return record

    async def change_waiting(
        self, task_id: str, *, priority: int | None = None, due_at: float | None = None
    ) -> Scheduled | Following | Pending:
        """Give a waiting task another priority, another time, or both."""
        return await change_waiting(partial(self._asked, task_id), self._calls.read, priority, due_at)

    async def cancel_many(self, task_ids: Sequence[str]) -> list[Running | Finished | None]:
        """Cancel the first of many tasks in one step, as ``cancel`` does; return a result for each of them."""
        return await cancel_many(self._calls, task_ids)

    async def change_many(self, task_ids: Sequence[str], *, priority: int) -> list[Record | None]:
        """Give the first of many tasks another priority in one step; return a result for each of them."""
        return await change_many(self._calls, task_ids, priority)

    # Read

    async def _asked(self, task_id: str, verb: str, *arguments: Any) -> ServerReply[Found]:
        """Call a verb for one task; return the reply, whose result has a row."""
        number = self._calls.number_of(task_id)
        if not number:
            await trio.lowlevel.checkpoint()
            raise UnknownTaskError(task_id)
        reply: ServerReply[Found] = await self._calls.ask(verb, number, *arguments)
        self._calls.report_all(reply.changes, {})
        if isinstance(reply.result.row, Row):
            return reply
        if number > int(reply.result.state_or_acceptances):
            raise UnknownTaskError(task_id)
        raise ExpiredTaskError(task_id)

    async def _found(self, task_id: str, verb: str, *arguments: Any) -> tuple[Record, str]:
        """Call a verb for one task; return the record and the state in which the verb found it."""
        row, state = msgspec.structs.astuple((await self._asked(task_id, verb, *arguments)).result)
        return self._calls.read(row), state

    async def get(self, task_id: str) -> Record:
        """Return the record with this id."""
        record, _ = await self._found(task_id, "get", not LINGERING)
        return record

    async def wait(self, task_id: str) -> Finished:
        """Wait until a task has its outcome, and return its record."""
        record = await self.get(task_id)
        with self._messages.ends_of(number_of(record)) as lot:  # before reading again, so that no message is missed
            while not isinstance(record, Finished):
                record, _ = await self._found(task_id, "get", LINGERING)
                if not isinstance(record, Finished):
                    await lot.park()
        return record

    async def page(self, request: PageRequest) -> Page:
        """Return one page of records in listing order."""
        return await read_page(self._calls, request)

    def statistics(self) -> StoreStatistics:
        """Return a snapshot for observers."""
        return take_snapshot(
            self._calls,
            self.queue_size,
            durable=self._durability != "none",
            trouble=self._link.trouble,
            limits=self.limits.latest,
        )
