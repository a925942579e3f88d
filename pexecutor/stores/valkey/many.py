"""Changes of many tasks: one call of a function on the server is one step (``functions/records.lua``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import trio

from ...task import Finished, Record, Running
from .calls import Calls
from .protocol import CHANGES_MAX
from .replies import number_of
from .wire import Row, ServerReply


async def cancel_many(calls: Calls, task_ids: Sequence[str]) -> list[Running | Finished | None]:
    """Cancel the first of many tasks; return a result for each of them, as ``Store.cancel_many`` does."""
    return cast("list[Running | Finished | None]", await _act(calls, "cancel_many", task_ids, calls.new_id()))


async def change_many(calls: Calls, task_ids: Sequence[str], priority: int) -> list[Record | None]:
    """Give the first of many tasks another priority; return a result for each, as ``Store.change_many`` does."""
    return await _act(calls, "change_many", task_ids, priority)


async def _act(calls: Calls, verb: str, task_ids: Sequence[str], argument: Any) -> list[Record | None]:
    """Call a verb for as many tasks as one step may change, report its changes, and return its results."""
    if not task_ids:
        await trio.lowlevel.checkpoint()
        return []
    numbers = [calls.number_of(task_id) for task_id in task_ids[:CHANGES_MAX]]
    reply: ServerReply[list[Row | bool]] = await calls.ask(verb, numbers, argument)
    changed = [calls.read(change) for change in reply.changes if isinstance(change, Row)]
    latest = {number_of(record): record for record in changed}  # a task can get a name, and then be cancelled
    calls.report([*latest.values()])
    return [
        calls.read(result) if isinstance(result, Row) else latest[number] if result else None
        for number, result in zip(numbers, reply.result, strict=False)  # the rest did not fit
    ]
