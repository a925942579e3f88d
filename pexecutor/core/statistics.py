"""One snapshot of an executor, and what it counts for it.

Counts are by handler, and a total is the sum of them: so the parts and the whole cannot disagree.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from ..observe.batch_counts import Gathered, by_handler, how_often
from ..observe.histogram import TASK_SECONDS, Histogram
from ..stores import StoreStatistics
from ..task import Accepted, Attempt, Draining, Duplicate, Finished, Full, Outcome, Running, Scheduled, Task, Verdict

_REFUSED: Final = (Full, Draining)


class Phase(enum.StrEnum):
    """Where an executor stands; it only moves forward."""

    NEW = "new"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"


class Counts(msgspec.Struct, frozen=True):
    """What has happened since the start, to the tasks of one handler or of all.

    Parameters:
        submitted: tasks that were accepted, or have joined one that was.
        duplicates: tasks that were refused because their name was held.
        rejected: tasks that were refused for lack of room, or because of a drain.
        started: attempts that have begun.
        retried: attempts after which the task is tried again.
        released: attempts that the stop cut off; their tasks are pending again.
    """

    submitted: int
    duplicates: int
    rejected: int
    started: int
    retried: int
    released: int


class Statistics(msgspec.Struct, frozen=True):
    """One snapshot of an executor, for every observer. Counts are since its start.

    Parameters:
        phase: where it stands.
        pool_size: how many tasks run at once.
        busy: how many workers have a task.
        submitted, duplicates, rejected, started, retried, released: the counts of all handlers, added up.
        finished_per_second: how fast tasks end, over the last minute.
        waiting_for_room: how many submits wait for room in the queue.
        handlers: the counts of each handler, by its name.
        store: a snapshot of the store.
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
    store: StoreStatistics


class Timings(msgspec.Struct, frozen=True):
    """How long things took since the start; the histograms go on counting.

    Parameters:
        queued: by handler, from when a task was accepted, or was due if that is later, to its first start.
        attempts: by handler and outcome, from the start of an attempt to its end.
        commits: until a change was durable.
    """

    queued: Mapping[str, Histogram]
    attempts: Mapping[tuple[str, Outcome], Histogram]
    commits: Histogram


class Tally:
    """What has happened since the start. Owned by the executor; only the ``count`` methods change it.

    Parameters:
        handlers: all that there are, so each is shown from the start.
    """

    def __init__(self, handlers: Iterable[str]) -> None:
        names = list(handlers)
        self._queued = defaultdict(_task_histogram, {name: _task_histogram() for name in names})
        self._attempts: defaultdict[tuple[str, Outcome], Histogram] = defaultdict(_task_histogram)
        self._of = defaultdict(_Counters, {name: _Counters() for name in names})
        self._started = Gathered(self._count_starts)
        self._ended = Gathered(self._count_ends)

    def count_taken(self, tasks: Sequence[Task], verdicts: Sequence[Verdict]) -> None:
        """Count what a submit settled for good; the rest may yet find room."""
        if set(map(type, verdicts)) == {Accepted}:
            for handler, accepted in how_often([task.handler for task in tasks]):
                self._of[handler].submitted += accepted
            return
        for task, verdict in zip(tasks, verdicts, strict=True):
            if isinstance(verdict, Accepted):
                self._of[task.handler].submitted += 1
            elif isinstance(verdict, Duplicate):
                self._of[task.handler].duplicates += 1

    def count_refused(self, tasks: Sequence[Task], verdicts: Sequence[Verdict]) -> None:
        """Count what a submit was refused in the end."""
        for task, verdict in zip(tasks, verdicts, strict=True):
            if isinstance(verdict, _REFUSED):
                self._of[task.handler].rejected += 1

    def count_started(self, claimed: Sequence[Running]) -> None:
        """Count attempts that begin."""
        self._started.add_all(claimed)

    def count_attempts(self, records: Sequence[Finished | Scheduled | None]) -> None:
        """Count attempts that have ended; a record is what has become of a task, ``None`` when that is not known."""
        self._ended.add_all([record for record in records if record is not None])

    def count_released(self, tasks: Sequence[Running]) -> None:
        """Count attempts that were given back."""
        for running in tasks:
            self._of[running.task.handler].released += 1

    def by_handler(self) -> dict[str, Counts]:
        """The counts of each handler."""
        self._settle()
        return {name: Counts(**vars(counters)) for name, counters in self._of.items()}

    def timings(self, commits: Histogram) -> Timings:
        """How long things took; how long it took to make them durable is known elsewhere."""
        self._settle()
        return Timings(self._queued, self._attempts, commits)

    def _settle(self) -> None:
        self._started.settle()
        self._ended.settle()

    def _count_starts(self, started: Sequence[Running]) -> None:
        for handler, those in by_handler(started):
            self._of[handler].started += len(those)
            self._queued[handler].observe_all([running.queued_seconds for running in those if not running.attempts])

    def _count_ends(self, ended: Sequence[Finished | Scheduled]) -> None:
        for handler, records in by_handler(ended):
            self._of[handler].retried += [type(record) for record in records].count(Scheduled)
            self._count_attempts(handler, [record.attempts[-1] for record in records])

    def _count_attempts(self, handler: str, attempts: Sequence[Attempt]) -> None:
        for outcome in {attempt.outcome for attempt in attempts}:
            seconds = [each.ended_at - each.started_at for each in attempts if each.outcome is outcome]
            self._attempts[handler, outcome].observe_all(seconds)


class _Counters:
    """``Counts`` while they grow."""

    def __init__(self) -> None:
        self.submitted = self.duplicates = self.rejected = 0
        self.started = self.retried = self.released = 0


def _task_histogram() -> Histogram:
    return Histogram(TASK_SECONDS)


def add_up(counts: Iterable[Counts]) -> Counts:
    """The total of some counts."""
    listed = list(counts)
    return Counts(*(sum(getattr(one, name) for one in listed) for name in Counts.__struct_fields__))
