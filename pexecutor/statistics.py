"""One snapshot of an executor, and what it counts for it."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec

from .stores import StoreStatistics
from .task import Accepted, Draining, Duplicate, Full, Verdict


class Phase(enum.StrEnum):
    """Where an executor stands; it only moves forward."""

    NEW = "new"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"


class Statistics(msgspec.Struct, frozen=True):
    """One snapshot of an executor, for every observer. Counts are since its start."""

    phase: Phase
    pool_size: int
    submitted: int
    duplicates: int
    rejected: int
    started: int
    retried: int
    released: int
    finished_per_second: float
    waiting_for_room: int
    store: StoreStatistics


class Tally:
    """What has happened since the start. Owned by the executor."""

    def __init__(self) -> None:
        self.submitted = self.duplicates = self.rejected = 0
        self.started = self.retried = self.released = 0

    def count_taken(self, verdicts: Sequence[Verdict]) -> None:
        """Count what a submit settled for good; the rest may yet find room."""
        self.submitted += sum(isinstance(verdict, Accepted) for verdict in verdicts)
        self.duplicates += sum(isinstance(verdict, Duplicate) for verdict in verdicts)

    def count_refused(self, verdicts: Sequence[Verdict]) -> None:
        """Count what a submit was refused in the end."""
        self.rejected += sum(isinstance(verdict, Full | Draining) for verdict in verdicts)
