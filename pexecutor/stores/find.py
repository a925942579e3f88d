"""``Filter``: which records a listing shows, an event stream reports, and an action on many tasks changes.

A filter matches a record if every criterion that is given matches. ``outcome``, ``finished_since`` and ``error`` match
finished tasks alone.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..task import Finished, Outcome, Record, State


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """The criteria of a listing. ``None`` and ``()`` match every record.

    Parameters:
        state: the state of the task.
        name: the name of the task.
        outcome: the outcome of a finished task.
        handler: the name of the handler.
        tags: tags that the task has, all of them.
        name_prefix: the beginning of the name.
        since: the task was submitted at this time or later, in seconds since 1970.
        until: the task was submitted before this time.
        finished_since: the task ended at this time or later.
        error: a part of the error of a finished task; upper and lower case differ.
    """

    state: State | None = None
    name: str | None = None
    outcome: Outcome | None = None
    handler: str | None = None
    tags: tuple[str, ...] = ()
    name_prefix: str | None = None
    since: float | None = None
    until: float | None = None
    finished_since: float | None = None
    error: str | None = None

    def states(self) -> tuple[State, ...]:
        """Return the states that a matching record can have."""
        if not self._concerns_endings():
            return EVERY_STATE if self.state is None else (self.state,)
        return (State.FINISHED,) if self.state in (None, State.FINISHED) else ()

    def matches(self, record: Record) -> bool:
        """Return whether a record matches every criterion."""
        task = record.task
        return (
            (self.state is None or record.state is self.state)
            and (self.handler is None or task.handler == self.handler)
            and (self.name is None or task.name == self.name)
            and (self.name_prefix is None or task.name.startswith(self.name_prefix))
            and (self.since is None or record.submitted_at >= self.since)
            and (self.until is None or record.submitted_at < self.until)
            and (not self.tags or set(self.tags).issubset(task.tags))
            and (not self._concerns_endings() or (isinstance(record, Finished) and self._matches_ending(record)))
        )

    def _concerns_endings(self) -> bool:
        return self.outcome is not None or self.finished_since is not None or self.error is not None

    def _matches_ending(self, record: Finished) -> bool:
        return (
            (self.outcome is None or record.outcome is self.outcome)
            and (self.finished_since is None or record.finished_at >= self.finished_since)
            and (self.error is None or self.error in (record.ending.error or ""))
        )


EVERY_STATE: Final = tuple(State)
