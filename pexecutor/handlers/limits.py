"""Limits on how many tasks run at the same time: the settings, and the limit keys of a task.

    [limits.api]
    concurrency = 5
    per = "params.account"

    [handlers.sync]
    command = ["sync", "{account}"]
    limits = ["api"]
    concurrency = 20

A limit bounds the tasks of all handlers that name it. With ``per``, it counts for each value of that parameter
separately. ``concurrency`` of a handler bounds the tasks of this handler.

The limit keys of a task are computed when it is accepted. The store keeps them, and counts the running tasks with each
key (see ``pexecutor.stores.limits``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta

from ..errors import ConfigError
from ..limits.defaults import LIMIT_SETTINGS_MAX
from ..limits.keys import LimitKey
from ..task import NAME_BYTES_MAX, Task
from ..validation import table_from, unknown
from .complaints import wrong
from .contract import Complaint
from .settings import Concurrency, HandlerSettings
from .slots import value_text

VALUE_BYTES_MAX: Final = NAME_BYTES_MAX
"""The length of the longest value of a parameter by which a limit counts, as UTF-8."""

KEYS_REMEMBERED_MAX: Final = 1024
"""How many sets of limit keys are kept for further tasks, so that equal sets are one object."""

PARAMS: Final = "params."

EXAMPLES: Final = {"concurrency": "concurrency = 5", "per": 'per = "params.account"'}
"""A valid line for each key of a limit's table."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KEY: Final = re.compile(r"\.(\w+)|: `(\w+)`")


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit's table in the configuration file.

    Parameters:
        concurrency: how many tasks may run at the same time.
        per: the parameter for each value of which the limit counts separately, like ``params.account``.
    """

    concurrency: Concurrency
    per: Annotated[str, Meta(pattern=r"^params\.[^\x00-\x1f\x7f]+$", max_length=NAME_BYTES_MAX)] | None = None


def _keys(names: tuple[str, ...], values: tuple[str, ...]) -> tuple[LimitKey, ...]:
    return tuple(map(LimitKey, names, values))


class DeclaredLimits:
    """The limits of a server.

    Parameters:
        limits: the tables of the limits, by name.
        handlers: the settings of the handlers that have a table, by name.

    Raises:
        ConfigError: a handler names a limit that does not exist, or one limit twice; or a store does not keep so
            many limits.
    """

    def __init__(self, limits: Mapping[str, LimitSettings], handlers: Mapping[str, HandlerSettings]) -> None:
        self.numbers: dict[str, int] = {name: limit.concurrency for name, limit in limits.items()}
        """How many tasks may run at the same time for each key of a limit."""
        self.handler_numbers: dict[str, int] = {
            name: settings.concurrency for name, settings in handlers.items() if settings.concurrency is not UNSET
        }
        """How many tasks of a handler may run at the same time, for the handlers with such a number."""
        self.of_handler: dict[str, tuple[str, ...]] = {
            name: _names(name, settings.limits, limits) for name, settings in handlers.items() if settings.limits
        }
        """The names of the limits of each handler that has any, in ascending order."""
        if len(self.numbers) + len(self.handler_numbers) > LIMIT_SETTINGS_MAX:
            raise ConfigError(
                f"the settings have {len(self.numbers)} limits and {len(self.handler_numbers)} handlers with "
                f"`concurrency`, and a store keeps at most {LIMIT_SETTINGS_MAX} together: remove some"
            )
        self._pers = {
            handler: tuple(_parameter(limits[name]) for name in names) for handler, names in self.of_handler.items()
        }
        self._keys = lru_cache(KEYS_REMEMBERED_MAX)(_keys)

    def keys_of(self, task: Task) -> tuple[LimitKey, ...]:
        """Return the keys of the limits that bound a valid task, in ascending order; one object for equal keys."""
        names = self.of_handler.get(task.handler)
        if names is None:
            return ()
        return self._keys(names, tuple(_value(task, per) for per in self._pers[task.handler]))

    def check(self, task: Task) -> Complaint | None:
        """Return why a limit cannot count a task, or ``None``."""
        for per in self._pers.get(task.handler, ()):
            try:
                value = _value(task, per)
            except ValueError as error:
                return wrong(per, f"a limit counts by this parameter: {error}")
            if len(value.encode()) > VALUE_BYTES_MAX:
                return wrong(per, f"a limit counts by this parameter: expected at most {VALUE_BYTES_MAX} bytes")
        return None

    @property
    def check_or_none(self) -> Callable[[Task], Complaint | None] | None:
        """Return ``check`` if some limit counts by a parameter, else ``None``."""
        return self.check if any(map(any, self._pers.values())) else None


NO_DECLARED_LIMITS: Final = DeclaredLimits({}, {})


def load_limits(tables: Mapping[str, Any]) -> dict[str, LimitSettings]:
    """Return the limits of a settings file, by name.

    Raises:
        ConfigError: a table is invalid; the message names the table and the key, and shows a valid line.
    """
    return {name: _load(name, table) for name, table in tables.items()}


def _load(name: str, table: Any) -> LimitSettings:
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"invalid limit name {name[:64]!r}: use 1 to 64 letters, digits, - and _")
    where = f"limits.{name}"
    per = table.get("per") if isinstance(table, Mapping) else None
    if isinstance(per, str) and not per.startswith(PARAMS):
        raise ConfigError(f"{where}.per: {per!r} must name a parameter; for example: {EXAMPLES['per']}")
    try:
        return table_from(table, LimitSettings, where)
    except ConfigError as error:
        key = _KEY.match(str(error).removeprefix(where))
        example = EXAMPLES.get((key[1] or key[2]) if key is not None else "", EXAMPLES["concurrency"])
        raise ConfigError(f"{error}; for example: {example}") from error


def _names(handler: str, names: tuple[str, ...], limits: Mapping[str, LimitSettings]) -> tuple[str, ...]:
    for index, name in enumerate(names):
        if name not in limits:
            none = 'there are no limits: add a table such as [limits.api] with a line "concurrency = 5"'
            raise ConfigError(f"handlers.{handler}.limits: {unknown('limit', name, sorted(limits), none=none)}")
        if name in names[:index]:
            raise ConfigError(f"handlers.{handler}.limits contains {name!r} more than once")
    return tuple(sorted(names))


def _parameter(limit: LimitSettings) -> str:
    return "" if limit.per is None else limit.per.removeprefix(PARAMS)


def _value(task: Task, per: str) -> str:
    """Return the text of the value by which a limit counts; ``""`` for all tasks without one.

    Raises:
        ValueError: the value is not a scalar.
    """
    value = task.params.get(per) if per else None
    return "" if value is None else value_text(value)
