"""The snapshot of a shared store for observers, from the last reply of its server."""

from __future__ import annotations

from collections import Counter

from .. import StoreStatistics
from ..limits import LimitState
from .calls import Calls


def take_snapshot(
    calls: Calls, queue_size: int, *, durable: bool, trouble: str | None, limits: LimitState
) -> StoreStatistics:
    """Return the statistics of a node's part of a shared store."""
    counts, finished = calls.counts, calls.finished
    return StoreStatistics(
        queue_size=queue_size,
        pending=counts.pending,
        scheduled=counts.later,
        running=counts.running,
        history=counts.history,
        finished=dict(sum(finished.values(), Counter())),
        finished_by_handler={handler: dict(outcomes) for handler, outcomes in finished.items()},
        durable=durable,
        trouble=trouble,
        damaged=counts.damaged,
        schedules=counts.schedules,
        deliveries=counts.deliveries,
        limits=limits,
    )
