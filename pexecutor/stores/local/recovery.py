"""Recovery: the treatment of the records of an earlier process, before the store accepts anything new.

The records are read in batches and put into the book unchanged, so names are held and places taken as before. Then each
task that was running when the process died gets one more crash and is treated as its ``on_crash`` says. ``rerun`` makes
it pending again, at its old place and without counting an attempt, as after a hard stop, unless it has too many crashes
(see ``crashes.py``). ``fail`` makes it ``abandoned``. A task that was being superseded ends cancelled. A task that has
a follower passes its name on, as at any other end.

These changes are durable before any task starts and before any caller gets an answer. If the process dies earlier, the
next process finds the same records and makes the same changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Container, Sequence
from operator import attrgetter

import msgspec

from ...errors import UnusableStoreError, counted
from ...task import Finished, Record, Running, wait_again
from ..endings import ABANDONED, SUPERSEDED, abandoned_after
from .book import Book
from .crashes import with_crash
from .submission import end_and_pass_on, follow_on


class Recovered(msgspec.Struct, frozen=True):
    """The result of a recovery, for the log.

    Parameters:
        waiting: the number of tasks that waited, and wait again.
        rerun: the number of tasks that were running, and wait again.
        ended: the number of tasks that were running, and have ended.
        history: the number of finished tasks that can be read.
        mended: the number of records that had to be bounded or made representable.
        set_aside: the number of rows that are not valid records; they are kept in the table ``damaged``.
        lost_transactions: the number of the earlier process's last changes that are missing from the file.
    """

    waiting: int
    rerun: int
    ended: int
    history: int
    mended: int = 0
    set_aside: int = 0
    lost_transactions: int = 0


async def load(records: AsyncIterable[Sequence[Record]], book: Book) -> Counter[str]:
    """Put the records of an earlier process into an empty book; return how many tasks in flight each handler has.

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
    """Give each follower whose name is free its turn: the record of the task that it follows was not readable."""
    orphans = [record for record in book.following.values() if book.registry.get(record.task.name) is None]
    book.put([follow_on(record, record.submitted_at) for record in orphans])


def _check_names(book: Book, in_flight: int) -> None:
    """Check that each name has one holder, and that each follower follows the holder of its name."""
    followers = book.following.values()
    if len(book.registry) + len(followers) != in_flight or any(
        book.registry.get(record.task.name) != record.follows for record in followers
    ):
        raise UnusableStoreError(
            "the store is damaged (two of its tasks claim one name): `pexecutor db export` saves its tasks"
        )


def check_handlers(needed: Counter[str], known: Container[str]) -> None:
    """Raise ``UnusableStoreError`` if a task in flight needs an unknown handler."""
    for name, tasks in sorted(needed.items()):
        if name not in known:
            need = counted(tasks, "stored task needs", "stored tasks need")
            raise UnusableStoreError(
                f"the handler `{name}` is not declared and {need} it: declare it, or let them fail "
                "with --unknown-handlers fail"
            )


def recovery(book: Book, running: Sequence[Running], now: float, crashes_max: int) -> list[Record]:
    """Return the changes of the tasks that were running when their process died."""
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
