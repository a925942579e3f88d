"""The tables ``[notify.NAME]`` of a settings file: read and check them.

    [notify.ops]
    url = "https://hooks.example.org/pexecutor"
    on = ["failed", "timed_out", "abandoned"]
    names = ["nightly-*"]
    secret = "${OPS_SECRET}"

The URL of a target can be a secret itself, as Slack's are. So no message and no log line shows more of a URL than its
origin, and ``${NAME}`` is also replaced in a URL.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate
from typing import Annotated, Any, Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec
from msgspec import Meta

from ..errors import ConfigError
from ..task import NAME_BYTES_MAX
from ..validation import table_from, unknown
from .message import Preset
from .signature import key_of_secret

TARGETS_MAX: Final = 32
PATTERNS_MAX: Final = 100
SECRETS_MAX: Final = 2

Cause = Literal["succeeded", "failed", "timed_out", "cancelled", "abandoned", "skipped"]
"""What a notification can be about: an outcome of a task, or a skipped occurrence of a schedule."""

Pattern = Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX)]
Patterns = Annotated[tuple[Pattern, ...], Meta(max_length=PATTERNS_MAX)]

EXAMPLES: Final = {
    "url": 'url = "https://hooks.example.org/pexecutor"',
    "on": 'on = ["failed", "timed_out", "abandoned"]',
    "handlers": 'handlers = ["backup"]',
    "names": 'names = ["nightly-*"]',
    "secret": 'secret = "${OPS_SECRET}"',
    "preset": 'preset = "slack"',
    "allow_private": "allow_private = true",
}
"""A valid line for each key of a table."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WILDCARD: Final = re.compile(r"[*?\[]")


class TargetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A target's table in the configuration file.

    Parameters:
        url: where notifications are sent; ``${NAME}`` is replaced by an environment variable.
        on: the outcomes of tasks that are notified, and ``skipped`` for skipped occurrences of schedules.
        handlers: patterns, at least one of which the handler of the task must match; empty for every handler.
        names: patterns, at least one of which the name of the task must match; empty for every name.
        secret: the secret that signs notifications, or two while it is changed; ``${NAME}`` is replaced.
        preset: the form of the body.
        allow_private: whether the receiver may have a private address, such as one of this machine.
    """

    url: str
    on: Annotated[tuple[Cause, ...], Meta(min_length=1)] = ("failed", "timed_out", "abandoned")
    handlers: Patterns = ()
    names: Patterns = ()
    secret: str | Annotated[tuple[str, ...], Meta(min_length=1, max_length=SECRETS_MAX)] = ()
    preset: Preset = "webhook"
    allow_private: bool = False


class Address(NamedTuple):
    """A URL, taken apart. Only ``origin`` may be shown.

    Parameters:
        scheme: ``http`` or ``https``.
        host: the name or the address of the receiver.
        port: the port of the receiver.
        resource: the path and the query.
        authorization: the value of the header ``Authorization``, or ``None``.
    """

    scheme: str
    host: str
    port: int
    resource: str
    authorization: str | None = None

    @property
    def host_header(self) -> str:
        """Return the value of the header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Return the scheme, the host and the port, which log lines may show."""
        return f"{self.scheme}://{self.host_header}"


class Target(NamedTuple):
    """A receiver of notifications.

    Parameters:
        name: the name of the table.
        address: where notifications are sent.
        on: what is notified.
        handlers, names: what the handler and the name of the task must match; ``None`` for everything.
        keys: the keys that sign notifications.
        preset: the form of the body.
        allow_private: whether the receiver may have a private address.
    """

    name: str
    address: Address
    on: frozenset[Cause] = frozenset({"failed", "timed_out", "abandoned"})
    handlers: re.Pattern[str] | None = None
    names: re.Pattern[str] | None = None
    keys: tuple[bytes, ...] = ()
    preset: Preset = "webhook"
    allow_private: bool = False


def load_targets(
    tables: Mapping[str, Any], handlers: Iterable[str], environment: Mapping[str, str]
) -> dict[str, Target]:
    """Return the targets of a settings file, by name.

    Parameters:
        tables: the tables, by the name of the target.
        handlers: the names of the handlers of this server.
        environment: the environment variables that hold secrets.

    Raises:
        ConfigError: a table is invalid. The message names the table and the key, shows a valid line, and no secret.
    """
    if len(tables) > TARGETS_MAX:
        raise ConfigError(f"notify has {len(tables)} tables, and at most {TARGETS_MAX} are allowed: remove some")
    known = sorted(handlers)
    return {name: _load(name, table, known, environment) for name, table in tables.items()}


def _load(name: str, table: Any, handlers: Sequence[str], environment: Mapping[str, str]) -> Target:
    where = f"notify.{name}"
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"invalid name {name[:64]!r} in [notify.NAME]: use 1 to 64 letters, digits, - and _")
    try:
        settings = table_from(table, TargetSettings, where)
        secrets = (settings.secret,) if isinstance(settings.secret, str) else settings.secret
        _check_handlers(settings.handlers, handlers, f"{where}.handlers")
        return Target(
            name,
            _address(_filled(settings.url, environment, f"{where}.url"), f"{where}.url"),
            frozenset(settings.on),
            _any_of(settings.handlers),
            _any_of(settings.names),
            tuple(_key(_filled(secret, environment, f"{where}.secret"), f"{where}.secret") for secret in secrets),
            settings.preset,
            settings.allow_private,
        )
    except ConfigError as error:
        raise _with_line(str(error), where) from error


def _with_line(message: str, where: str) -> ConfigError:
    """Return the error with a valid line for its key."""
    place = message.removeprefix(where)
    named = [key for key in EXAMPLES if place.startswith(f".{key}") or f"`{key}` is required" in place]
    return ConfigError(f"{message}; for example: {EXAMPLES[named[0]]}" if named else message)


def _filled(text: str, environment: Mapping[str, str], where: str) -> str:
    if "${" in _VARIABLE.sub("", text):
        raise ConfigError(f"{where}: write an environment variable as ${{NAME}}")
    for name in _VARIABLE.findall(text):
        if not environment.get(name):
            raise ConfigError(f"{where} needs the environment variable {name}, which is not set")
    return _VARIABLE.sub(lambda variable: environment[variable[1]], text)


def _key(secret: str, where: str) -> bytes:
    try:
        return key_of_secret(secret)
    except ValueError as error:
        raise ConfigError(f"{where} {error}") from error


_PORTS: Final = {"http": 80, "https": 443}


def _address(url: str, where: str) -> Address:
    wrong = ConfigError(f"{where} must begin with http:// or https:// and a host, in printable ASCII without spaces")
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise wrong
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # not chained: its text may quote the URL
        raise wrong from None
    if parts.scheme not in _PORTS or not host or port == 0:
        raise wrong
    if parts.fragment:
        raise ConfigError(f"{where} must not have a fragment: fragments are never sent")
    resource = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], resource, _authorization(parts.netloc))


def _authorization(netloc: str) -> str | None:
    """Return the header for the user and password of a URL (RFC 7617)."""
    credentials, at, _ = netloc.rpartition("@")
    return f"Basic {b64encode(unquote(credentials).encode()).decode()}" if at else None


def _check_handlers(patterns: Iterable[str], handlers: Sequence[str], where: str) -> None:
    for pattern in patterns:
        if _WILDCARD.search(pattern) is None and pattern not in handlers:
            raise ConfigError(f"{where}: {unknown('handler', pattern, handlers)}")


def _any_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """Return an expression that matches what one of the patterns matches whole, or ``None`` without patterns."""
    translated = "|".join(map(translate, patterns))
    return re.compile(translated) if translated else None
