"""Why a task of a local store does not run."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ...task import Finished, Following, Pending, Record, Running, Scheduled, format_task_id
from .. import NodeState
from ..limits import (
    HOLDERS_SHOWN_MAX,
    AtLimit,
    Block,
    Due,
    Follows,
    LimitState,
    NodeDraining,
    NoSuchHandler,
    PoolBusy,
    Reason,
    StoreTrouble,
    blocked_by,
)
from .book import Book


def reasons(book: Book, record: Record, state: LimitState, node: NodeState, trouble: str | None) -> tuple[Reason, ...]:
    """Return the reasons for which a task does not run, in the order of ``Reason``.

    Parameters:
        book: the records.
        record: the record of the task.
        state: the numbers, the pauses, and the slots in use.
        node: the state of the executor.
        trouble: why changes cannot be made durable at present.
    """
    if isinstance(record, Running | Finished):
        return ()
    return (
        *_of_the_node(book, record, node, trouble),
        *_of_the_state(record),
        *(_with_ids(book, block) for block in blocked_by(record, state)),
        *_of_the_pool(book, record, node),
    )


def _of_the_node(book: Book, record: Record, node: NodeState, trouble: str | None) -> Iterator[Reason]:
    if trouble is not None:
        yield StoreTrouble(trouble)
    if node.draining:
        yield NodeDraining()
    if not book.gate.knows(record.task.handler):
        yield NoSuchHandler(record.task.handler)


def _of_the_state(record: Record) -> Iterator[Reason]:
    match record:
        case Following():
            yield Follows(format_task_id(record.follows))
        case Scheduled():
            yield Due(record.due_at)


def _with_ids(book: Book, block: Block) -> Block:
    if not isinstance(block, AtLimit):
        return block
    users = book.slots.users(block.key)[:HOLDERS_SHOWN_MAX]
    return msgspec.structs.replace(block, ids=tuple(map(format_task_id, users)))


def _of_the_pool(book: Book, record: Record, node: NodeState) -> Iterator[Reason]:
    if isinstance(record, Pending) and (ahead := book.pending.ahead(record)).tasks:
        yield ahead
    if 0 < node.pool_size <= node.busy:
        yield PoolBusy()
