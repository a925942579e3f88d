"""``Ledger``: what callers were told, what handlers did, what the file was given, and all that has to follow from it.

It outlives the processes. Three accounts are kept and compared:

* **told**: tasks that callers were told are accepted, and outcomes that could be read;
* **published**: the records of the store as they were at the last look;
* **file**: the records that the file must hold, by the transactions that succeeded.

``look`` compares them in the middle of everything, ``found`` compares the file with what a new process really finds in
it, and ``recovered`` compares what that one makes of it.

A transaction that has failed, or was under way when the process died, is in doubt until a later one has succeeded: of
those the file may hold one, whole. A record may be ahead of what is published between its transaction and its
publication; one whose caller gave up is to be set right by the next transactions. And so is the start of a task that
would be run again: the file need not have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from pexecutor import Finished, Following, Outcome, Pending, Record, Running, Scheduled, Task
from pexecutor.handlers import Context
from pexecutor.stores.limits import keys_of
from pexecutor.stores.local.book import Book
from pexecutor.stores.mending import failed_to_write
from pexecutor.stores.sqlite.rows import to_row
from pexecutor.task import parse_task_id
from pexecutor.values import ERROR_BYTES_MAX
from pexecutor.web.api.wire import detail, view

from .deeds import Given

NOT_WRITTEN: Final = "could not be written"
WRITES_AHEAD_MAX: Final = 2
"""How many transactions later a record that nobody was told of is set right."""


class BrokenInvariantError(AssertionError):
    """The program broke a promise."""


def demand(holds: bool, promise: str, *facts: object) -> None:
    """Raise ``BrokenInvariantError`` unless it holds."""
    if not holds:
        raise BrokenInvariantError(" ".join([promise, *(f"| {fact!r}" for fact in facts)]))


class Ledger:
    """The accounts of one seed.

    Parameters:
        queue_size: how many tasks may wait.
        pool_size: how many run at once.
        in_order: whether starts can be held against the order of acceptance; no disk may take time for that.
        crashes_max: how many crashes a task may have.
    """

    def __init__(self, queue_size: int, pool_size: int, *, in_order: bool, crashes_max: int) -> None:
        self.queue_size = queue_size
        self.crashes_max = crashes_max
        self.pool_size = pool_size
        self.writes = 0
        # By serial: what was told, what is published, what is in the file, and what history has let go of.
        self.accepted: set[int] = set()
        self.outcomes: dict[int, Finished] = {}
        self.published: dict[int, Record] = {}
        self.file: dict[int, Record] = {}
        self._forgotten: set[int] = set()
        # By the mark of the submitted task: who was refused, and who may be there all the same after a crash.
        self._refused: set[int] = set()
        self._excused: set[int] = set()
        # Transactions since the last one that succeeded, and by serial the number of the one that went ahead.
        self._doubts: list[dict[int, Record | None]] = []
        self._ahead: dict[int, int] = {}
        # What the file may be as well, until the process that has found it serves: that was perhaps not flushed.
        self._earlier: list[dict[int, Record]] = []
        self._in_order = in_order
        self._pending_since: dict[int, float] = {}
        self._to_run_again: set[int] = set()
        self._unwritable: set[tuple[int, int]] = set()  # attempts, in the same way
        self._given: dict[tuple[int, int], Given] = {}  # by serial and attempt: how that one has to end
        self._crashed: set[int] = set()  # serials of those that ran at the last death, until they are looked at

    # What callers and handlers know

    def tell_accepted(self, serial: int) -> None:
        """A caller was told that a task is accepted."""
        self.accepted.add(serial)

    def tell_refused(self, marks: Iterable[int]) -> None:
        """A caller was told that tasks with these marks were not taken."""
        self._refused.update(marks)

    def tell_outcome(self, record: Finished) -> None:
        """An outcome could be read."""
        known = self.outcomes.setdefault(record.serial, record)
        demand(known == record, "an outcome is final", known, record)

    def tell_run(self, task_id: str, attempt: int) -> None:
        """A handler has begun."""
        serial = parse_task_id(task_id)
        assert serial is not None
        demand(serial not in self.outcomes, "nothing runs after its outcome", self.outcomes.get(serial))
        self._to_run_again.discard(serial)
        self._given.pop((serial, attempt), None)

    def tell_unwritable(self, running: Running) -> None:
        """The outcome of an attempt cannot be written."""
        self._unwritable.add((running.serial, len(running.attempts) + 1))

    def tell_given(self, task_id: str, attempt: int, given: Given) -> None:
        """A handler is about to end, if nothing cuts it off."""
        serial = parse_task_id(task_id)
        assert serial is not None
        self._given[serial, attempt] = given

    def is_known(self, serial: int) -> bool:
        """Whether a task is in the store or in its file, or has been."""
        return serial in self.published or serial in self.file or serial in self.outcomes

    # What the file is given

    def write_begins(self, records: Sequence[Record], gone: Sequence[int]) -> None:
        """A transaction is under way, and so in doubt."""
        change: dict[int, Record | None] = {record.serial: _as_written(record) for record in records}
        self._doubts.append(change | dict.fromkeys(gone))

    def write_succeeded(self) -> None:
        """The transaction that was under way is in the file, and no earlier one that failed."""
        self.writes += 1
        change = self._doubts[-1]
        self._doubts.clear()
        self._earlier.clear()
        self.file = _applied(self.file, change)
        for serial in change:
            self._ahead[serial] = self.writes

    def forget(self, serial: int) -> None:
        """The store keeps a record no longer."""
        record = self.file.get(serial)
        demand(isinstance(record, Finished), "only what has ended is forgotten", serial, record)
        assert isinstance(record, Finished)
        self.tell_outcome(record)
        self._forgotten.add(serial)

    # What has to hold at every instant

    def look(self, book: Book, now: float, at_work: set[str]) -> None:
        """Compare the accounts with the store as it is."""
        records = book._records
        self._look_at_names(book, records, at_work)
        started = []
        for serial, record in records.items():
            known = self.published.get(serial)
            if record is not known:
                self._look_at_change(known, record, now)
                if isinstance(record, Pending):
                    self._pending_since[serial] = now
                elif isinstance(record, Running):
                    started.append(record)
        self._look_at_trials([record for record in records.values() if isinstance(record, Running)])
        if self._in_order:
            for running in started:
                self._look_at_order(book, running)
        self.published = dict(records)
        lost = self.accepted - records.keys() - self._forgotten
        demand(not lost, "no accepted task is lost", lost)
        self._look_at_file(records)

    def _look_at_names(self, book: Book, records: Mapping[int, Record], at_work: set[str]) -> None:
        holders = [record for record in records.values() if not isinstance(record, Finished | Following)]
        held = {record.task.name: record.serial for record in holders}
        demand(len(held) == len(holders), "at most one task holds a name", holders)
        demand(len(book.registry) == len(held), "a free name is free", book.registry, held)
        for name, serial in held.items():
            demand(book.registry.get(name) == serial, "a name is held by its task", name, serial)
        running = {record.task.name for record in holders if isinstance(record, Running)}
        demand(running >= at_work, "no work without a running task", at_work, running)
        demand(len(running) <= self.pool_size, "no more run than there are workers", running)
        followers = [record for record in records.values() if isinstance(record, Following)]
        for follower in followers:
            demand(held.get(follower.task.name) == follower.follows, "who follows, follows the holder", follower)
        in_flight = len(holders) + len(followers)
        demand(in_flight <= self.queue_size + self.pool_size, "the bound holds", in_flight)
        demand(book.waiting() == in_flight - len(running), "who waits is counted", book.waiting(), in_flight)

    def _look_at_change(self, known: Record | None, record: Record, now: float) -> None:
        if known is not None:
            demand(record.attempts[: len(known.attempts)] == known.attempts, "no attempt is lost", known, record)
            crashes = known.crashes + (record.serial in self._crashed)
            demand(record.crashes == crashes, "a crash stays counted, and nothing else counts as one", known, record)
            self._crashed.discard(record.serial)
            demand(known.task.name == record.task.name, "an id stays with its task", known, record)
            tried = len(record.attempts) > len(known.attempts)
            demand(tried or not _tells_of_attempt(known, record, now), "an attempt counts", known, record)
        if isinstance(record, Finished):
            self.tell_outcome(record)
        self._look_at_attempts(known, record)
        demand_readable(record)
        mark = record.task.params["mark"]
        demand(mark not in self._refused or mark in self._excused, "what was refused is not there", record)

    def _look_at_attempts(self, known: Record | None, record: Record) -> None:
        before = 0 if known is None else len(known.attempts)
        for number, attempt in enumerate(record.attempts[before:], before + 1):
            demand(len((attempt.error or "").encode()) <= ERROR_BYTES_MAX, "an error is bounded", record)
            if attempt.outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
                given = self._given.get((record.serial, number))
                as_given = given and given.outcome is attempt.outcome and given.error in (attempt.error or "")
                unwritten = (record.serial, number) in self._unwritable and NOT_WRITTEN in (attempt.error or "")
                demand(unwritten or bool(as_given), "an attempt ends as its handler did", given, record)
                again = not isinstance(record, Finished) and number == len(record.attempts)
                demand(not again or given is None or given.retryable, "what failed for good is not tried again", record)

    def _look_at_trials(self, running: Sequence[Running]) -> None:
        crashed = [record for record in running if record.crashes]
        on_trial = any(record.crashes >= self.crashes_max - 1 for record in crashed)
        demand(not on_trial or len(crashed) == 1, "who is on trial runs apart from others with a crash", crashed)

    def _look_at_order(self, book: Book, running: Running) -> None:
        for pending in book.pending:
            demand(
                pending.task.priority != running.task.priority
                or pending.serial > running.serial
                or self._pending_since[pending.serial] >= running.started_at
                or keys_of(pending) != keys_of(running)
                or pending.crashes > 0,  # it may have had to wait for the end of another with a crash
                "first come, first started",
                running,
                pending,
            )

    def _look_at_file(self, records: Mapping[int, Record]) -> None:
        for serial, write in list(self._ahead.items()):
            record, kept = records.get(serial), self.file.get(serial)
            if _is_kept(record, kept):
                del self._ahead[serial]
            else:
                demand(
                    self.writes - write <= WRITES_AHEAD_MAX or serial in self._forgotten,
                    "the file is set right",
                    record,
                    kept,
                )
        for serial, record in records.items():
            kept = self.file.get(serial)
            demand(
                kept is record or serial in self._ahead or _is_kept(record, kept),
                "what can be read is in the file",
                record,
                kept,
            )

    # What the next process finds, and makes of it

    def found(self, records: Sequence[Record], latest: int) -> None:
        """The file as it is before the next process opens it; ``latest`` is the last serial that it says was given."""
        found = {record.serial: record for record in records}
        possible = [self.file, *self._earlier, *(_applied(self.file, doubt) for doubt in self._doubts)]
        demand(found in possible, "the file holds what it was given", _difference(found, self.file), self._doubts)
        demand(latest >= max([*found, *self.accepted], default=0), "no id is given twice", latest)
        for serial, record in found.items():
            if isinstance(record, Following) and record.supersedes:
                held, ran = self.published.get(record.follows), found[record.follows]
                known = isinstance(ran, Running) or not isinstance(held, Running)
                demand(known or serial not in self.published, "who was told to stop is known to have run", held, ran)
            if isinstance(self.published.get(serial), Running) and isinstance(record, Pending | Scheduled):
                self._to_run_again.add(serial)
            published = self.published.get(serial)
            if not _is_kept(published, record):
                unlearned = serial in self._ahead or any(serial in doubt for doubt in self._doubts)
                demand(unlearned or serial in self._forgotten, "what was told is found again", published, record)
                self._excused.add(record.task.params["mark"])
        self._forgotten -= found.keys()
        self._earlier = possible
        self.file = found
        self._doubts.clear()
        self._ahead.clear()
        self.published = dict(found)
        self._pending_since.clear()
        self._crashed = {serial for serial, record in found.items() if isinstance(record, Running)}

    def recovered(self, book: Book, found: Sequence[Record]) -> None:
        """What a process has made of the file, before anything else has happened."""
        self._earlier.clear()
        superseding = {record.follows for record in found if isinstance(record, Following) and record.supersedes}
        for record in found:
            after = book.get(record.serial)
            if isinstance(record, Following):
                same = isinstance(after, Following | Scheduled | Pending | Running) and after.task == record.task
                demand(same, "who followed waits", record, after)
            elif not isinstance(record, Running):
                same = _is_kept(after, record) or _has_expired(record, after)
                demand(same, "what waited or has ended is as it was", record, after)
            elif (
                record.serial in superseding or record.task.on_crash == "fail" or record.crashes + 1 >= self.crashes_max
            ):
                expected = Outcome.CANCELLED if record.serial in superseding else Outcome.ABANDONED
                ended = isinstance(after, Finished) and after.outcome is expected
                demand(ended or record.serial in self._forgotten, "what is not to run again has ended", record, after)
                self._to_run_again.discard(record.serial)  # it may have been renewed since an earlier death
            else:
                again = isinstance(after, Pending | Running) and after.attempts == record.attempts
                demand(again, "what ran waits to run again", record, after)
                counted = after is not None and after.crashes == record.crashes + 1
                demand(counted, "a crash is counted", record, after)
                self._to_run_again.add(record.serial)

    def all_done(self, book: Book) -> None:
        """The end of a life in which everything came to its end."""
        in_flight = [record for record in book._records.values() if not isinstance(record, Finished)]
        demand(not in_flight, "every task comes to its end", in_flight)
        for serial in self.accepted:
            demand(serial in self.outcomes, "every accepted task has an outcome", serial)
        for serial in self._to_run_again:
            outcome = self.outcomes[serial].outcome
            demand(outcome is Outcome.CANCELLED, "what ran when the process died ran again", self.outcomes[serial])

    def settled(self) -> None:
        """The end of an orderly stop: what was published is what the file holds."""
        demand(not self._doubts, "nothing is left in doubt", self._doubts)
        for serial, kept in self.file.items():
            published = self.published.get(serial)
            demand(_is_kept(published, kept), "the file is the store", published, kept)


def demand_readable(record: Record, context: Context | None = None) -> None:
    """See that a record can be shown, in a listing and alone."""
    try:
        shown = msgspec.json.encode([view(record, context), detail(record, context)])
        msgspec.json.decode(shown)
    except (ValueError, TypeError, OverflowError) as error:
        raise BrokenInvariantError(f"every record can be shown | {error!r} | {record!r}") from error


def _as_written(record: Record) -> Record:
    """What the file is to hold in the place of a record: itself, unless it cannot be written."""
    try:
        to_row(record)
    except ValueError as error:
        assert isinstance(record, Finished | Scheduled)
        return failed_to_write(record, f"{type(error).__name__}: {error}")
    return record


def _applied(file: dict[int, Record], change: dict[int, Record | None]) -> dict[int, Record]:
    merged: dict[int, Any] = file | change
    return {serial: record for serial, record in merged.items() if record is not None}


def _is_kept(record: Record | None, kept: Record | None) -> bool:
    """Whether the file has a record as the store has it, or one that is as good.

    One that has become due meanwhile says so by its time, and one that has started and is run again needs not say so.
    """
    if record is kept or record == kept:
        return True
    if record is None or kept is None:
        return False
    match record, kept:
        case (Pending(), Scheduled()) | (Running(task=Task(on_crash="rerun")), Pending() | Scheduled()):
            same = (record.task, record.attempts, record.submitted_at, record.rare)
            return same == (kept.task, kept.attempts, kept.submitted_at, kept.rare)
        case _:
            return False


def _tells_of_attempt(known: Record, record: Record, now: float) -> bool:
    """Whether there must have been an attempt between two states of a task.

    One that becomes due while it is given a newer task may for an instant be seen pending, and scheduled once more.
    """
    match record:
        case Finished():
            return not isinstance(known, Finished) and record.outcome is not Outcome.CANCELLED
        case Scheduled():
            same = isinstance(known, Following) or (isinstance(known, Scheduled) and known.due_at == record.due_at)
            return not same and record.due_at > now
        case _:
            return False


def _has_expired(record: Record, after: Record | None) -> bool:
    """Whether a record that had ended has left the history."""
    return isinstance(record, Finished) and after is None


def _difference(found: dict[int, Record], file: dict[int, Record]) -> list[tuple[Record | None, Record | None]]:
    serials = sorted(found.keys() | file.keys())
    return [(found.get(serial), file.get(serial)) for serial in serials if found.get(serial) != file.get(serial)]
