"""``Calls``: a node's calls of the functions on the server, and who is told of what they have changed.

A call goes to its end whatever happens to whoever makes it: what the server has done is taken in here. Each reply says
how the queue stands, so ``counts`` are those of the last one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import msgspec
import trio

from ...errors import StoreUnavailableError
from ...task import Finished, Outcome, Record, make_serial
from .. import Watcher
from .damage import Damage
from .wire import Beat, Found, MarkRow, NodeRow, PageReply, QueueCounts, Row, ServerReply, Taken, decoder

LOOK_AT_KEYS: Final = True
CALL_SECONDS_MAX: Final = 5.0
"""How long a verb waits for its answer before it gives up; the shield's bound."""

_DECODERS: Final = {
    "join": decoder(tuple[str, int]),
    "beat": decoder(Beat),
    "leave": decoder(bool),
    "nodes": decoder(list[NodeRow]),
    "submit": decoder(list[int | Taken]),
    "seek": decoder(int),
    "claim": decoder(list[Row]),
    "finish": decoder(list[tuple[float, float] | bool]),
    "release": decoder(bool),
    "get": decoder(Found),
    "cancel": decoder(Found),
    "set_priority": decoder(Found),
    "marks": decoder(list[MarkRow]),
    "upgrade": decoder(tuple[list[str], bool]),
    "mend": decoder(bool),
    "repair": decoder(bool),
    "page": decoder(PageReply),
}


class OtherQueueError(StoreUnavailableError):
    """The queue is not the one that this node has joined: the server has lost that one, or been given another."""


class DamagedQueueError(StoreUnavailableError):
    """A function has failed at what it found in the queue: a key of another type, or a counter that is no number."""


class Link(Protocol):
    """A way to the server."""

    @property
    def trouble(self) -> str | None:
        """Why the server cannot be asked at present, if so."""

    def opened(self, hear: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        """While in here the server can be called; ``hear`` is told its messages, '' when some may have been missed."""

    async def call(self, verb: str, *arguments: Any) -> bytes:
        """Call a function; its reply. Raises ``StoreUnavailableError`` when there is none, or ``OtherQueueError``."""

    async def settings(self, *names: str) -> Mapping[str, str]:
        """The server's own settings; none where it does not show them."""

    async def flush(self) -> None:
        """Return when what was done so far is as durable as was asked. Raises ``StoreUnavailableError``."""


class Calls:
    """What one node asks of its queue.

    Parameters:
        link: the way to the server.
        node: the node's name.
        work_is_there: called when a reply says that something is pending.
        other_queue: called when the queue turns out to be another one.
        damage: reads records, and is told of what was found damaged.
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
        """What all ids of the queue begin with; 0 until it is joined."""
        self.counts: QueueCounts = QueueCounts()
        self.finished: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)
        """How many tasks have ended through this node, by handler."""
        self.watcher: Watcher = Watcher()
        self._link = link
        self._node = node
        self._work_is_there = work_is_there
        self._other_queue = other_queue
        self._damage = damage
        self._made = 0

    async def call(self, verb: str, *arguments: Any) -> Any:
        """Call a function, and tell of what it has changed; its result."""
        reply = await self.ask(verb, *arguments)
        self.tell_all(reply.changes, {})
        return reply.result

    async def ask(self, verb: str, *arguments: Any) -> ServerReply[Any]:
        """Call a function. It goes to its end whatever happens to the caller, who has to tell of what has changed."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CALL_SECONDS_MAX):
            try:
                return self._read(verb, await self._call(verb, *arguments))
            except OtherQueueError as error:
                self._other_queue()
                raise StoreUnavailableError(str(error)) from error
        raise StoreUnavailableError(f"the store did not answer within {CALL_SECONDS_MAX:g} s")

    async def _call(self, verb: str, *arguments: Any) -> bytes:
        try:
            return await self._link.call(verb, self.tag, *arguments)
        except DamagedQueueError as error:
            self._damage.tell(str(error))
            self._read("mend", await self._link.call("mend", self.tag, LOOK_AT_KEYS))
            return await self._link.call(verb, self.tag, *arguments)

    def _read(self, verb: str, packed: bytes) -> ServerReply[Any]:
        try:
            reply: ServerReply[Any] = _DECODERS[verb].decode(packed)
        except msgspec.DecodeError as error:
            self._damage.tell(f"the answer to `{verb}` cannot be read: {error}")
            raise StoreUnavailableError(
                f"the answer to `{verb}` cannot be read: look for damage in the queue"
            ) from error
        self.counts = reply.counts
        self._damage.notice(reply.damages, mending=reply.counts.mending)
        if reply.counts.pending:
            self._work_is_there()
        return reply

    def tell_all(self, changes: Sequence[int | Row], own: Mapping[int, Record]) -> None:
        """Tell of all changes, in their order; a number stands for a record that is known here."""
        self.tell([own[change] if isinstance(change, int) else self.read(change) for change in changes])

    def read(self, row: Row) -> Record:
        """The record of a row; what of it cannot be read is replaced here, and soon in the queue."""
        return self._damage.to_record(row, self.tag)

    def new_id(self) -> str:
        """What tells a call from all others, when it is made again."""
        self._made += 1
        return f"{self._node}.{self._made}"

    def tell(self, records: Sequence[Record]) -> None:
        """Tell of changes."""
        for record in records:
            if isinstance(record, Finished):
                self.finished[record.task.handler][record.outcome] += 1
        if records:
            self.watcher.changed(records)

    def tell_lost(self, number: int) -> None:
        """Tell that a task that runs here is lost."""
        self.watcher.lost(make_serial(self.tag, number))

    def tell_cancelled(self, number: int) -> None:
        """Tell that a task that runs here was cancelled elsewhere."""
        self.watcher.cancel(make_serial(self.tag, number))
