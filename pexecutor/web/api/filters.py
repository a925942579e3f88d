"""The criteria by which clients find tasks: in the query of a listing or an event stream, and in the body of a bulk."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from ...limits.tags import TAGS_MAX
from ...stores.find import Filter
from ...task import NAME_BYTES_MAX, Outcome, State

_Time = Annotated[datetime, Meta(tz=True)]
_Text = Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX)]


class FilterQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The tasks to find: those that meet every criterion that is given.

    Parameters:
        name: only tasks with this name.
        state: only tasks in this state.
        outcome: only tasks that ended with this outcome.
        handler: only tasks of this handler.
        tag: only tasks with this tag; may be given several times, for tasks with all of these tags.
        name_prefix: only tasks whose name begins with this text.
        since: only tasks that were submitted at this time or later (RFC 3339 with a time zone).
        until: only tasks that were submitted before this time.
        finished_since: only tasks that ended at this time or later.
        error: only finished tasks whose error contains this text.
    """

    name: str | None = None
    state: State | None = None
    outcome: Outcome | None = None
    handler: _Text | None = None
    tag: Annotated[list[_Text], Meta(max_length=TAGS_MAX)] = []
    name_prefix: _Text | None = None
    since: _Time | None = None
    until: _Time | None = None
    finished_since: _Time | None = None
    error: _Text | None = None

    def filter(self) -> Filter:
        """Return the criteria as the stores know them."""
        return Filter(
            state=self.state,
            name=self.name,
            outcome=self.outcome,
            handler=self.handler,
            tags=tuple(self.tag),
            name_prefix=self.name_prefix,
            since=_seconds(self.since),
            until=_seconds(self.until),
            finished_since=_seconds(self.finished_since),
            error=self.error,
        )


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
