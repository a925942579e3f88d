"""``ValkeyLimits``: the numbers of limits and the pauses of a queue on a server, and why a task does not run.

The functions in ``functions/limits.lua`` decide; those in ``functions/lanes.lua`` choose the tasks that may start.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ...task import Finished, Following, Record, Running, Scheduled, Task, format_task_id, make_serial
from .. import NodeState, Watcher
from ..limits import (
    NO_LIMITS,
    Ahead,
    AtLimit,
    Due,
    Follows,
    LimitState,
    NodeDraining,
    NoSuchHandler,
    PauseChange,
    PoolBusy,
    Reason,
    StoreTrouble,
    blocked_by,
    keys_of,
    too_many_limits,
)
from ..local.limit_settings import EVERYTHING
from .calls import Calls, Link
from .limit_rows import LimitsReply, to_state
from .queue_rows import NodeRow
from .wire import ServerReply, WhyReply


class NodeReport(NodeState, frozen=True):
    """The state that a node reports, with the handlers that it knows; ``None`` for any."""

    handlers: list[str] | None = None


_decode_report = msgspec.json.Decoder(NodeReport).decode


def about(watcher: Watcher) -> str:
    """Return what a node reports with its beats."""
    state = watcher.describe()
    report = NodeReport(state.pool_size, state.busy, state.draining, known_handlers(watcher))
    return msgspec.json.encode(report).decode()


def known_handlers(watcher: Watcher) -> list[str] | None:
    """Return the handlers that a node knows; ``None`` for any."""
    return None if watcher.handlers is None else sorted(watcher.handlers)


class ValkeyLimits:
    """The limits of a queue (see ``pexecutor.stores.limits``).

    Parameters:
        calls: the node's calls to its queue.
        link: the connection, which waits until all replies so far are as durable as requested.
        node: the name of the node.
        ask: calls a verb for one task, and returns a reply whose result has a row.
    """

    def __init__(self, calls: Calls, link: Link, node: str, *, ask: Callable[..., Awaitable[ServerReply[Any]]]) -> None:
        self.latest: LimitState = NO_LIMITS
        """The state after the last call that has returned it."""
        self._calls = calls
        self._link = link
        self._node = node
        self._ask = ask

    async def set_numbers(self, limits: Mapping[str, int], handlers: Mapping[str, int | None]) -> None:
        """Replace the numbers of all limits, and those of some handlers."""
        await self._change("set_numbers", dict(limits), {name: number or 0 for name, number in handlers.items()})

    async def pause(self, handler: str | None, by: str) -> PauseChange:
        """Pause a handler, or everything."""
        return await self._change("pause", self._calls.new_id(), EVERYTHING if handler is None else handler, by)

    async def resume(self, handler: str | None) -> PauseChange:
        """End the pause of a handler, or of everything."""
        return await self._change("resume", self._calls.new_id(), EVERYTHING if handler is None else handler)

    async def _change(self, verb: str, *arguments: Any) -> PauseChange:
        reply: LimitsReply | bool = await self._calls.call(verb, *arguments)
        if isinstance(reply, bool):
            raise too_many_limits()
        await self._link.flush()
        return PauseChange(reply.changed, self.note(reply).pauses)

    async def state(self) -> LimitState:
        """Return the numbers, the pauses, and the slots in use, as of one instant."""
        return self.note(await self._calls.call("limits"))

    def note(self, reply: LimitsReply | bool) -> LimitState:
        """Return the state in a reply, and keep it as the latest one. ``False`` stands for a queue without limits."""
        self.latest = NO_LIMITS if isinstance(reply, bool) else to_state(reply)
        return self.latest

    def handlers_missing_from(self, known: Container[str], arriving: Iterable[Task] = ()) -> dict[str, int]:  # noqa: ARG002  # as in the contract
        """Return no handler: another node may know a handler that this node does not know, so its tasks wait."""
        return {}

    async def why(self, task_id: str) -> tuple[Reason, ...]:
        """Return the reasons for which a task does not run."""
        reply: WhyReply = (await self._ask(task_id, "why", self._node, about(self._calls.watcher))).result
        assert not isinstance(reply.row, bool), "the task was found"
        record = self._calls.read(reply.row)
        if isinstance(record, Running | Finished):
            return ()
        trouble = self._link.trouble
        return (
            *([] if trouble is None else [StoreTrouble(trouble)]),
            *_of_the_record(record, reply, self.note(reply.limits), self._calls.tag),
        )


def _of_the_record(record: Record, reply: WhyReply, state: LimitState, tag: int) -> Iterator[Reason]:
    nodes = [_report_of(node) for node in reply.nodes]
    yield from _of_the_nodes(record, nodes)
    match record:
        case Following():
            yield Follows(format_task_id(record.follows))
        case Scheduled():
            yield Due(record.due_at)
    holders = dict(zip(keys_of(record), reply.holders, strict=True))
    for block in blocked_by(record, state):
        if isinstance(block, AtLimit):
            ids = tuple(format_task_id(make_serial(tag, number)) for number in holders[block.key])
            yield msgspec.structs.replace(block, ids=ids)
        else:
            yield block
    if reply.ahead:
        yield Ahead(reply.ahead, reply.exact)
    if all(0 < node.pool_size <= node.busy for node in nodes):
        yield PoolBusy()


def _of_the_nodes(record: Record, nodes: Sequence[NodeReport]) -> Iterator[Reason]:
    handler = record.task.handler
    if all(node.draining for node in nodes):
        yield NodeDraining()
    if not any(node.handlers is None or handler in node.handlers for node in nodes):
        yield NoSuchHandler(handler)


def _report_of(row: NodeRow) -> NodeReport:
    try:
        return _decode_report(row.about)
    except msgspec.DecodeError:
        return NodeReport()
