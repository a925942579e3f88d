"""``Client``: the HTTP API of a server as method calls. The command line uses it.

A reply is kept unchanged, so that JSON output is exactly the API's JSON. It is also parsed into plain objects: unknown
members of a newer server stay in them, and members that an older server lacks are absent.

A call is one request. It returns the reply, or raises an error whose name says who acts next. The client never retries,
because only the caller knows whether a retry is safe, and for how long.

Road not taken: using the server's types. They import the web framework, and they fit only one version of the API.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote
from urllib.request import getproxies

import httpx2
import msgspec

from ..errors import ConfigError, ForeignReplyError, PexecutorError, RefusedError, UnreachableError
from ..limits.defaults import PAGE_RECORDS_MAX
from ..limits.times import CLIENT_CONNECT_SECONDS_MAX, CLIENT_REPLY_SECONDS_MAX
from .log_stream import NDJSON_TYPE, LogStream, lines_of
from .shapes import (
    BulkCountsShape,
    CountsShape,
    HandlerShape,
    PausesShape,
    ReadinessShape,
    ReasonShape,
    RecordShape,
    ScheduleShape,
)
from .transport import STREAMED, DirectTransport

_GATEWAY_STATUSES: Final = {502, 503, 504}
_ERROR_NUMBER: Final = re.compile(r"\[Errno -?\d+\] ")


class Document(NamedTuple):
    """A JSON object of the API, as unchanged bytes and parsed."""

    raw: bytes
    value: dict[str, Any]


class Client:
    """A client of one server. Use it as a context manager.

    Parameters:
        url: the URL of the server, with the path prefix of its routes if there is one.
        token: the bearer token, or ``None``.
        reply_seconds_max: how long a reply may take, in addition to a requested wait.

    Raises:
        ConfigError: the URL or the token is invalid.
    """

    def __init__(
        self, url: str, token: str | None = None, *, reply_seconds_max: float = CLIENT_REPLY_SECONDS_MAX
    ) -> None:
        self.url: str = url.rstrip("/")
        self._reply_seconds_max = reply_seconds_max
        base = _checked_url(self.url)
        headers = {"Accept": "application/json, application/problem+json"}
        if token:
            headers["Authorization"] = f"Bearer {_checked_token(token)}"
        self._http = httpx2.Client(
            base_url=base,
            headers=headers,
            timeout=self._timeout(),
            verify=base.scheme == "https",  # loading the certificates takes long, and only https needs them
            trust_env=not _is_loopback(base.host),  # a proxy cannot reach this machine's loopback
            transport=DirectTransport() if _is_direct(base) else None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    # Submit

    def submit(self, task: Mapping[str, Any], *, wait_for_room_seconds: float = 0.0) -> Document:
        """Submit one task, and return its record.

        Raises:
            RefusedError: the task was refused; 409 if its name is held, 429 if the queue is full.
        """
        query = {"wait_for_room": wait_for_room_seconds} if wait_for_room_seconds else {}
        return self._document(
            "POST",
            "/tasks",
            RecordShape,
            params=query,
            timeout=self._timeout(wait_for_room_seconds),
            **_json(task),
        )

    def submit_lines(self, chunks: Iterator[bytes]) -> Document:
        """Submit a stream of NDJSON as fast as the server accepts it, and return the counts.

        Raises:
            RefusedError: the server ended the stream early; the problem details hold the counts so far.
        """
        return self._document(
            "POST",
            "/tasks",
            CountsShape,
            content=chunks,
            headers={"Content-Type": NDJSON_TYPE},
            timeout=httpx2.Timeout(None, connect=CLIENT_CONNECT_SECONDS_MAX),
        )

    # Read

    def show(self, task_id: str, *, wait_seconds: float = 0.0) -> Document:
        """Return the full record of a task; with ``wait_seconds``, wait that long for the outcome first."""
        query = {"wait": wait_seconds} if wait_seconds else {}
        path = _task_path(task_id)
        return self._document("GET", path, RecordShape, params=query, timeout=self._timeout(wait_seconds))

    @contextmanager
    def log(self, task_id: str, *, attempt: int | None = None, follow: bool = False) -> Iterator[LogStream]:
        """Open the log of an attempt, to read it line by line.

        Parameters:
            task_id: the id of the task.
            attempt: the number of the attempt; by default the last one.
            follow: whether to read on until the attempt ends.
        """
        query = {"follow": "true"} if follow else {}
        if attempt is not None:
            query["attempt"] = str(attempt)
        headers, path = {"Accept": NDJSON_TYPE}, f"{_task_path(task_id)}/log"
        with (
            self._reporting_failures(),
            self._http.stream("GET", path, params=query, headers=headers, extensions={STREAMED: True}) as reply,
        ):
            if not reply.is_success:
                reply.read()
                raise _refusal(self.url, reply)
            yield LogStream(lines_of(reply.iter_bytes()), reply.headers.get("Pexecutor-Log-Node"))

    def why(self, task_id: str) -> list[Document]:
        """Return the reasons for which a task does not run."""
        return _documents(self._ask("GET", f"{_task_path(task_id)}/why"), ReasonShape)

    def pages(self, *, records_max: int | None = None, **criteria: str | list[str]) -> Iterator[list[Document]]:
        """Yield listed records, one page at a time. A page may be empty although others follow.

        Parameters:
            records_max: the maximum number of records; ``None`` for all.
            criteria: only tasks that meet these criteria, by the names of the query parameters.
        """
        yield from self._pages("/tasks", RecordShape, httpx2.QueryParams(criteria), records_max)

    def _pages(
        self, path: str, kind: type[msgspec.Struct], query: httpx2.QueryParams, documents_max: int | None
    ) -> Iterator[list[Document]]:
        left = PAGE_RECORDS_MAX if documents_max is None else documents_max
        while left > 0:
            query = query.set("limit", min(left, PAGE_RECORDS_MAX))
            reply = self._ask("GET", path, params=query)
            page = _documents(reply, kind)
            yield page
            if (link := reply.links.get("next", {}).get("url")) is None:
                return
            # Only the query of the link is used: behind a proxy, the server's path may differ from the client's.
            query = httpx2.URL(link).params
            left = PAGE_RECORDS_MAX if documents_max is None else left - len(page)

    def handlers(self) -> list[Document]:
        """Return the handlers of the server, with the JSON Schema of their params."""
        return _documents(self._ask("GET", "/handlers"), HandlerShape)

    def readiness(self) -> Document:
        """Return the reply of ``/readyz`` with its ``statistics``, also from a server that accepts no tasks."""
        reply = self._send("GET", "/readyz")
        if not reply.is_success and b'"statistics"' not in reply.content:
            raise _refusal(self.url, reply)
        return _document(reply.content, ReadinessShape)

    # Act

    def cancel(self, task_id: str) -> Document:
        """Cancel a task, and return its record: finished, or still running."""
        return self._document("DELETE", _task_path(task_id), RecordShape)

    def change(self, task_id: str, changes: Mapping[str, Any]) -> Document:
        """Change the priority or the time of a waiting task, and return its record."""
        return self._document("PATCH", _task_path(task_id), RecordShape, **_json(changes))

    def act_on_many(self, request: Mapping[str, Any]) -> Document:
        """Cancel, retry or change all tasks that a filter matches, and return the counts.

        The reply may take long: it comes after the last step.
        """
        timeout = httpx2.Timeout(None, connect=CLIENT_CONNECT_SECONDS_MAX)
        return self._document("POST", "/tasks/bulk", BulkCountsShape, timeout=timeout, **_json(request))

    def drain(self) -> Document:
        """Begin the drain of the server, and return its readiness."""
        return self._document("POST", "/drain", ReadinessShape)

    def pause(self, handler: str | None = None) -> Document:
        """Start no more tasks of a handler, or none at all, and return all pauses."""
        return self._document("POST", f"{_pause_path(handler)}/pause", PausesShape)

    def resume(self, handler: str | None = None) -> Document:
        """End the pause of a handler, or that of everything, and return the pauses that are left."""
        return self._document("POST", f"{_pause_path(handler)}/resume", PausesShape)

    # Schedules

    def schedules(self, *, schedules_max: int | None = None) -> Iterator[list[Document]]:
        """Yield the schedules by name, one page at a time; all of them without ``schedules_max``."""
        yield from self._pages("/schedules", ScheduleShape, httpx2.QueryParams(), schedules_max)

    def schedule(self, name: str) -> Document:
        """Return a schedule."""
        return self._document("GET", _schedule_path(name), ScheduleShape)

    def put_schedule(self, name: str, schedule: Mapping[str, Any]) -> Document:
        """Store a schedule, in the place of one with the same name, and return it."""
        return self._document("PUT", _schedule_path(name), ScheduleShape, **_json(schedule))

    def pause_schedule(self, name: str, *, paused: bool) -> Document:
        """Pause or resume a schedule, and return it."""
        return self._document("PATCH", _schedule_path(name), ScheduleShape, **_json({"paused": paused}))

    def remove_schedule(self, name: str, *, force: bool = False) -> None:
        """Remove a schedule; with ``force``, even if a settings file declares it."""
        self._ask("DELETE", _schedule_path(name), params={"force": "true"} if force else {})

    def run_schedule(self, name: str) -> Document:
        """Submit the task of a schedule now, and return its record.

        Raises:
            RefusedError: the task was refused; 409 if its name is held, 429 if the queue is full.
        """
        return self._document("POST", f"{_schedule_path(name)}/run", RecordShape)

    # One exchange

    def _document(self, method: str, path: str, kind: type[msgspec.Struct], **request: Any) -> Document:
        return _document(self._ask(method, path, **request).content, kind)

    def _ask(self, method: str, path: str, **request: Any) -> httpx2.Response:
        reply = self._send(method, path, **request)
        if not reply.is_success:
            raise _refusal(self.url, reply)
        return reply

    def _send(self, method: str, path: str, **request: Any) -> httpx2.Response:
        with self._reporting_failures():
            return self._http.request(method, path, **request)

    @contextmanager
    def _reporting_failures(self) -> Iterator[None]:
        try:
            yield
        except httpx2.RequestError as error:
            raise UnreachableError(f"cannot reach {self.url}: {_reason(error)}") from error

    def _timeout(self, wait_seconds: float = 0.0) -> httpx2.Timeout:
        connect = min(CLIENT_CONNECT_SECONDS_MAX, self._reply_seconds_max)
        return httpx2.Timeout(self._reply_seconds_max + wait_seconds, connect=connect)


def _task_path(task_id: str) -> str:
    return f"/tasks/{quote(task_id, safe='')}"


def _schedule_path(name: str) -> str:
    return f"/schedules/{quote(name, safe='')}"


def _pause_path(handler: str | None) -> str:
    return "" if handler is None else f"/handlers/{quote(handler, safe='')}"


def _json(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a request with this JSON, and its type."""
    return {"content": msgspec.json.encode(content), "headers": {"Content-Type": "application/json"}}


