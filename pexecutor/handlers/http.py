"""HTTP calls: requests that the operator declares, with the places that a task may fill in.

    [handlers.notify]
    url = "https://hooks.example.org/teams/{team}/messages?channel={channel}"
    headers = { Authorization = "Bearer ${HOOKS_TOKEN}" }

A slot is a whole segment of the path or a whole value of the query, and what fills it is percent-encoded: it can reach
no other host, path or parameter. The params that fill no slot are the JSON body. Secrets come from the environment when
the server starts, go into headers alone, and are in no record, log or error.

What an answer means: 2xx succeeds. 429, 5xx and a connection that fails are worth another try, not before
``Retry-After`` says so. Anything else is final, a redirect too: it is not followed, as the operator did not declare
where it leads.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

import httpx2
import msgspec
from msgspec import Meta

from ..errors import ConfigError
from ..task import Task
from .complaints import missing, settings_from, unknown, wrong
from .context import Context
from .contract import Complaint, HandlerFailedError
from .slots import VALUE_SCHEMA, Slot, parse_element, value_text

CONNECTIONS_MAX: Final = 100
RETRY_AFTER_SECONDS_MAX: Final = 24 * 60 * 60
WITH_A_BODY: Final = frozenset({"POST", "PUT", "PATCH"})

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_DOTS: Final = frozenset({"", ".", ".."})

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
Timeout = Annotated[float, Meta(gt=0, le=24 * 60 * 60)]


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call's table in the configuration file.

    Parameters:
        url: where to; ``{name}`` as a whole segment or a whole query value is filled with ``params.name``.
        method: how.
        headers: what else to send; ``${NAME}`` in a value stands for an environment variable.
        body: whether the other params are sent as JSON; by default they are, if the method has a body.
        connect_timeout, read_timeout: seconds until a connection stands, and between two parts of the answer.
        response_bytes_max: how long an answer may be.
        description: what it does, in a line.
    """

    url: str
    method: Method = "POST"
    headers: dict[str, str] = {}
    body: Literal["params", "none"] | None = None
    connect_timeout: Timeout = 5.0
    read_timeout: Timeout = 30.0
    response_bytes_max: Annotated[int, Meta(ge=0, le=2**40)] = 1024 * 1024
    description: str = ""


