"""HTTP calls: requests that the operator declares, with slots that a task fills with its params.

    [handlers.notify]
    url = "https://hooks.example.org/teams/{team}/messages?channel={channel}"
    headers = { Authorization = "Bearer ${HOOKS_TOKEN}" }

``url.py`` defines what a slot can change in a URL. Params that fill no slot are the JSON body. Secrets come from the
environment when the server starts, and go into headers only. No record, log line or error contains a secret: if a
response repeats a secret, the secret is removed from the kept response (``secrets.py``).

The status decides the outcome. 2xx is a success. 429, 5xx and connection errors may be retried, but not before the
response's ``Retry-After``. Any other status is a final failure. So is a redirect, which is not followed, because the
operator did not declare its target.

A task that belongs to a trace sends it in the header ``traceparent``.

Error texts of the HTTP client never reach a record, because they may quote the request with its secrets.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Annotated, Any, Final, Literal

import httpx2
import msgspec
from msgspec import Meta

from ...errors import ConfigError
from ...task import Task
from ...validation import table_from
from ..complaints import missing, unknown, wrong
from ..context import Context
from ..contract import Complaint, HandlerFailedError
from ..descriptors import ExhaustedError, is_descriptor_left, is_exhaustion, retry_while_exhausted
from ..output import Tail
from ..settings import HandlerSettings
from ..slots import VALUE_SCHEMA
from .retry_after import retry_after_seconds
from .secrets import VARIABLE, Secrets, secrets_in
from .url import UrlTemplate

CONNECTIONS_KEPT_MAX: Final = 100
LOCATION_CHARACTERS_SHOWN_MAX: Final = 200
WITH_A_BODY: Final = frozenset({"POST", "PUT", "PATCH"})

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = frozenset({"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"})
"""Headers that the HTTP client sets itself, since they belong to the connection or the framing of a request."""

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
Timeout = Annotated[float, Meta(gt=0, le=24 * 60 * 60)]


class HttpSettings(HandlerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An HTTP call's table in the configuration file.

    Parameters:
        url: the URL; ``{name}`` as a whole path segment or query value is replaced by ``params.name``.
        method: the method.
        headers: additional headers; ``${NAME}`` in a value is replaced by an environment variable.
        body: whether the other params are sent as JSON; by default they are, if the method has a body.
        connect_timeout, read_timeout: the limits on connecting and on a pause within the response, in seconds.
        response_bytes_max: the maximum length of a response.
        description: what the call does, in one line.
    """

    url: str
    method: Method = "POST"
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    body: Literal["params", "none"] | None = None
    connect_timeout: Timeout = 5.0
    read_timeout: Timeout = 30.0
    response_bytes_max: Annotated[int, Meta(ge=0, le=2**40)] = 1024 * 1024
    description: str = ""


