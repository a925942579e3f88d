"""``Submission``: the verdicts on a list of submitted tasks, decided in one go and without awaiting.

Each task is decided on top of the decisions about the tasks before it, so a list has the effect of its tasks submitted
one by one. Nothing is changed here: the results are ``verdicts`` for the caller and ``changes`` for the store, which
makes them durable and then puts them into its book.

``on_conflict`` decides what happens when the name is held:

* ``reject``: the verdict is a duplicate.
* ``join``: the verdict is accepted, with the holder's record.
* ``latest``: a holder that has not started gets the content of the new task, and keeps its id and its place. If the
  holder runs, exactly one more run follows: the first such submit makes a follower, and each further one replaces the
  follower's task.
* ``supersede``: a holder that has not started ends cancelled, and the new task takes its name in the same step. A
  running holder is asked to stop, and the new task follows it. A follower that was there already ends cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from random import Random
from typing import Any, Final

import msgspec

from ...task import (
    FULL,
    Accepted,
    Attempt,
    Duplicate,
    Ending,
    Finished,
    Following,
    Full,
    Holder,
    InFlight,
    Outcome,
    Pending,
    Rare,
    Record,
    Running,
    Scheduled,
    Task,
    Verdict,
    Waiting,
)
from ..endings import SUPERSEDED
from ..retry import retry_at
from .book import Book
from .rare_facts import RareFacts

NO_ATTEMPTS: Final[tuple[Attempt, ...]] = ()


class Submission:
    """The decisions about one list of tasks.

    Parameters:
        book: the records before the submit; they are read, not changed.
        room: how many places the queue has free.
        now: the time, in seconds since 1970.
        draw_serials: returns this many new serials.
        facts: the rare facts about new tasks.
    """

    def __init__(
        self, book: Book, *, room: int, now: float, draw_serials: Callable[[int], Sequence[int]], facts: RareFacts
    ) -> None:
        self.verdicts: list[Verdict] = []
        self.changes: list[Record] = []
        self.plain: list[Pending] = []
        """The changes, if every task was accepted, is due and had a free name; otherwise empty."""
        self.superseded_running: list[Running] = []
        """Superseded tasks that run. Their starts are written too: after a crash they must be cancelled, not rerun."""
        self.places: int = 0
        self._book = book
        self._room = room
        self._now = now
        self._draw_serials = draw_serials
        self._facts = facts
        self._retry_of = 0  # of the task that is being decided about
        # The decisions so far: the holder of a name, and the follower of a holder by the holder's serial.
        self._holders: dict[str, Holder | None] = {}
        self._followers: dict[int, Following | None] = {}

    def decide(self, tasks: Sequence[Task], *, atomic: bool = False, retry_of: Sequence[int] = ()) -> None:
        """Decide about each task; with ``atomic``, accept none unless all fit.

        ``retry_of`` has the serials of the finished tasks that the tasks repeat, or is empty.
        """
        if retry_of or not self.take_all(tasks):
            self._decide_one_by_one(tasks, retry_of)
            if atomic and any(isinstance(verdict, Full) for verdict in self.verdicts):
                self._refuse()

    def take_all(self, tasks: Sequence[Task]) -> bool:
        """Accept all tasks and return ``True``, if each is due, has room and has a free name that no other has.

        The result is the one that ``_decide_one_by_one`` would give.
        """
        names = {task.name for task in tasks}
        if not len(tasks) == len(names) <= self._room or self._book.registry.holds_any(names):
            return False
        if [task for task in tasks if task.delay or task.run_at is not None]:
            return False
        now, serials = self._now, self._draw_serials(len(tasks))
        numbered = zip(serials, tasks, strict=True)
        if self._facts.are_none:
            self.plain = [Pending(serial, task, now, NO_ATTEMPTS) for serial, task in numbered]
        else:
            rare = self._facts.of
            self.plain = [Pending(serial, task, now, NO_ATTEMPTS, rare=rare(task)) for serial, task in numbered]
        self.changes = [*self.plain]
        self.places = len(tasks)
        self.verdicts = [Accepted(record) for record in self.plain]
        return True

    def _decide_one_by_one(self, tasks: Sequence[Task], retry_of: Sequence[int] = ()) -> None:
        for task, self._retry_of in zip(tasks, retry_of or repeat(0, len(tasks)), strict=True):
            holder = self._holder(task.name)
            self.verdicts.append(self._take(task) if holder is None else self._meet(task, holder))

    def _refuse(self) -> None:
        """Undo every acceptance, because the list does not fit as a whole."""
        self.changes, self.plain, self.superseded_running, self.places = [], [], [], 0
        self.verdicts = [verdict if self._stands(verdict) else FULL for verdict in self.verdicts]

    def _stands(self, verdict: Verdict) -> bool:
        """Return whether a verdict is valid without the rest of the list: a duplicate of a task that existed before."""
        return isinstance(verdict, Duplicate) and self._book.get(verdict.holder.serial) is not None

    def _meet(self, task: Task, holder: Holder) -> Verdict:
        match task.on_conflict:
            case "reject":
                return Duplicate(holder)
            case "join":
                return Accepted(holder)
            case "latest":
                return self._renew(task, holder)
            case "supersede":
                return self._supersede(task, holder)

    def _take(self, task: Task) -> Verdict:
        if self.places >= self._room:
            return FULL
        self.places += 1
        [serial] = self._draw_serials(1)
        record = begin(serial, task, self._now, self._now, self._rare(task))
        self._put(record)
        return Accepted(record)

    def _renew(self, task: Task, holder: Holder) -> Verdict:
        target = self._follower(holder)
        if target is None and isinstance(holder, Running):
            return self._follow(task, holder, supersedes=False)
        waiting = holder if target is None else target
        renewed = msgspec.structs.replace(waiting, task=task, rare=self._rare(task, waiting.crashes))
        self._put(renewed)
        return Accepted(renewed)

    def _supersede(self, task: Task, holder: Holder) -> Verdict:
        if (follower := self._follower(holder)) is not None:
            self._cancel(follower)
        if isinstance(holder, Running):
            return self._follow(task, holder, supersedes=True)
        self._cancel(holder)
        return self._take(task)

    def _follow(self, task: Task, holder: Running, *, supersedes: bool) -> Verdict:
        if self.places >= self._room:
            return FULL
        self.places += 1
        [serial] = self._draw_serials(1)
        rare = self._rare(task)
        record = Following(serial, task, self._now, NO_ATTEMPTS, holder.serial, supersedes, rare=rare)
        self._put(record)
        if supersedes:
            self.superseded_running.append(holder)
        return Accepted(record, holder if supersedes else None)

    def _rare(self, task: Task, crashes: int = 0) -> Rare | None:
        return self._facts.of(task, crashes, self._retry_of)

    def _cancel(self, record: Waiting | Following) -> None:
        self.places -= 1
        self._put(end(record, SUPERSEDED, self._now))

    def _put(self, record: InFlight | Finished) -> None:
        self.changes.append(record)
        match record:
            case Following():
                self._followers[record.follows] = record
            case Finished():
                self._forget(record)
            case _:
                self._holders[record.task.name] = record

    def _forget(self, record: Finished) -> None:
        holder = self._holder(record.task.name)
        if holder is not None and holder.serial == record.serial:
            self._holders[record.task.name] = None
        elif holder is not None:
            self._followers[holder.serial] = None

    def _holder(self, name: str) -> Holder | None:
        return self._holders[name] if name in self._holders else self._book.holder(name)

    def _follower(self, holder: Holder) -> Following | None:
        serial = holder.serial
        return self._followers[serial] if serial in self._followers else self._book.following.get(serial)


def begin(serial: int, task: Task, submitted_at: float, now: float, rare: Rare | None) -> Waiting:
    """Return the first state of a task that holds its name."""
    due_at = task.due_at(submitted_at)
    # A follower without a time of its own is due, also if the clock was set back after its submit.
    if due_at > max(now, submitted_at):
        return Scheduled(serial, task, submitted_at, NO_ATTEMPTS, due_at, rare=rare)
    return Pending(serial, task, submitted_at, NO_ATTEMPTS, rare=rare)


def follow_on(follower: Following, now: float) -> Waiting:
    """Return the state of a follower whose name has become free."""
    return begin(follower.serial, follower.task, follower.submitted_at, now, follower.rare)


def start(record: Pending, now: float) -> Running:
    """Return the state of a task that a worker starts."""
    return Running(record.serial, record.task, record.submitted_at, record.attempts, now, rare=record.rare)


def end(record: InFlight, ending: Ending, now: float) -> Finished:
    """Return the last state of a task."""
    tried = attempts(record, ending, now)
    return Finished(record.serial, record.task, record.submitted_at, tried, now, ending, rare=record.rare)


def end_and_pass_on(book: Book, record: InFlight, ending: Ending, now: float) -> list[Record]:
    """Return the end of a task, and the state of its follower, which takes the name in the same step."""
    changes: list[Record] = [end(record, ending, now)]
    follower = book.following.get(record.serial)
    if follower is not None and not isinstance(record, Following):
        changes.append(follow_on(follower, now))
    return changes


def all_just_end(book: Book, ended: Sequence[tuple[Running, Ending]]) -> bool:
    """Return whether all attempts succeeded and no task waits for one of them: then there is nothing to decide."""
    if book.following and any(running.serial in book.following for running, _ in ended):
        return False
    if book.crashed:
        return False  # tasks may wait until one that has a crash has ended, and must be woken
    return {ending.outcome for _, ending in ended} == {Outcome.SUCCEEDED}


def after(book: Book, running: Running, ending: Ending, now: float, jitter: Random) -> list[Any]:
    """Return the changes that the end of an attempt causes; the record of the task itself comes first."""
    if running.serial not in book.following:
        at = retry_at(running, ending, now, jitter)
        if at is not None:
            tried = attempts(running, ending, now)
            return [Scheduled(running.serial, running.task, running.submitted_at, tried, at, rare=running.rare)]
    return end_and_pass_on(book, running, ending, now)


def attempts(record: InFlight, ending: Ending, now: float) -> tuple[Attempt, ...]:
    """Return the attempts of a task, including the one that ends now."""
    if not isinstance(record, Running):
        return record.attempts
    return (*record.attempts, Attempt(record.started_at, now, ending.outcome, ending.error))