class HttpPool:
    """The client that all calls share, while it is open."""

    def __init__(self) -> None:
        self.client: httpx2.AsyncClient | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """While in here, calls can be made."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=CONNECTIONS_MAX)
        async with httpx2.AsyncClient(limits=limits, follow_redirects=False, trust_env=False) as client:
            self.client = client
            yield


class HttpHandler:
    """Makes one call.

    Parameters:
        settings: what was declared.
        environment: where secrets are.
        where: how complaints name the table.
        pool: what to call with.

    Raises:
        ConfigError: the URL or a header cannot be used.
    """

    def __init__(self, settings: HttpSettings, environment: Mapping[str, str], where: str, pool: HttpPool) -> None:
        self._settings = settings
        self._pool = pool
        self._url = _Url(settings.url, where)
        self._headers = [_header(name, value, environment, where) for name, value in settings.headers.items()]
        self._sends_params = (settings.body or ("params" if settings.method in WITH_A_BODY else "none")) == "params"
        self._timeout = httpx2.Timeout(settings.read_timeout, connect=settings.connect_timeout)
        self.description = settings.description or f"{settings.method} {self._url.origin}"

    @property
    def params_schema(self) -> dict[str, Any]:
        """The slots, and anything else when there is a body."""
        return {
            "type": "object",
            "properties": dict.fromkeys(self._url.names, VALUE_SCHEMA),
            "required": self._url.names,
            "additionalProperties": self._sends_params,
        }

    def check(self, task: Task, /) -> Complaint | None:
        """Whether the params fill all slots, and have a place."""
        for name in self._url.names:
            if name not in task.params:
                return missing(name)
            if (why := self._url.complaint(name, task.params[name])) is not None:
                return wrong(name, why)
        if not self._sends_params:
            for name in task.params:
                if name not in self._url.names:
                    return unknown(name, self._url.names)
        return None

    async def run(self, context: Context, task: Task, /) -> dict[str, int]:
        """Call, and read the answer to its end.

        Raises:
            HandlerFailedError: it was not 2xx, too long, or did not come.
        """
        try:
            status = await self._call(context, task)
        except httpx2.ConnectError as error:
            raise HandlerFailedError(f"cannot connect to {self._url.origin}") from error
        except httpx2.ConnectTimeout as error:
            seconds = self._settings.connect_timeout
            raise HandlerFailedError(f"no connection to {self._url.origin} within {seconds:g} s") from error
        except httpx2.TimeoutException as error:
            seconds = self._settings.read_timeout
            raise HandlerFailedError(f"{self._url.origin} did not go on for {seconds:g} s") from error
        except httpx2.HTTPError as error:
            raise HandlerFailedError(f"{self._url.origin} broke off, or answered what is no HTTP") from error
        return {"status": status}

    async def _call(self, context: Context, task: Task) -> int:
        assert self._pool.client is not None, "opened by the catalogue"
        content, headers = None, [("Accept-Encoding", "identity"), *self._headers]
        if self._sends_params:
            rest = {name: value for name, value in task.params.items() if name not in self._url.names}
            content = msgspec.json.encode(rest)
            headers.append(("Content-Type", "application/json"))
        async with self._pool.client.stream(
            self._settings.method,
            self._url.filled(task.params),
            content=content,
            headers=headers,
            timeout=self._timeout,
        ) as response:
            context.output.status = response.status_code
            await self._read(context, response)
        _judge(response)
        return response.status_code

    async def _read(self, context: Context, response: httpx2.Response) -> None:
        body = context.output.body
        async for chunk in response.aiter_bytes():
            body.append(chunk)
            if body.seen > self._settings.response_bytes_max:
                limit = self._settings.response_bytes_max
                raise HandlerFailedError(f"the answer has more than the {limit} bytes that are taken", retryable=False)


def http_handler(name: str, table: Any, environment: Mapping[str, str], pool: HttpPool) -> HttpHandler:
    """The handler that a table declares. Raises ``ConfigError``."""
    where = f"handlers.{name}"
    return HttpHandler(settings_from(table, HttpSettings, where), environment, where, pool)


def _judge(response: httpx2.Response) -> None:
    """Raise unless the answer is a success."""
    status = response.status_code
    if response.is_success:
        return
    if response.is_redirect:
        location = response.headers.get("Location", "nowhere")[:200]
        raise HandlerFailedError(f"status {status}, a redirect to {location}, which is not followed", retryable=False)
    retryable = status == 429 or status >= 500
    raise HandlerFailedError(
        f"status {status}",
        retryable=retryable,
        retry_after_seconds=_retry_after_seconds(response.headers.get("Retry-After")) if retryable else None,
    )


def _retry_after_seconds(value: str | None) -> float | None:
    """RFC 9110, section 10.2.3: seconds, or a date. What is neither says nothing."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.isdecimal() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), RETRY_AFTER_SECONDS_MAX)


def _header(name: str, value: str, environment: Mapping[str, str], where: str) -> tuple[str, str]:
    for variable in _VARIABLE.findall(value):
        if variable not in environment:
            raise ConfigError(f"{where}.headers.{name} needs the environment variable {variable}, which is not set")
    filled = _VARIABLE.sub(lambda variable: environment[variable[1]], value)
    if not (name.isascii() and name.isprintable() and filled.isascii() and filled.isprintable()):
        raise ConfigError(f"{where}.headers.{name} cannot be sent: a header is printable ASCII")
    return name, filled


class _Url:
    """A URL with slots. Raises ``ConfigError`` for one that cannot be used."""

    def __init__(self, url: str, where: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "{" in parts.netloc + parts.fragment:
            raise ConfigError(f"{where}.url must begin with http:// or https:// and a host, and cannot choose them")
        try:
            self._segments = [parse_element(segment) for segment in parts.path.split("/")]
            self._query = [(name, parse_element(value)) for name, value in parse_qsl(parts.query, True)]
        except ValueError as error:
            raise ConfigError(f"{where}.url: {error}") from error
        self._parts = parts
        self._in_path = [segment.name for segment in self._segments if isinstance(segment, Slot)]
        in_query = [value.name for _, value in self._query if isinstance(value, Slot)]
        self.names = list(dict.fromkeys(self._in_path + in_query))
        self.origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def complaint(self, name: str, value: Any) -> str | None:
        """Why a value cannot fill a slot, or ``None``."""
        try:
            text = value_text(value)
        except ValueError as error:
            return str(error)
        if name in self._in_path and text in _DOTS:
            return "must not be empty or made of dots, as it is a segment of a path"
        return None

    def filled(self, params: Mapping[str, Any]) -> str:
        """The URL with its slots filled."""

        def text(element: str | Slot) -> str:
            return value_text(params[element.name]) if isinstance(element, Slot) else element

        path = "/".join(
            quote(text(segment), safe="") if isinstance(segment, Slot) else segment for segment in self._segments
        )
        query = "&".join(f"{quote(name, safe='')}={quote(text(value), safe='')}" for name, value in self._query)
        return urlunsplit((self._parts.scheme, self._parts.netloc, path, query, ""))
