"""The requests of the API as plain values: one function for each route. Nothing here sends them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

import httpx2
import msgspec

from ..limits.defaults import PAGE_RECORDS_MAX
from .decoding import foreign

NDJSON_TYPE: Final = "application/x-ndjson"
EVENTS_TYPE: Final = "text/event-stream"
KEY_HEADER: Final = "Idempotency-Key"

_JSON: Final = {"Content-Type": "application/json"}
_NOTHING: Final[Mapping[str, str]] = {}
_KEY_BYTES: Final = 16

Query = Mapping[str, str | float | Sequence[str]]
Subject = Literal["submit", "batch", "task", "schedule", "other"]
"""What a request is about, which decides what a refusal means."""


class ApiRequest(NamedTuple):
    """A request of the API.

    Parameters:
        method, path: the method, and the path below the URL of the server.
        query: the parameters of the query; each item of a list is one parameter.
        content: the body, whole or in chunks.
        headers: the headers, without those that all requests have.
        wait_seconds: how long the server may wait before it replies, because the request asks it to; ``None`` if the
            reply may take any time.
        is_safe_to_repeat: whether the request has its effect once even if the server gets it several times.
        subject: what the request is about.
        done_status: the status of a repeated request whose effect an earlier one had, although its reply was lost.
    """

    method: str
    path: str
    query: Query = _NOTHING
    content: bytes | Iterable[bytes] | None = None
    headers: Mapping[str, str] = _NOTHING
    wait_seconds: float | None = 0.0
    is_safe_to_repeat: bool = False
    subject: Subject = "other"
    done_status: int | None = None


def _get(path: str, query: Query | None = None, **more: Any) -> ApiRequest:
    return ApiRequest("GET", path, query or {}, is_safe_to_repeat=True, **more)


def _send(method: str, path: str, content: object, **more: Any) -> ApiRequest:
    return ApiRequest(method, path, content=msgspec.json.encode(content), headers=_JSON, **more)


# Submit


def new_key() -> str:
    """Return a new ``Idempotency-Key``."""
    return secrets.token_hex(_KEY_BYTES)


def with_key(request: ApiRequest, key: str) -> ApiRequest:
    """Return a submit with an ``Idempotency-Key``, so that it is safe to repeat."""
    return request._replace(headers={**request.headers, KEY_HEADER: key}, is_safe_to_repeat=True)


def submit(task: Mapping[str, Any], *, wait_for_room_seconds: float = 0.0) -> ApiRequest:
    """Submit one task."""
    return _with_wait_for_room(_send("POST", "/tasks", task, subject="submit"), wait_for_room_seconds)


def submit_list(tasks: Sequence[bytes], *, wait_for_room_seconds: float = 0.0) -> ApiRequest:
    """Submit a list of tasks, each as JSON; the reply has the verdict on each one."""
    content = b"[%b]" % b",".join(tasks)
    request = ApiRequest("POST", "/tasks", {"verdicts": "all"}, content, _JSON, subject="batch")
    return _with_wait_for_room(request, wait_for_room_seconds)


def _with_wait_for_room(request: ApiRequest, seconds: float) -> ApiRequest:
    if not seconds:
        return request
    return request._replace(query={**request.query, "wait_for_room": seconds}, wait_seconds=seconds)


def submit_lines(chunks: Iterable[bytes]) -> ApiRequest:
    """Submit a stream of tasks, one on each line, as fast as the server accepts it."""
    headers = {"Content-Type": NDJSON_TYPE}
    return ApiRequest("POST", "/tasks", content=chunks, headers=headers, wait_seconds=None, subject="batch")


# Tasks


def show(task_id: str, *, wait_seconds: float = 0.0) -> ApiRequest:
    """Show a task; with ``wait_seconds``, wait that long for the outcome first."""
    query = {"wait": wait_seconds} if wait_seconds else {}
    return _get(_task(task_id), query, wait_seconds=wait_seconds, subject="task")


def page(criteria: Query, limit: int = PAGE_RECORDS_MAX) -> ApiRequest:
    """List the first tasks that meet all criteria."""
    return _get("/tasks", {**criteria, "limit": limit})


def next_page(request: ApiRequest, reply: httpx2.Response, limit: int | None = None) -> ApiRequest | None:
    """Return the request of the page after this reply; ``None`` after the last page.

    Only the query of the link is used: behind a proxy, the server's path may differ from the client's.

    Raises:
        ForeignReplyError: the link is invalid, or leads to the same page again.
    """
    if (link := reply.links.get("next", {}).get("url")) is None:
        return None
    query: dict[str, Any] = {}
    try:
        params = httpx2.URL(link).params
    except httpx2.InvalidURL as error:
        raise foreign() from error
    for name, value in params.multi_items():
        query[name] = [*query.get(name, []), value]
    if limit is not None:
        query["limit"] = limit
    if query == request.query:  # the loop over the pages would never end
        raise foreign()
    return request._replace(query=query)


def why(task_id: str) -> ApiRequest:
    """Show why a task does not run."""
    return _get(f"{_task(task_id)}/why", subject="task")


def log(task_id: str, *, attempt: int | None = None, follow: bool = False) -> ApiRequest:
    """Read the log of an attempt as lines; by default that of the last attempt."""
    query: dict[str, str | float] = {"follow": "true"} if follow else {}
    if attempt is not None:
        query["attempt"] = attempt
    return _get(f"{_task(task_id)}/log", query, headers={"Accept": NDJSON_TYPE}, subject="task")


def cancel(task_id: str) -> ApiRequest:
    """Cancel a task."""
    return ApiRequest("DELETE", _task(task_id), is_safe_to_repeat=True, subject="task")


def change(task_id: str, changes: Mapping[str, Any]) -> ApiRequest:
    """Change the priority or the time of a waiting task."""
    return _send("PATCH", _task(task_id), changes, subject="task")


def bulk(body: Mapping[str, Any]) -> ApiRequest:
    """Cancel, retry or change many tasks. The reply comes after the last step, which may take long."""
    return _send("POST", "/tasks/bulk", body, wait_seconds=None)


def events(criteria: Query, last_event_id: int | None = None) -> ApiRequest:
    """Follow the events of tasks that meet all criteria, after the event with this id."""
    headers = {"Accept": EVENTS_TYPE, "Cache-Control": "no-store"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = str(last_event_id)
    return _get("/events", criteria, headers=headers)


# The server


def readiness() -> ApiRequest:
    """Show whether the server takes tasks, and its statistics."""
    return _get("/readyz")


def handlers() -> ApiRequest:
    """List the handlers."""
    return _get("/handlers")


def drain() -> ApiRequest:
    """Begin the stop of the server."""
    return ApiRequest("POST", "/drain")


def reload() -> ApiRequest:
    """Read the settings of the server again."""
    return ApiRequest("POST", "/reload")


def pause(handler: str | None) -> ApiRequest:
    """Start no more tasks of a handler, or none at all."""
    return ApiRequest("POST", f"{_pausable(handler)}/pause")


def resume(handler: str | None) -> ApiRequest:
    """End the pause of a handler, or that of everything."""
    return ApiRequest("POST", f"{_pausable(handler)}/resume")


# Schedules


def schedules(limit: int = PAGE_RECORDS_MAX) -> ApiRequest:
    """List the first schedules by name."""
    return _get("/schedules", {"limit": limit})


def schedule(name: str) -> ApiRequest:
    """Show a schedule."""
    return _get(_schedule(name), subject="schedule")


def put_schedule(name: str, definition: Mapping[str, Any]) -> ApiRequest:
    """Store a schedule, in the place of one with the same name."""
    return _send("PUT", _schedule(name), definition, subject="schedule")


def pause_schedule(name: str, *, paused: bool) -> ApiRequest:
    """Pause or resume a schedule."""
    return _send("PATCH", _schedule(name), {"paused": paused}, subject="schedule")


def remove_schedule(name: str, *, force: bool = False) -> ApiRequest:
    """Remove a schedule; with ``force``, even if a settings file declares it."""
    query = {"force": "true"} if force else {}
    return ApiRequest(
        "DELETE", _schedule(name), query, is_safe_to_repeat=True, subject="schedule", done_status=httpx2.codes.NOT_FOUND
    )


def run_schedule(name: str) -> ApiRequest:
    """Submit the task of a schedule now. A repeated request would submit it twice."""
    return ApiRequest("POST", f"{_schedule(name)}/run", subject="submit")


def _task(task_id: str) -> str:
    return f"/tasks/{quote(task_id, safe='')}"


def _schedule(name: str) -> str:
    return f"/schedules/{quote(name, safe='')}"


def _pausable(handler: str | None) -> str:
    return "" if handler is None else f"/handlers/{quote(handler, safe='')}"
