"""One look at a server: what ``watch`` draws."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..record_text import seconds_of

if TYPE_CHECKING:
    from ...client.client import Client

LISTED_MAX: Final = 200
"""More than any terminal has lines for."""


class Snapshot(NamedTuple):
    """What there was to see, and when.

    Parameters:
        statistics: the server's.
        running: records of running tasks, by start time.
        ended: records of finished tasks, the latest first.
        taken_at: seconds since 1970, here.
    """

    statistics: dict[str, Any]
    running: list[dict[str, Any]]
    ended: list[dict[str, Any]]
    taken_at: float

    def elapsed(self, record: dict[str, Any]) -> float:
        """How long a task has been running, in seconds; two clocks that differ do not make it negative."""
        return max(0.0, self.taken_at - seconds_of(record["started_at"]))

    def progress(self, record: dict[str, Any]) -> float | None:
        """How far a running task is, from 0 to 1: as its handler says, or of the time that it was told to take."""
        told = record.get("progress", {})
        if told.get("total"):
            return min(1.0, float(told["done"] / told["total"]))
        return min(1.0, self.elapsed(record) * 1000 / record["duration"]) if record["duration"] else None


def take_snapshot(client: Client) -> Snapshot:
    """Look.

    Raises:
        UnreachableError, RefusedError, ForeignReplyError: there is nothing to see.
    """
    statistics = client.readiness().value["statistics"]
    return Snapshot(statistics, _listed(client, "running"), _listed(client, "finished"), time.time())


def _listed(client: Client, state: str) -> list[dict[str, Any]]:
    return [document.value for page in client.pages(state=state, records_max=LISTED_MAX) for document in page]
