"""HTTP calls: requests that the operator declares, with the places that a task may fill in.

    [handlers.notify]
    url = "https://hooks.example.org/teams/{team}/messages?channel={channel}"
    headers = { Authorization = "Bearer ${HOOKS_TOKEN}" }

What slots can and cannot reach is said in ``url.py``. The params that fill no slot are the JSON body. Secrets come
from the environment when the server starts and go into headers alone. They are in no record, log or error; an answer
that says one back is kept with the secret taken out (``secrets.py``).

What an answer means: 2xx succeeds. 429, 5xx and a connection that fails are worth another try, not before
``Retry-After`` says so. Anything else is final, a redirect too: it is not followed, as the operator did not declare
where it leads.

A task that belongs to a trace takes it along, in the header ``traceparent``.

The texts of the client's own errors are not passed on: they may quote what was sent.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Annotated, Any, Final, Literal

import httpx2
import msgspec
from msgspec import Meta

from ...errors import ConfigError
from ...task import Task
from ..complaints import missing, settings_from, unknown, wrong
from ..context import Context
from ..contract import Complaint, HandlerFailedError
from ..descriptors import ExhaustedError, is_any_left, is_exhaustion, when_possible
from ..output import Tail
from ..slots import VALUE_SCHEMA
from .secrets import VARIABLE, Secrets, secrets_in
from .url import UrlTemplate

CONNECTIONS_KEPT_MAX: Final = 100
LOCATION_CHARACTERS_SHOWN_MAX: Final = 200
RETRY_AFTER_SECONDS_MAX: Final = 24 * 60 * 60
WITH_A_BODY: Final = frozenset({"POST", "PUT", "PATCH"})

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = frozenset({"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"})
"""Headers that belong to how a request is sent, not to what it says."""

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
    """The client that all calls share, while it is open. It keeps connections, and no cookies: tasks share nothing."""

    def __init__(self) -> None:
        self._client: httpx2.AsyncClient | None = None

    @property
    def client(self) -> httpx2.AsyncClient:
        """The client; only while it is open."""
        assert self._client is not None, "opened by the catalogue"
        return self._client

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """While in here, calls can be made."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=CONNECTIONS_KEPT_MAX)
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        async with httpx2.AsyncClient(limits=limits, cookies=no_cookies, trust_env=False) as client:
            self._client = client
            try:
                yield
            finally:
                self._client = None


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

    contains_itself = True

    def __init__(self, settings: HttpSettings, environment: Mapping[str, str], where: str, pool: HttpPool) -> None:
        self._settings = settings
        self._pool = pool
        self._url = UrlTemplate(settings.url, f"{where}.url")
        self._sends_params = (settings.body or ("params" if settings.method in WITH_A_BODY else "none")) == "params"
        self._timeout = httpx2.Timeout(settings.read_timeout, connect=settings.connect_timeout)
        self._headers = {"accept-encoding": "identity"}
        if self._sends_params:
            self._headers["content-type"] = "application/json"
        for name, value in settings.headers.items():
            self._headers[name.lower()] = _header(name, value, environment, f"{where}.headers.{name}")
        self._secrets = Secrets(secrets_in(settings.headers, environment))
        self.description: str = settings.description or f"{settings.method} {self._url.origin}"
        self.ends_with_us = True

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
        if (complaint := self.check(task)) is not None:  # a task of an earlier start, or of another node
            raise HandlerFailedError(complaint[1], retryable=False)

        async def call() -> int:
            try:
                return await self._call(context, task)
            except httpx2.ConnectError as error:
                if is_exhaustion(error) or not is_any_left():
                    raise ExhaustedError("no descriptor is left") from error
                raise

        try:
            status = await when_possible(call, lambda error: context.log(f"waiting to connect: {error}"))
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
        rest = {name: value for name, value in task.params.items() if name not in self._url.names}
        trace = {} if context.traceparent is None else {"traceparent": context.traceparent}
        async with self._pool.client.stream(
            self._settings.method,
            self._url.filled(task.params),
            content=msgspec.json.encode(rest) if self._sends_params else None,
            headers={**self._headers, **trace},
            timeout=self._timeout,
        ) as response:
            context.output.status = response.status_code
            is_whole = await self._read(response, context.output.body)
        self._judge(response)
        if not is_whole:
            limit = self._settings.response_bytes_max
            raise HandlerFailedError(f"the answer has more than the {limit} bytes that are taken", retryable=False)
        return response.status_code

    async def _read(self, response: httpx2.Response, into: Tail) -> bool:
        """Read an answer as far as is allowed, and keep its end; whether that was all of it.

        One that is too long is closed, and the reading ends at that; to walk away from it would leave the client's
        generators half-way.
        """
        body, limit = bytearray(), self._settings.response_bytes_max
        is_whole = False
        try:
            async for chunk in response.aiter_raw():
                body += chunk[: limit + 1 - len(body)]
                if len(body) > limit:
                    await response.aclose()
            is_whole = len(body) <= limit
        except httpx2.HTTPError:
            if len(body) <= limit:
                raise
        finally:
            into.append(self._secrets.out_of(bytes(body), is_whole=is_whole, kept_bytes=into.bytes_max))
        return is_whole

    def _judge(self, response: httpx2.Response) -> None:
        """Raise unless the answer is a success."""
        status = response.status_code
        if response.is_success:
            return
        if response.is_redirect:
            location = self._secrets.out_of(response.headers.get("Location", "nowhere").encode()).decode()
            shown = location[:LOCATION_CHARACTERS_SHOWN_MAX]
            raise HandlerFailedError(f"status {status}, a redirect to {shown}, which is not followed", retryable=False)
        retryable = status == 429 or status >= 500
        retry_after_seconds = _retry_after_seconds(response.headers.get("Retry-After")) if retryable else None
        raise HandlerFailedError(f"status {status}", retryable=retryable, retry_after_seconds=retry_after_seconds)


def http_handler(name: str, table: Any, environment: Mapping[str, str], pool: HttpPool) -> HttpHandler:
    """The handler that a table declares. Raises ``ConfigError``."""
    where = f"handlers.{name}"
    return HttpHandler(settings_from(table, HttpSettings, where), environment, where, pool)


def _retry_after_seconds(value: str | None) -> float | None:
    """RFC 9110, section 10.2.3: seconds, or a date. What is neither says nothing."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.isdecimal() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return min(max(0.0, seconds), RETRY_AFTER_SECONDS_MAX)


def _header(name: str, value: str, environment: Mapping[str, str], where: str) -> str:
    """The value of a header, with its secrets filled in."""
    if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS:
        raise ConfigError(f"{where} is no header that can be set")
    if "${" in VARIABLE.sub("", value):
        raise ConfigError(f"{where}: an environment variable is written like ${{NAME}}")
    for variable in VARIABLE.findall(value):
        if variable not in environment:
            raise ConfigError(f"{where} needs the environment variable {variable}, which is not set")
    filled = VARIABLE.sub(lambda variable: environment[variable[1]], value)
    if not (filled.isascii() and filled.isprintable()):
        raise ConfigError(f"{where} cannot be sent: a header is printable ASCII")
    return filled.strip()
