"""Requirements that every error reply must meet, whatever its cause."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

MADE_OF: Final = re.compile(
    rb"traceback|python|\.py\b|<class|0x[0-9a-f]{6}|\btrio|quart|hypercorn|werkzeug|msgspec|\bh11\b", re.IGNORECASE
)
"""Text that would reveal the server's implementation to a client."""


class Reply(Protocol):
    """A reply of either client."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def content(self) -> bytes: ...


def problem_in(reply: Reply, status: int) -> dict[str, Any]:
    """Return the problem details of an error reply; check the status, and that the reply reveals no implementation."""
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), reply.content
    assert MADE_OF.search(reply.content) is None, reply.content
    problem: dict[str, Any] = msgspec.json.decode(reply.content)
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["status"] == status
    assert problem["detail"]
    return problem


def faults_in(reply: Reply, status: int = 400) -> list[tuple[int, str | None]]:
    """Return the index and field of each fault in a validation error."""
    errors = problem_in(reply, status)["errors"]
    assert all(error["detail"] for error in errors)
    return [(error["index"], error.get("field")) for error in errors]


def counts_in(reply: Reply) -> tuple[int, int, int, int]:
    """Return the counts of requested, submitted, duplicate and rejected tasks of a batch reply; check their sum."""
    counts = msgspec.json.decode(reply.content)
    requested, submitted = counts["RequestedTask"], counts["SubmittedTasks"]
    duplicate, rejected = counts["DuplicateTasks"], counts["RejectedTasks"]
    assert requested == submitted + duplicate + rejected
    return requested, submitted, duplicate, rejected


def retry_after_in(reply: Reply) -> int:
    """Return the Retry-After seconds of a refused request; check that they are whole and from 1 to 60."""
    seconds = int(reply.headers["retry-after"])
    assert 1 <= seconds <= 60
    return seconds
