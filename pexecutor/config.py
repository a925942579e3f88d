"""Settings: one frozen ``Config``, merged from defaults < TOML file < environment < flags.

Every limit of the program is a setting here, with its unit in its name. The annotations of the fields are the only
definition of their ranges. A setting's environment variable is ``PEXECUTOR_`` and its name in capitals; lists are
separated by commas. Handlers, limits, schedules, hooks, targets of notifications and tokens are declared only in the
file.
"""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import platformdirs
from msgspec import Meta

from .errors import ConfigError
from .limits.defaults import (
    BODY_BYTES_MAX,
    CRASHES_MAX,
    HISTORY_BYTES_MAX,
    HISTORY_FAILED_SECONDS_MAX,
    HISTORY_RECORDS_MAX,
    HISTORY_SECONDS_MAX,
    HOST,
    LOG_BYTES_MAX,
    LOGS_BYTES_MAX,
    POOL_SIZE,
    PORT,
    QUEUE_SIZE,
    SPAN_SECONDS_MAX,
)
from .limits.times import (
    DRAIN_TIMEOUT_SECONDS,
    LEASE_SECONDS,
    LEASE_SECONDS_MAX,
    LEASE_SECONDS_MIN,
    REQUEST_TIMEOUT_SECONDS,
)
from .stores.address import MemoryAddress, SqliteAddress, StoreAddress, ValkeyAddress, parse_store
from .stores.schedules import SCHEDULES_MAX
from .validation import fault_of, similar

ENVIRONMENT_PREFIX: Final = "PEXECUTOR_"

NO_SETTINGS: Final = frozenset(
    {"PEXECUTOR_URL", "PEXECUTOR_TOKEN", "PEXECUTOR_TASK_ID", "PEXECUTOR_TASK_NAME", "PEXECUTOR_TASK_TOKEN"}
    | {"PEXECUTOR_TASK_STORE", "PEXECUTOR_TASK_SERVER"}
)
"""``PEXECUTOR_`` variables that are not settings, but belong to clients and to the commands that a server runs."""

