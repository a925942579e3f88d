"""``Snapshot``: the result of one poll of a server, which ``watch`` draws."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..record_text import seconds_of

if TYPE_CHECKING:
    from ...client.documents import DocumentClient

LISTED_MAX: Final = 200
"""The maximum number of listed tasks: more than a terminal has lines."""


class Snapshot(NamedTuple):
    """The state of a server at one time.

    Parameters:
        statistics: the statistics of the server.
        running: the records of running tasks, by start time.
        ended: the records of finished tasks, latest first.
        taken_at: the time of the snapshot, in seconds since 1970 by the local clock.
    """

    statistics: dict[str, Any]
    running: list[dict[str, Any]]
    ended: list[dict[str, Any]]
    taken_at: float

    def elapsed(self, record: dict[str, Any]) -> float:
        """Return how many seconds a task has been running; never negative, even if the two clocks differ."""
        return max(0.0, self.taken_at - seconds_of(record["started_at"]))

    def progress(self, record: dict[str, Any]) -> float | None:
        """Return the progress of a running task, from 0 to 1, by its handler's report or its duration, or ``None``."""
        reported = record.get("progress", {})
        if reported.get("total"):
            return min(1.0, float(reported["done"] / reported["total"]))
        return min(1.0, self.elapsed(record) * 1000 / record["duration"]) if record["duration"] else None


def take_snapshot(client: DocumentClient) -> Snapshot:
    """Poll a server.

    Raises:
        UnreachableError, RefusedError, ForeignReplyError: the server did not answer the requests.
    """
    statistics = client.readiness().value["statistics"]
    return Snapshot(statistics, _listed(client, "running"), _listed(client, "finished"), time.time())


def _listed(client: DocumentClient, state: str) -> list[dict[str, Any]]:
    return [document.value for page in client.pages(state=state, records_max=LISTED_MAX) for document in page]
