"""``Calls``: a node's calls of the functions on the server, and the notification of the changes that they return.

A call is completed even if its caller is cancelled, so that no change on the server is missed. Each reply contains the
state of the queue; ``counts`` is that of the last reply.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import repeat
from typing import Any, Final, Protocol

import msgspec
import trio

from ...errors import StoreUnavailableError
from ...limits.times import STORE_CALL_SECONDS_MAX
from ...task import Finished, Outcome, Rare, Record, Task, make_serial, parse_task_id
from .. import Watcher
from ..deliveries import brings_nothing
from ..limits import no_limit_keys
from .damage import Damage
from .delivery_rows import RESULTS as DELIVERY_RESULTS
from .delivery_rows import to_delivery
from .limit_rows import RESULTS as LIMIT_RESULTS
from .queue_rows import Joined, MarkRow, NodeRow, UpgradeStep
from .rare import rare_of
from .schedule_rows import RESULTS
from .wire import (
    Beat,
    Claimed,
    Found,
    OnceReply,
    PageReply,
    QueueCounts,
    Retry,
    Row,
    ServerReply,
    StoredAnswer,
    Taken,
    WhyReply,
    decoder,
)

LOOK_AT_KEYS: Final = True
"""Argument of ``mend``: check the types of the keys at once."""

_DECODERS: Final = {
    "join": decoder(Joined),
    "beat": decoder(Beat),
    "leave": decoder(bool),
    "nodes": decoder(list[NodeRow]),
    "submit": decoder(list[int | Taken]),
    "submit_once": decoder(OnceReply),
    "remembered": decoder(StoredAnswer | bool),
    "seek": decoder(int),
    "claim": decoder(Claimed),
    "finish": decoder(list[Retry | bool]),
    "release": decoder(bool),
    "get": decoder(Found),
    "cancel": decoder(Found),
    "why": decoder(WhyReply),
    "change_waiting": decoder(Found),
    "cancel_many": decoder(list[Row | bool]),
    "change_many": decoder(list[Row | bool]),
    "marks": decoder(list[MarkRow]),
    "upgrade": decoder(UpgradeStep),
    "mend": decoder(bool),
    "repair": decoder(bool),
    "page": decoder(PageReply),
    **{verb: decoder(result) for verb, result in (RESULTS | DELIVERY_RESULTS | LIMIT_RESULTS).items()},
}


class OtherQueueError(StoreUnavailableError):
    """The queue is not the one that this node has joined: the server has lost that queue, or got another one."""


class DamagedQueueError(StoreUnavailableError):
    """A function failed because of damage in the queue: a key of another type, or an invalid counter."""


class Link(Protocol):
    """A client for a queue on a server."""

    @property
    def trouble(self) -> str | None:
        """The reason why the server cannot be reached at present, or ``None``."""

    def opened(self, hear: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        """Connect, for calls in this context; ``hear`` gets each message, and ``''`` when messages may be lost."""

    async def call(self, verb: str, *arguments: Any) -> bytes:
        """Call a function and return its reply. Raises ``StoreUnavailableError`` or ``OtherQueueError``."""

    async def settings(self, *names: str) -> Mapping[str, str]:
        """Return settings of the server, or an empty mapping if the server does not show them."""

    async def flush(self) -> None:
        """Wait until all replies so far are as durable as requested. Raises ``StoreUnavailableError``."""


class Calls:
    """The calls of one node to its queue.

    Parameters:
        link: the client for the server.
        node: the name of the node.
        work_is_there: called when a reply reports pending tasks.
        other_queue: called when the queue turns out to be another one.
        damage: decodes records, and is notified of damage.
    """

    def __init__(
        self,
        link: Link,
        node: str,
        *,
        work_is_there: Callable[[], None],
        other_queue: Callable[[], None],
        damage: Damage,
    ) -> None:
        self.tag = 0
        """The high bits of all ids of the queue; 0 until the node has joined."""
        self.counts: QueueCounts = QueueCounts()
        self.finished: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)
        """How many tasks have ended through this node, by handler and outcome."""
        self.watcher: Watcher = Watcher()
        self._link = link
        self._node = node
        self._work_is_there = work_is_there
        self._other_queue = other_queue
        self._damage = damage
        self._made = 0

    async def call(self, verb: str, *arguments: Any) -> Any:
        """Call a function, report its changes, and return its result."""
        reply = await self.ask(verb, *arguments)
        self.report_all(reply.changes, {})
        return reply.result

    async def ask(self, verb: str, *arguments: Any) -> ServerReply[Any]:
        """Call a function, even if the caller is cancelled, and return the reply. The caller reports its changes."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + STORE_CALL_SECONDS_MAX):
            try:
                return self._read(verb, await self._call(verb, *arguments))
            except OtherQueueError as error:
                self._other_queue()
                raise StoreUnavailableError(str(error)) from error
        raise StoreUnavailableError(f"the store did not answer within {STORE_CALL_SECONDS_MAX:g} s")

    async def _call(self, verb: str, *arguments: Any) -> bytes:
        try:
            return await self._link.call(verb, self.tag, *arguments)
        except DamagedQueueError as error:  # repair the types of keys at once, then try once more
            self._damage.report(str(error))
            self._read("mend", await self._link.call("mend", self.tag, LOOK_AT_KEYS))
            return await self._link.call(verb, self.tag, *arguments)

    def _read(self, verb: str, packed: bytes) -> ServerReply[Any]:
        try:
            reply: ServerReply[Any] = _DECODERS[verb].decode(packed)
        except msgspec.DecodeError as error:
            self._damage.report(f"the answer to `{verb}` cannot be read: {error}")
            raise StoreUnavailableError(
                f"the answer to `{verb}` cannot be read: look for damage in the queue"
            ) from error
        self.counts = reply.counts
        self._damage.notice(reply.damages, mending=reply.counts.mending)
        if reply.counts.pending and not _is_in_vain(reply.result):
            self._work_is_there()
        if reply.made or reply.dropped or (verb == "beat" and reply.counts.deliveries):
            self._report_deliveries(reply)
        return reply

    def _report_deliveries(self, reply: ServerReply[Any]) -> None:
        if reply.dropped:
            self.watcher.deliveries_ended([to_delivery(row, self.tag) for row in reply.dropped])
        self.watcher.deliveries_changed()

    def report_all(self, changes: Sequence[int | Row], own: Mapping[int, Record]) -> None:
        """Report changes in their order; a number stands for a record that this node knows."""
        self.report([own[change] if isinstance(change, int) else self.read(change) for change in changes])

    def read(self, row: Row) -> Record:
        """Return the record of a row. Unreadable parts are replaced here now, and soon in the queue."""
        return self._damage.to_record(row, self.tag)

    def rare_facts(self, tasks: Sequence[Task], retry_of: Sequence[int] = ()) -> list[Rare | None]:
        """Return the rare facts of new tasks.

        Parameters:
            tasks: the new tasks.
            retry_of: for each task the serial of the finished task that it repeats; empty for none.
        """
        brings, limit_keys = self.watcher.brings, self.watcher.limit_keys
        if brings is brings_nothing and limit_keys is no_limit_keys and not retry_of:
            return [None] * len(tasks)
        repeated = retry_of or repeat(0, len(tasks))
        return [rare_of(brings(task), limit_keys(task), of) for task, of in zip(tasks, repeated, strict=True)]

    def number_of(self, task_id: str) -> int:
        """Return the number in this queue of the task with this id; 0 if the id is not one of this queue."""
        serial = parse_task_id(task_id)
        number = 0 if serial is None else serial - make_serial(self.tag, 0)
        return number if 0 < number < make_serial(1, 0) else 0

    def new_id(self) -> str:
        """Return a new id for a call, by which the server recognizes a repetition of the call."""
        self._made += 1
        return f"{self._node}.{self._made}"

    def report(self, records: Sequence[Record]) -> None:
        """Report changed records to the watcher."""
        for record in records:
            if isinstance(record, Finished):
                self.finished[record.task.handler][record.outcome] += 1
        if records:
            self.watcher.changed(records)

    def report_lost(self, number: int) -> None:
        """Report that this node has lost a running task."""
        self.watcher.lost(make_serial(self.tag, number))

    def report_cancelled(self, number: int) -> None:
        """Report that a task that runs on this node was cancelled."""
        self.watcher.cancel(make_serial(self.tag, number))


def _is_in_vain(result: object) -> bool:
    """Return whether a claim found only blocked tasks: others would find no more."""
    return isinstance(result, Claimed) and not result.rows and not result.more
