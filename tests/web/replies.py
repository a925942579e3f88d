"""What every reply of an error must be, whatever it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

MADE_OF: Final = re.compile(
    rb"traceback|python|\.py\b|<class|0x[0-9a-f]{6}|\btrio|quart|hypercorn|werkzeug|msgspec|\bh11\b", re.IGNORECASE
)
"""What would tell a client what the server is made of."""


class Reply(Protocol):
    """A reply of either client."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def content(self) -> bytes: ...


def problem_in(reply: Reply, status: int) -> dict[str, Any]:
    """The problem details of an error reply, which has this status and tells nothing of the server's making."""
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), reply.content
    assert MADE_OF.search(reply.content) is None, reply.content
    problem: dict[str, Any] = msgspec.json.decode(reply.content)
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["status"] == status
    assert problem["detail"]
    return problem


def faults_in(reply: Reply, status: int = 400) -> list[tuple[int, str | None]]:
    """Index and field of each fault that a validation error lists."""
    errors = problem_in(reply, status)["errors"]
    assert all(error["detail"] for error in errors)
    return [(error["index"], error.get("field")) for error in errors]


def counts_in(reply: Reply) -> tuple[int, int, int, int]:
    """Requested, submitted, duplicate and rejected tasks of a batch reply, which add up."""
    counts = msgspec.json.decode(reply.content)
    requested, submitted = counts["RequestedTask"], counts["SubmittedTasks"]
    duplicate, rejected = counts["DuplicateTasks"], counts["RejectedTasks"]
    assert requested == submitted + duplicate + rejected
    return requested, submitted, duplicate, rejected


def retry_after_in(reply: Reply) -> int:
    """The whole seconds that a refused client is told to wait, which are 1 to 60."""
    seconds = int(reply.headers["retry-after"])
    assert 1 <= seconds <= 60
    return seconds
