"""Make a catalogue from the tables ``[handlers.NAME]`` and the modules of the settings.

The key in a handler's table decides its kind: ``command`` declares a command, ``url`` an HTTP call. A table without
either configures a function or ``sleep``. Functions come from modules, which are imported once. ``sleep`` is always
available.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from ..errors import ConfigError
from ..validation import similar, table_from, unknown
from .catalogue import SLEEP, Catalogue, Resource
from .command import command_handler
from .contract import Handler
from .functions.function import load_functions
from .limits import DeclaredLimits, load_limits
from .settings import HandlerSettings, read_settings
from .sleep import Sleep


def load_catalogue(
    *,
    declared: Mapping[str, Any],
    modules: Sequence[str],
    environment: Mapping[str, str],
    limits: Mapping[str, Any] = MappingProxyType({}),
) -> Catalogue:
    """Load the handlers that the settings declare.

    Parameters:
        declared: the tables of the configuration file, by handler name.
        modules: the names or paths of modules with handler functions.
        environment: the source of secrets and of the variables that commands inherit.
        limits: the tables of the limits that handlers name, by limit name.

    Raises:
        ConfigError: a handler or a limit is invalid; the message names its table and the key.
    """
    functions = [loaded for module in modules for loaded in load_functions(module)]
    return _load(Catalogue({SLEEP: Sleep()}), functions, declared, environment, limits)


def reload_catalogue(
    present: Catalogue, *, declared: Mapping[str, Any], environment: Mapping[str, str], limits: Mapping[str, Any]
) -> Catalogue:
    """Load the handlers of changed settings. What is no table stays: functions, ``sleep``, and the HTTP client.

    The result treats tasks of unknown handlers as the present catalogue does, and belongs to the same process.

    Parameters:
        present: the present catalogue.
        declared: the tables of the configuration file, by handler name.
        environment: the source of secrets and of the variables that commands inherit.
        limits: the tables of the limits that handlers name, by limit name.

    Raises:
        ConfigError: a handler or a limit is invalid; the message names its table and the key.
    """
    return present.continued_by(_load(present, (), declared, environment, limits))


def _load(
    present: Catalogue,
    functions: Sequence[tuple[str, Handler]],
    declared: Mapping[str, Any],
    environment: Mapping[str, str],
    limits: Mapping[str, Any],
) -> Catalogue:
    handlers, client = present.untabled(), None
    kinds = {name: _kind(name, table) for name, table in declared.items()}
    settings = {name: read_settings(name, table) for name, table in declared.items()}
    calls = {name: table for name, table in declared.items() if kinds[name] == "url"}
    for name in [name for name, kind in kinds.items() if kind == "command"]:
        _add(handlers, name, command_handler(name, declared[name], environment))
    if calls:
        client = _add_calls(handlers, calls, environment, present.client)
    for name, function in functions:
        _add(handlers, name, function)
    for name in [name for name, kind in kinds.items() if kind is None]:
        _check_configured(name, declared[name], handlers)
    return Catalogue(
        handlers,
        present.untabled_resources,
        settings,
        DeclaredLimits(load_limits(limits), settings),
        tabled=[name for name, kind in kinds.items() if kind is not None],
        client=client,
    )


_KINDS: Final = ("command", "url")
"""The keys of a handler's table that say what the handler runs."""


def _kind(name: str, table: Any) -> str | None:
    """Return the key that says what a handler runs, or ``None`` if its table configures a function or ``sleep``."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"handlers.{name} must be a table, such as [handlers.{name}] with a line `command = [...]`")
    kinds = [kind for kind in _KINDS if kind in table]
    if len(kinds) > 1:
        raise ConfigError(f"handlers.{name} must have either `command` or `url`, not both")
    for key in () if kinds else table.keys() - set(HandlerSettings.__struct_fields__):
        if (meant := similar(key, _KINDS)) is not None:
            raise ConfigError(f"unknown key `{key}` in [handlers.{name}]: did you mean `{meant}`?")
    return kinds[0] if kinds else None


def _check_configured(name: str, table: Mapping[str, Any], handlers: Mapping[str, Handler]) -> None:
    """Raise ``ConfigError`` if a table without ``command`` and ``url`` names no handler, or has an unknown key."""
    if name not in handlers:
        raise ConfigError(
            f"[handlers.{name}] has neither `command` nor `url`, so it must name a function or `{SLEEP}`: "
            + unknown("handler", name, sorted(handlers))
        )
    table_from(table, HandlerSettings, f"handlers.{name}")


def _add_calls(
    handlers: dict[str, Handler], calls: Mapping[str, Any], environment: Mapping[str, str], client: Resource | None
) -> Resource:
    """Add handlers for HTTP calls, and return the client that they share: the present one, if there is one."""
    # Imported here: loading an HTTP client takes long, and a server without HTTP calls does not need it.
    from .http.http import HttpPool, http_handler

    pool = client if isinstance(client, HttpPool) else HttpPool()
    for name, table in calls.items():
        _add(handlers, name, http_handler(name, table, environment, pool))
    return pool


def _add(handlers: dict[str, Handler], name: str, handler: Handler) -> None:
    if name in handlers:
        raise ConfigError(f"there are two handlers `{name}`: give one of them another name")
    handlers[name] = handler