class HttpPool:
    """The HTTP client that all calls share. It keeps connections but no cookies: tasks must not share state."""

    def __init__(self) -> None:
        self._client: httpx2.AsyncClient | None = None

    @property
    def client(self) -> httpx2.AsyncClient:
        """Return the client. Valid only inside the context that a call of the pool opens."""
        assert self._client is not None, "opened by the catalogue"
        return self._client

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        """Open the client; calls can be made inside this context."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=CONNECTIONS_KEPT_MAX)
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        async with httpx2.AsyncClient(limits=limits, cookies=no_cookies, trust_env=False) as client:
            self._client = client
            try:
                yield
            finally:
                self._client = None


class HttpHandler:
    """The handler of one HTTP call.

    Parameters:
        settings: the table of the call.
        environment: the environment variables that hold secrets.
        where: the name of the table in error messages.
        pool: the client to call with.

    Raises:
        ConfigError: the URL or a header is invalid.
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
        """Return the schema: the slots, and any other params if they are sent as the body."""
        return {
            "type": "object",
            "properties": dict.fromkeys(self._url.names, VALUE_SCHEMA),
            "required": self._url.names,
            "additionalProperties": self._sends_params,
        }

    def check(self, task: Task, /) -> Complaint | None:
        """Check that the params fill all slots, and that no param is left over if the call has no body."""
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
        """Make the call, and read the response to its end.

        Raises:
            HandlerFailedError: the status was not 2xx, the response was too long, or the connection failed.
        """
        # Checked again: an earlier configuration, or that of another node, may have accepted the task.
        if (complaint := self.check(task)) is not None:
            raise HandlerFailedError(complaint[1], retryable=False)

        async def call() -> int:
            try:
                return await self._call(context, task)
            except httpx2.ConnectError as error:
                if is_exhaustion(error) or not is_descriptor_left():
                    raise ExhaustedError("no file descriptor is left") from error
                raise

        try:
            status = await retry_while_exhausted(call, lambda error: context.log(f"waiting to connect: {error}"))
        except httpx2.ConnectError as error:
            raise HandlerFailedError(f"cannot connect to {self._url.origin}") from error
        except httpx2.ConnectTimeout as error:
            seconds = self._settings.connect_timeout
            raise HandlerFailedError(f"connecting to {self._url.origin} timed out after {seconds:g} s") from error
        except httpx2.TimeoutException as error:
            seconds = self._settings.read_timeout
            raise HandlerFailedError(f"reading from {self._url.origin} timed out after {seconds:g} s") from error
        except httpx2.HTTPError as error:
            why = "closed the connection early, or sent an invalid HTTP response"
            raise HandlerFailedError(f"{self._url.origin} {why}") from error
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
            raise HandlerFailedError(f"the response is longer than {limit} bytes", retryable=False)
        return response.status_code

    async def _read(self, response: httpx2.Response, into: Tail) -> bool:
        """Read a response up to the limit, append its end to ``into``, and return whether it was read completely."""
        body, limit = bytearray(), self._settings.response_bytes_max
        is_whole = False
        try:
            async for chunk in response.aiter_raw():
                body += chunk[: limit + 1 - len(body)]
                if len(body) > limit:
                    # Close instead of `break`, which would leave the client's generators unfinished. Closing ends the
                    # loop, possibly with an HTTPError.
                    await response.aclose()
            is_whole = len(body) <= limit
        except httpx2.HTTPError:
            if len(body) <= limit:
                raise
        finally:
            self._keep(bytes(body), into, is_whole=is_whole)
        return is_whole

    def _keep(self, body: bytes, into: Tail, *, is_whole: bool) -> None:
        """Append a response to ``into`` without its secrets."""
        clean = self._secrets.out_of(body, is_whole=is_whole, kept_bytes=into.bytes_max)
        into.keep(clean)
        if into.pass_on is not None:
            # Only the end of a long response was searched for secrets, because the search takes the loop's time.
            into.pass_on(clean if self._secrets.is_empty else clean[-into.bytes_max :])

    def _judge(self, response: httpx2.Response) -> None:
        """Raise ``HandlerFailedError`` unless the response is a success."""
        status = response.status_code
        if response.is_success:
            return
        if response.is_redirect:
            location = self._secrets.out_of(response.headers.get("Location", "nowhere").encode()).decode()
            shown = location[:LOCATION_CHARACTERS_SHOWN_MAX]
            raise HandlerFailedError(f"status {status}, a redirect to {shown}, which is not followed", retryable=False)
        retryable = status == 429 or status >= 500
        retry_after = retry_after_seconds(response.headers.get("Retry-After")) if retryable else None
        raise HandlerFailedError(f"status {status}", retryable=retryable, retry_after_seconds=retry_after)


def http_handler(name: str, table: Any, environment: Mapping[str, str], pool: HttpPool) -> HttpHandler:
    """Return the handler that a table declares. Raises ``ConfigError``."""
    where = f"handlers.{name}"
    return HttpHandler(table_from(table, HttpSettings, where), environment, where, pool)


def _header(name: str, value: str, environment: Mapping[str, str], where: str) -> str:
    """Return the value of a header, with its secrets filled in."""
    if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS:
        raise ConfigError(f"{where} cannot be set: the name is invalid, or the HTTP client sets this header itself")
    if "${" in VARIABLE.sub("", value):
        raise ConfigError(f"{where}: write an environment variable as ${{NAME}}")
    for variable in VARIABLE.findall(value):
        if variable not in environment:
            raise ConfigError(f"{where} needs the environment variable {variable}, which is not set")
    filled = VARIABLE.sub(lambda variable: environment[variable[1]], value)
    if not (filled.isascii() and filled.isprintable()):
        raise ConfigError(f"{where} contains invalid characters: a header must be printable ASCII")
    return filled.strip()
