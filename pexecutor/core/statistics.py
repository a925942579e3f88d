"""``Statistics``: one snapshot of an executor; ``Tally``: the counters behind it.

Counters are kept per handler, and a total is their sum. So totals and parts cannot disagree.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from ..notifications.counts import NotificationResult
from ..observe.batch_counts import Gathered, by_handler, value_counts
from ..observe.histogram import TASK_SECONDS, Histogram
from ..schedules.counts import Result
from ..stores import StoreStatistics
from ..stores.schedules import SkipReason
from ..task import Accepted, Attempt, Draining, Duplicate, Finished, Full, Outcome, Running, Scheduled, Task, Verdict

_REFUSED: Final = (Full, Draining)


class Phase(enum.StrEnum):
    """The phase of an executor's life; it only moves forward."""

    NEW = "new"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"


class Counts(msgspec.Struct, frozen=True):
    """Counts since the start, of one handler's tasks or of all tasks.

    Parameters:
        submitted: tasks that were accepted or joined an accepted task.
        duplicates: tasks that were refused because their name was held.
        rejected: tasks that were refused because the queue was full or the executor was draining.
        started: attempts that have begun.
        retried: attempts after which the task waits for a retry.
        released: attempts that the hard stop cut off; their tasks are pending again.
    """

    submitted: int
    duplicates: int
    rejected: int
    started: int
    retried: int
    released: int


class Statistics(msgspec.Struct, frozen=True):
    """One snapshot of an executor, for every observer. Counts are since the executor's start.

    Parameters:
        phase: the phase of the executor's life.
        pool_size: the number of workers.
        busy: the number of workers that have a task.
        submitted, duplicates, rejected, started, retried, released: the sums of the counts of all handlers.
        finished_per_second: endings per second over the last minute.
        waiting_for_room: the number of submits that wait for room in the queue.
        handlers: the counts of each handler, by name.
        occurrences: the occurrences of schedules, by schedule and result; the name ``""`` stands for all schedules
            beyond the first 200.
        notifications: the results of notifications, by target and result; the name ``""`` stands for all targets
            that this executor does not have.
        store: a snapshot of the store.
        fired: the number of occurrences of schedules that this executor has fired.
        skipped: the number of times that it has skipped an occurrence, by reason.
    """

    phase: Phase
    pool_size: int
    busy: int
    submitted: int
    duplicates: int
    rejected: int
    started: int
    retried: int
    released: int
    finished_per_second: float
    waiting_for_room: int
    handlers: dict[str, Counts]
    occurrences: dict[str, dict[Result, int]]
    notifications: dict[str, dict[NotificationResult, int]]
    store: StoreStatistics
    fired: int = 0
    skipped: dict[SkipReason, int] = {}


class Timings(msgspec.Struct, frozen=True):
    """Histograms of durations since the start. They are live: they change while the executor runs.

    Parameters:
        queued: the time from when a task was accepted, or due if that is later, to its first start; by handler.
        attempts: the time from the start of an attempt to its end; by handler and outcome.
        commits: the time until a change was durable.
    """

    queued: Mapping[str, Histogram]
    attempts: Mapping[tuple[str, Outcome], Histogram]
    commits: Histogram


class Tally:
    """Counters since the start. Owned by the executor; only the ``count`` methods change them.

    Parameters:
        handlers: the names of all handlers, so that observers see each handler from the start.
    """

    def __init__(self, handlers: Iterable[str]) -> None:
        self._queued: defaultdict[str, Histogram] = defaultdict(_task_histogram)
        self._attempts: defaultdict[tuple[str, Outcome], Histogram] = defaultdict(_task_histogram)
        self._of: defaultdict[str, _Counters] = defaultdict(_Counters)
        self.add(handlers)
        self._started = Gathered(self._count_starts)
        self._ended = Gathered(self._count_ends)

    def add(self, handlers: Iterable[str]) -> None:
        """Let observers see these handlers, too. The counters of all others stay, because counters never go back."""
        for name in handlers:
            self._queued.setdefault(name, _task_histogram())
            self._of.setdefault(name, _Counters())

    def count_taken(self, tasks: Sequence[Task], verdicts: Sequence[Verdict]) -> None:
        """Count accepted tasks and duplicates. Other tasks of the submit may still find room."""
        if set(map(type, verdicts)) == {Accepted}:
            for handler, accepted in value_counts([task.handler for task in tasks]):
                self._of[handler].submitted += accepted
            return
        for task, verdict in zip(tasks, verdicts, strict=True):
            if isinstance(verdict, Accepted):
                self._of[task.handler].submitted += 1
            elif isinstance(verdict, Duplicate):
                self._of[task.handler].duplicates += 1

    def count_refused(self, tasks: Sequence[Task], verdicts: Sequence[Verdict]) -> None:
        """Count tasks that a submit finally refused."""
        for task, verdict in zip(tasks, verdicts, strict=True):
            if isinstance(verdict, _REFUSED):
                self._of[task.handler].rejected += 1

    def count_started(self, claimed: Sequence[Running]) -> None:
        """Count attempts that have begun."""
        self._started.add_all(claimed)

    def count_attempts(self, records: Sequence[Finished | Scheduled | None]) -> None:
        """Count attempts that have ended, by the new record of each task; ``None`` is a lost task and not counted."""
        self._ended.add_all([record for record in records if record is not None])

    def count_released(self, tasks: Sequence[Running]) -> None:
        """Count attempts whose tasks were released."""
        for running in tasks:
            self._of[running.task.handler].released += 1

    def by_handler(self) -> dict[str, Counts]:
        """Return the counts of each handler."""
        self._settle()
        return {name: Counts(**vars(counters)) for name, counters in self._of.items()}

    def timings(self, commits: Histogram) -> Timings:
        """Return the histograms of durations, with the store's histogram of commits."""
        self._settle()
        return Timings(self._queued, self._attempts, commits)

    def _settle(self) -> None:
        self._started.settle()
        self._ended.settle()

    def _count_starts(self, started: Sequence[Running]) -> None:
        for handler, tasks in by_handler(started):
            self._of[handler].started += len(tasks)
            self._queued[handler].observe_all([running.queued_seconds for running in tasks if not running.attempts])

    def _count_ends(self, ended: Sequence[Finished | Scheduled]) -> None:
        for handler, records in by_handler(ended):
            self._of[handler].retried += [type(record) for record in records].count(Scheduled)
            self._count_attempts(handler, [record.attempts[-1] for record in records])

    def _count_attempts(self, handler: str, attempts: Sequence[Attempt]) -> None:
        for outcome in {attempt.outcome for attempt in attempts}:
            seconds = [each.ended_at - each.started_at for each in attempts if each.outcome is outcome]
            self._attempts[handler, outcome].observe_all(seconds)


class _Counters:
    """The mutable form of ``Counts``."""

    def __init__(self) -> None:
        self.submitted = self.duplicates = self.rejected = 0
        self.started = self.retried = self.released = 0


def _task_histogram() -> Histogram:
    return Histogram(TASK_SECONDS)


def add_up(counts: Iterable[Counts]) -> Counts:
    """Return the sums of all counts."""
    listed = list(counts)
    return Counts(*(sum(getattr(each, name) for each in listed) for name in Counts.__struct_fields__))
