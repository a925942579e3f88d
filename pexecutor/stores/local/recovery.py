"""What a store does with the records of an earlier life, before it takes anything new.

They are read some at a time and put into the book as they are, so names are held and places taken as before. Then
each task that was running when the process died has one crash more and gets what its ``on_crash`` says: ``rerun``
makes it pending again, at its old place and with no attempt counted, as after a hard stop, unless it has had too many
crashes (see ``crashes.py``); ``fail`` makes it ``abandoned``. One that had been told to stop for a newer task of its
name is cancelled. A task that is followed passes its name on, as ever.

Nothing is started and nobody is answered before that is durable. If the process dies before that, the next life finds
the same records and comes to the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Container, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from ...errors import UnusableStoreError
from ...task import Ending, Finished, Outcome, Record, Running, wait_again
from .book import Book
from .crashes import abandoned_after, with_crash
from .submission import SUPERSEDED, begin, end_and_pass_on

ABANDONED: Final = Ending(Outcome.ABANDONED, "the server died while this task ran", retryable=False)


class Recovered(msgspec.Struct, frozen=True):
    """What was found, for the log.

    Parameters:
        waiting: tasks that waited, and wait again.
        rerun: tasks that ran, and wait again.
        ended: tasks that ran, and have ended.
        history: finished tasks that can be read.
        mended: records that had to be bounded, or made representable.
        set_aside: rows that are no records; they are kept in the table ``damaged``.
        lost_transactions: the last changes of the life before that are not in the file any more.
    """

    waiting: int
    rerun: int
    ended: int
    history: int
    mended: int = 0
    set_aside: int = 0
    lost_transactions: int = 0


async def load(records: AsyncIterable[Sequence[Record]], book: Book) -> Counter[str]:
    """Put the records of an earlier life into an empty book; how many tasks in flight each handler has.

    Raises:
        UnusableStoreError: the records contradict one another.
    """
    history: list[Finished] = []
    handlers: Counter[str] = Counter()
    with book.restoring():
        async for some in records:
            for record in some:
                if isinstance(record, Finished):
                    history.append(record)
                else:
                    book.put([record])
                    handlers[record.task.handler] += 1
        _let_orphans_go_on(book)
        _check_names(book, in_flight=handlers.total())
        book.put(sorted(history, key=attrgetter("finished_at", "serial")))
    return handlers


def _let_orphans_go_on(book: Book) -> None:
    """Give followers their turn whose name is free: the record of the task that they follow was not readable."""
    orphans = [record for record in book.following.values() if book.registry.get(record.task.name) is None]
    book.put([begin(record.serial, record.task, record.submitted_at, record.submitted_at) for record in orphans])


def _check_names(book: Book, in_flight: int) -> None:
    """See that each name has one holder, and each follower follows that of its name."""
    followers = book.following.values()
    if len(book.registry) + len(followers) != in_flight or any(
        book.registry.get(record.task.name) != record.follows for record in followers
    ):
        raise UnusableStoreError(
            "the store is damaged (two of its tasks claim one name): `pexecutor db export` saves its tasks"
        )


def check_handlers(needed: Counter[str], known: Container[str]) -> None:
    """Raise ``UnusableStoreError`` when a task in flight needs a handler that there is not."""
    for name, tasks in sorted(needed.items()):
        if name not in known:
            raise UnusableStoreError(
                f"the handler `{name}` is not declared and {tasks} stored tasks need it: declare it, or let them fail "
                "with --unknown-handlers fail"
            )


def recovery(book: Book, running: Sequence[Running], now: float, crashes_max: int) -> list[Record]:
    """Return the changes of tasks whose process died while they ran."""
    return [change for record in running for change in _recover(book, with_crash(record), now, crashes_max)]


def _recover(book: Book, record: Running, now: float, crashes_max: int) -> list[Record]:
    follower = book.following.get(record.serial)
    if follower is not None and follower.supersedes:
        return end_and_pass_on(book, record, SUPERSEDED, now)
    if record.task.on_crash == "fail":
        return end_and_pass_on(book, record, ABANDONED, now)
    if record.crashes >= crashes_max:
        return end_and_pass_on(book, record, abandoned_after(record.crashes), now)
    return [wait_again(record)]
