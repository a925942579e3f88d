"""The snapshot of a local store that its observers read."""

from __future__ import annotations

from collections import Counter

from .. import StoreStatistics
from ..limits import LimitState
from .book import Book
from .journal_protocol import Journal


def take_snapshot(
    book: Book, journal: Journal | None, queue_size: int, schedules: int, deliveries: int, limits: LimitState
) -> StoreStatistics:
    """Return the statistics of a store.

    Parameters:
        book: the records of the store.
        journal: makes changes durable; ``None`` if the store has none.
        queue_size: how many tasks may wait.
        schedules: how many schedules there are.
        deliveries: how many deliveries there are.
        limits: the numbers of limits, the pauses, and the slots in use.
    """
    finished = book.finished()
    return StoreStatistics(
        queue_size=queue_size,
        pending=len(book.pending),
        scheduled=len(book.later),
        running=len(book.running),
        history=len(book.history),
        finished=dict(sum(finished.values(), Counter())),
        finished_by_handler={handler: dict(counts) for handler, counts in finished.items()},
        durable=journal is not None,
        trouble=None if journal is None else journal.trouble,
        damaged=0 if journal is None else sum(journal.repairs),
        schedules=schedules,
        deliveries=deliveries,
        limits=limits,
        writing_seconds=0.0 if journal is None else journal.writing_seconds,
    )