_SERVICE_LINK: Final = re.compile(
    r"PEXECUTOR_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_SERVICE_ADDRESS: Final = re.compile(r"(?:tcp|udp|sctp)://.*", re.IGNORECASE)

Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Bytes = Annotated[int, Meta(ge=1, le=2**40)]
LogBytes = Annotated[int, Meta(ge=64 * 1024, le=2**40)]
Seconds = Annotated[float, Meta(ge=0, le=SPAN_SECONDS_MAX)]

Durability = Literal["full", "normal", "none", "aof", "fsync"]
UnknownHandlers = Literal["refuse", "fail"]
HttpKind = Literal["hypercorn", "fast"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a server."""

    host: Annotated[str, Meta(min_length=1)] = HOST
    port: Annotated[int, Meta(ge=0, le=65535)] = PORT
    server: HttpKind = "hypercorn"
    pool_size: Annotated[int, Meta(ge=1, le=10_000)] = POOL_SIZE
    queue_size: Count = QUEUE_SIZE
    drain_timeout_seconds: Seconds = DRAIN_TIMEOUT_SECONDS
    store: str = "sqlite"
    queue: Annotated[str, Meta(pattern=r"^[\w.:-]{1,100}$")] = "default"
    data_dir: str | None = None
    durability: Durability | None = None
    lease_seconds: Annotated[float, Meta(ge=LEASE_SECONDS_MIN, le=LEASE_SECONDS_MAX)] = LEASE_SECONDS
    handler_modules: tuple[str, ...] = ()
    handlers: dict[str, dict[str, Any]] = {}
    limits: dict[str, dict[str, Any]] = {}
    unknown_handlers: UnknownHandlers = "refuse"
    schedules: dict[str, dict[str, Any]] = {}
    schedules_max: Count = SCHEDULES_MAX
    hooks: dict[str, dict[str, Any]] = {}
    notify: dict[str, dict[str, Any]] = {}
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"
    history_records_max: Count = HISTORY_RECORDS_MAX
    history_seconds_max: Seconds = HISTORY_SECONDS_MAX
    history_failed_seconds_max: Annotated[float, Meta(ge=0, le=366 * 24 * 60 * 60)] = HISTORY_FAILED_SECONDS_MAX
    history_bytes_max: Bytes = HISTORY_BYTES_MAX
    log_bytes_max: LogBytes = LOG_BYTES_MAX
    logs_bytes_max: LogBytes = LOGS_BYTES_MAX
    logs_dir: str | None = None
    crashes_max: Annotated[int, Meta(ge=1, le=1000)] = CRASHES_MAX
    body_bytes_max: Bytes = BODY_BYTES_MAX
    batch_tasks_max: Count = 10_000
    request_timeout_seconds: Annotated[float, Meta(gt=0, le=3600)] = REQUEST_TIMEOUT_SECONDS
    connections_max: Count = 1000
    event_streams_max: Count = 100
    tokens: dict[str, dict[str, Any]] = {}
    allow_anonymous: bool = False
    allowed_hosts: tuple[str, ...] = ()
    base_path: str = ""
    trusted_proxies: tuple[str, ...] = ()
    tls_certfile: str | None = None
    tls_keyfile: str | None = None


FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""The maximum size of a settings file. Reading TOML takes so long that a much larger file would delay the server."""

DEFAULTS: Final = Config()
"""The default of every setting."""


def load_config(*, file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Config:
    """Merge the sources of settings; flags override variables, which override the file.

    Parameters:
        file: a TOML file, or ``None``.
        environment: the environment variables. Those that begin with ``PEXECUTOR_`` are settings. An empty variable
            counts as unset, and a variable that a flag overrides is not checked.
        flags: the settings of the command line, by field name; ``None`` for a flag that was not given.

    Raises:
        ConfigError: a setting is unknown or out of range; the message names the setting and its source.
    """
    settings: dict[str, Any] = {}
    for name, value in (_read_file(file) if file is not None else {}).items():
        settings[name] = _checked(name, value, f"{name} in {file}")
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    for variable, value in environment.items():
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if _is_setting(variable, value) and name not in given and not (name in _TYPES and value == ""):
            listed = tuple(filter(None, value.split(","))) if name in _LISTS else value
            settings[name] = _checked(name, listed, variable, strict=False)
    for name, value in given.items():
        settings[name] = _checked(name, value, flag_of(name), strict=False)
    config = msgspec.convert(settings, Config)
    durability_of(config)
    return config


def service_variables(environment: Mapping[str, str]) -> list[str]:
    """Return the variables that Kubernetes sets for a service whose name begins with ``pexecutor``."""
    return sorted(variable for variable, value in environment.items() if _is_of_a_service(variable, value))


def _is_of_a_service(variable: str, value: str) -> bool:
    if _SERVICE_LINK.fullmatch(variable):
        return True
    is_port = variable.startswith(ENVIRONMENT_PREFIX) and variable.endswith("PORT")
    return is_port and _SERVICE_ADDRESS.fullmatch(value) is not None


def _is_setting(variable: str, value: str) -> bool:
    return (
        variable.startswith(ENVIRONMENT_PREFIX)
        and variable not in NO_SETTINGS
        and not _is_of_a_service(variable, value)
    )


def durability_of(config: Config) -> Durability:
    """Return the durability level of the settings, or the default level of the store.

    Raises:
        ConfigError: the store is invalid, or does not support the level.
    """
    levels = _DURABILITIES[type(parse_store(config.store))]
    if config.durability is None:
        return levels[0]
    if config.durability not in levels:
        raise ConfigError(f"durability cannot be {config.durability!r} on this store: choose {' or '.join(levels)}")
    return config.durability


def database_file(config: Config) -> Path:
    """Return the path of the tasks' file: in the directory of the settings, or else in the user's data directory."""
    address = parse_store(config.store)
    if isinstance(address, SqliteAddress) and address.file is not None:
        return address.file
    return data_directory(config) / "pexecutor.db"


def data_directory(config: Config) -> Path:
    """Return the directory for the server's data: that of the settings, or else the user's data directory."""
    return Path(config.data_dir) if config.data_dir is not None else platformdirs.user_data_path("pexecutor")


def where_tasks_are(config: Config) -> str:
    """Return where the tasks are kept, as the end of a sentence for the operator."""
    match address := parse_store(config.store):
        case MemoryAddress():
            return "live in memory"
        case SqliteAddress():
            return f"are in {database_file(config)}"
        case _:
            return f"are in the queue {config.queue!r} of {address.shown}"


def flag_of(setting: str) -> str:
    """Return the command-line flag of a setting."""
    return "--" + _FLAGS.get(setting, setting.removesuffix("_seconds").replace("_", "-"))


def _read_file(path: Path) -> dict[str, Any]:
    content = b""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise ConfigError(f"{path} has more than {FILE_BYTES_MAX} bytes: is it a file of settings?")
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:2]:
            raise ConfigError(f"{path} is UTF-16: save it as UTF-8")
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        end = f"at line {len(content.splitlines())}, the end of the file"
        raise ConfigError(f"{path} is not valid TOML: {str(error).replace('at end of document', end)}") from error
    except (ValueError, RecursionError) as error:  # valid TOML, but more than tomllib can read
        raise ConfigError(f"cannot read {path}: a number is too long, or a value has too many levels") from error


def _checked(name: str, value: Any, source: str, *, strict: bool = True) -> Any:
    """Return a value converted to the setting's type and checked; error messages name the source."""
    if name not in _TYPES:
        close = similar(name, _TYPES)
        meant = "; the" if close is None else f": did you mean `{close}`? The"
        raise ConfigError(f"{source} is not a setting{meant} settings are: {', '.join(sorted(_TYPES))}")
    try:
        return msgspec.convert(value, _TYPES[name], strict=strict)
    except msgspec.ValidationError as error:
        shown = "this" if name in _NEVER_SHOWN else repr(value)
        fault = fault_of(error, _TYPES[name])
        place = f"{fault.path}: " if fault.path else ""
        raise ConfigError(f"{source} cannot be {shown}: {place}{fault.expected}") from error


_DURABILITIES: Final[dict[type[StoreAddress], tuple[Durability, ...]]] = {
    MemoryAddress: ("none",),
    SqliteAddress: ("full", "normal"),
    ValkeyAddress: ("aof", "none", "fsync"),
}
"""The levels that a store supports, its default first."""

_FLAGS: Final = {"handler_modules": "handlers", "tls_certfile": "certfile", "tls_keyfile": "keyfile"}
_LISTS: Final = {"handler_modules", "allowed_hosts", "trusted_proxies"}
_NEVER_SHOWN: Final = {"tokens", "hooks", "notify", "store"}
"""Settings whose values are never shown, because they may contain a secret."""

_TYPES: Final = {field.name: field.type for field in msgspec.structs.fields(Config)}