def _document(raw: bytes, kind: type[msgspec.Struct]) -> Document:
    """Return an object of the API after checking that it has the members of ``kind``."""
    _decoded(raw, kind)
    return Document(raw, _decoded(raw, dict[str, Any]))


def _documents(reply: httpx2.Response, kind: type[msgspec.Struct]) -> list[Document]:
    """Return the objects of a list in a reply."""
    return [_document(bytes(raw), kind) for raw in _decoded(reply.content, list[msgspec.Raw])]


def _decoded(raw: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ForeignReplyError("the reply did not come from a pexecutor server: check the URL") from error


def _refusal(url: str, reply: httpx2.Response) -> PexecutorError:
    """Return the error of a reply. A gateway's error without problem details means that the server is unreachable."""
    try:
        problem = msgspec.json.decode(reply.content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = {}
    if not problem and reply.status_code in _GATEWAY_STATUSES:
        return UnreachableError(f"cannot reach {url}: a gateway answered with the status {reply.status_code}")
    return RefusedError(reply.status_code, problem, reply.headers.get("Retry-After"))


def _reason(error: httpx2.RequestError) -> str:
    match error:
        case httpx2.TimeoutException():
            return "the server did not reply in time"
        case httpx2.ConnectError():
            return _ERROR_NUMBER.sub("", str(error)) or "no connection"
        case _:
            return "the connection was lost"


def _checked_url(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ConfigError(f"{url!r} is not a URL: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"{url!r} is not the URL of a server: write http:// or https:// and a host")
    return parsed


def _checked_token(token: str) -> str:
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError("the token contains invalid characters")
    return token


def _is_direct(base: httpx2.URL) -> bool:
    """Return whether requests need neither TLS nor a proxy."""
    return base.scheme == "http" and (_is_loopback(base.host) or not getproxies())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
