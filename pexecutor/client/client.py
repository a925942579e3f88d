"""``Client``: the HTTP API of one server as calls; what the command line talks with.

An answer is kept as it came, so that what is printed as JSON is exactly what the API said. It is read as plain objects:
a member that this version does not know goes through, one that an older server does not have is absent.

A call is one exchange. It returns what was asked for, or raises an error whose name says whose move is next. Nothing is
tried again in here: only the caller knows whether that is safe, and how long to go on.

Road not taken: the types of the wire, which come with the web framework and with one version of the API.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

import httpx2
import msgspec

from ..errors import ConfigError, ForeignReplyError, PexecutorError, RefusedError, UnreachableError

PAGE_RECORDS_MAX: Final = 1000
CONNECT_SECONDS_MAX: Final = 5.0
REPLY_SECONDS_MAX: Final = 30.0

_GATEWAY_STATUSES: Final = {502, 503, 504}
_ERROR_NUMBER: Final = re.compile(r"\[Errno -?\d+\] ")


class Document(NamedTuple):
    """A JSON object: as it came, and what it says."""

    raw: bytes
    value: dict[str, Any]


class _Record(msgspec.Struct):
    """What every record has; whatever has not is no record. The same for the others."""

    id: str
    name: str
    state: str
    handler: str
    submitted_at: str


class _Handler(msgspec.Struct):
    name: str
    description: str
    params: dict[str, Any]


class _StoreStatistics(msgspec.Struct):
    queue_size: int
    pending: int
    scheduled: int
    running: int
    finished: dict[str, int]


class _Statistics(msgspec.Struct):
    phase: str
    pool_size: int
    finished_per_second: float
    store: _StoreStatistics


class _Readiness(msgspec.Struct):
    statistics: _Statistics


class _Counts(msgspec.Struct, rename="pascal"):
    requested_task: int
    submitted_tasks: int
    duplicate_tasks: int
    rejected_tasks: int


class Client:
    """Talks to one server; to be used as a context manager.

    Parameters:
        url: where it is, with the path in front of its routes if there is one.
        token: sent as a bearer token; ``None`` for none.
        reply_seconds_max: how long a reply may take, beyond what it was asked to wait.

    Raises:
        ConfigError: the URL or the token cannot be one.
    """

    def __init__(self, url: str, token: str | None = None, *, reply_seconds_max: float = REPLY_SECONDS_MAX) -> None:
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
            verify=base.scheme == "https",  # the certificates are much to load for who needs none
            trust_env=not _is_loopback(base.host),  # no proxy leads back to this machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    # Submit

    def submit(self, task: Mapping[str, Any], *, wait_for_room_seconds: float = 0.0) -> Document:
        """Submit one task; its record.

        Raises:
            RefusedError: it was not taken; 409 when its name is held, 429 when the queue is full.
        """
        query = {"wait_for_room": wait_for_room_seconds} if wait_for_room_seconds else {}
        return self._document(
            "POST",
            "/tasks",
            _Record,
            params=query,
            content=msgspec.json.encode(task),
            headers={"Content-Type": "application/json"},
            timeout=self._timeout(wait_for_room_seconds),
        )

    def submit_lines(self, chunks: Iterator[bytes]) -> Document:
        """Submit a stream of NDJSON, at the pace at which the server takes it; the counts.

        Raises:
            RefusedError: the stream ended early; its problem has the counts so far.
        """
        return self._document(
            "POST",
            "/tasks",
            _Counts,
            content=chunks,
            headers={"Content-Type": "application/x-ndjson"},
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS_MAX),
        )

    # Read

    def show(self, task_id: str, *, wait_seconds: float = 0.0) -> Document:
        """One record, whole; with ``wait_seconds``, once it has its outcome or the time is up."""
        query = {"wait": wait_seconds} if wait_seconds else {}
        path = _task_path(task_id)
        return self._document("GET", path, _Record, params=query, timeout=self._timeout(wait_seconds))

    def pages(
        self, *, state: str | None = None, name: str | None = None, records_max: int | None = None
    ) -> Iterator[list[Document]]:
        """Listed records, a page at a time.

        Parameters:
            state, name: only these.
            records_max: how many at most; ``None`` for all.
        """
        left = PAGE_RECORDS_MAX if records_max is None else records_max
        query = httpx2.QueryParams({key: value for key, value in (("state", state), ("name", name)) if value})
        while left > 0:
            query = query.set("limit", min(left, PAGE_RECORDS_MAX))
            reply = self._ask("GET", "/tasks", params=query)
            page = _documents(reply, _Record)
            yield page
            if (link := reply.links.get("next", {}).get("url")) is None:
                return
            # The path in the link may be another one to us, behind a proxy.
            query = httpx2.URL(link).params
            left = PAGE_RECORDS_MAX if records_max is None else left - len(page)

    def handlers(self) -> list[Document]:
        """What can run tasks there, with the JSON Schema of each one's params."""
        return _documents(self._ask("GET", "/handlers"), _Handler)

    def readiness(self) -> Document:
        """The reply of ``/readyz``, also of a server that takes nothing; has the ``statistics``."""
        reply = self._send("GET", "/readyz")
        if not reply.is_success and b'"statistics"' not in reply.content:
            raise _refusal(self.url, reply)
        return _document(reply.content, _Readiness)

    # Act

    def cancel(self, task_id: str) -> Document:
        """Cancel a task; its record, which says whether it has ended with this."""
        return self._document("DELETE", _task_path(task_id), _Record)

    def drain(self) -> Document:
        """Begin the stop."""
        return self._document("POST", "/drain", _Readiness)

    # One exchange

    def _document(self, method: str, path: str, kind: type[msgspec.Struct], **request: Any) -> Document:
        return _document(self._ask(method, path, **request).content, kind)

    def _ask(self, method: str, path: str, **request: Any) -> httpx2.Response:
        reply = self._send(method, path, **request)
        if not reply.is_success:
            raise _refusal(self.url, reply)
        return reply

    def _send(self, method: str, path: str, **request: Any) -> httpx2.Response:
        try:
            return self._http.request(method, path, **request)
        except httpx2.RequestError as error:
            raise UnreachableError(f"cannot reach {self.url}: {_reason(error)}") from error

    def _timeout(self, wait_seconds: float = 0.0) -> httpx2.Timeout:
        connect = min(CONNECT_SECONDS_MAX, self._reply_seconds_max)
        return httpx2.Timeout(self._reply_seconds_max + wait_seconds, connect=connect)


def _task_path(task_id: str) -> str:
    return f"/tasks/{quote(task_id, safe='')}"


def _document(raw: bytes, kind: type[msgspec.Struct]) -> Document:
    """An object, once it is sure to be one of this kind."""
    _decoded(raw, kind)
    return Document(raw, _decoded(raw, dict[str, Any]))


def _documents(reply: httpx2.Response, kind: type[msgspec.Struct]) -> list[Document]:
    """The objects of a list."""
    return [_document(bytes(raw), kind) for raw in _decoded(reply.content, list[msgspec.Raw])]


def _decoded(raw: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ForeignReplyError("the answer is not one of pexecutor: is the URL right?") from error


def _refusal(url: str, reply: httpx2.Response) -> PexecutorError:
    """The error that a reply is. One of a gateway has no problem details, and says that the server is not there."""
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
            return "it does not answer in time"
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
        raise ConfigError(f"{url!r} is not the URL of a server: it begins with http:// or https:// and has a host")
    return parsed


def _checked_token(token: str) -> str:
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError("the token cannot be one: it has characters that no token has")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
