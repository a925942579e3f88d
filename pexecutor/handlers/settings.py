"""The keys that the tables of all handlers have in common: limits, and defaults for fields of their tasks.

    [handlers.backup]
    command = ["pg_dump", "--file", "{file}", "--", "{db}"]
    timeout = 600000
    retries = 3

A default is filled in when a task is accepted. A field that the submit contains wins, also with the value that the
field has without any default. So the caller of ``Defaults.fill`` must know which fields were given.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..errors import ConfigError
from ..limits.tags import Tags, check_tags
from ..task import Milliseconds, OnConflict, OnCrash, Priority, Retries, Task, Timeout
from ..validation import table_from

EXAMPLES: Final = {
    "timeout": "timeout = 60000",
    "retries": "retries = 3",
    "retry_delay": "retry_delay = 5000",
    "retry_delay_max": "retry_delay_max = 600000",
    "priority": "priority = 10",
    "on_conflict": 'on_conflict = "join"',
    "on_crash": 'on_crash = "fail"',
    "keep": "keep = 86400000",
    "tags": 'tags = ["nightly"]',
    "concurrency": "concurrency = 2",
    "limits": 'limits = ["api"]',
}
"""A valid line for each key."""

LIMITS_MAX: Final = 10
"""How many limits a handler can have."""

Concurrency = Annotated[int, Meta(ge=1, le=1_000_000)]

_KEY: Final = re.compile(r"\.(\w+)|: `(\w+)`")


class TaskDefaults(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The defaults of a handler for fields of its tasks. Durations are whole milliseconds.

    Parameters:
        timeout: after this time a running attempt is cancelled.
        retries: how often a task is tried again after a failure or a timeout.
        retry_delay: the longest wait before the first retry.
        retry_delay_max: the longest wait before any retry.
        priority: -100 to 100; tasks of higher priority start first.
        on_conflict: what a submit does if another task holds the name.
        on_crash: whether a task runs again or fails if the process dies while the task runs.
        keep: how long a record can be read after its task has ended.
        tags: the tags of a task.
    """

    timeout: Timeout | UnsetType = UNSET
    retries: Retries | UnsetType = UNSET
    retry_delay: Milliseconds | UnsetType = UNSET
    retry_delay_max: Milliseconds | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    on_conflict: OnConflict | UnsetType = UNSET
    on_crash: OnCrash | UnsetType = UNSET
    keep: Milliseconds | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.tags:
            check_tags(self.tags)

    def fields(self) -> dict[str, Any]:
        """Return the fields that have a default, with its value."""
        values = {name: getattr(self, name) for name in TaskDefaults.__struct_fields__}
        return {name: value for name, value in values.items() if value is not UNSET}


class HandlerSettings(TaskDefaults, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys that every handler's table may have, also that of a function or of ``sleep``.

    Parameters:
        concurrency: how many tasks of the handler may run at the same time.
        limits: the names of the limits that bound the tasks of the handler.
    """

    concurrency: Concurrency | UnsetType = UNSET
    limits: Annotated[tuple[str, ...], Meta(max_length=LIMITS_MAX)] = ()


BUILT_IN_VALUES: Final = {
    field.name: field.default for field in msgspec.structs.fields(Task) if field.name in TaskDefaults.__struct_fields__
}
"""The values that the fields have without a default of their handler."""


class Defaults:
    """The defaults of all handlers.

    Parameters:
        by_handler: the defaults, by the name of the handler.
    """

    def __init__(self, by_handler: Mapping[str, TaskDefaults]) -> None:
        self._fields = {name: fields for name, each in by_handler.items() if (fields := each.fields())}

    def __contains__(self, handler: str) -> bool:
        """Return whether a handler has defaults."""
        return handler in self._fields

    def __bool__(self) -> bool:
        """Return whether any handler has defaults."""
        return bool(self._fields)

    def fill(self, task: Task, given: Container[str]) -> Task:
        """Return a task with the defaults of its handler for the fields that were not given.

        Parameters:
            task: the task.
            given: the fields that the submit contains. A field with another value than the built-in one counts as
                given, too.
        """
        filled = {
            name: value
            for name, value in self._fields.get(task.handler, {}).items()
            if name not in given and getattr(task, name) == BUILT_IN_VALUES[name]
        }
        return msgspec.structs.replace(task, **filled) if filled else task


def read_settings(name: str, table: Mapping[str, Any]) -> HandlerSettings:
    """Return the common keys of a handler's table.

    Parameters:
        name: the name of the handler.
        table: its table, which may have further keys.

    Raises:
        ConfigError: a value is invalid; the message names the table and the key, and shows a valid line.
    """
    common = {key: value for key, value in table.items() if key in HandlerSettings.__struct_fields__}
    where = f"handlers.{name}"
    try:
        return table_from(common, HandlerSettings, where)
    except ConfigError as error:
        key = _KEY.match(str(error).removeprefix(where))
        example = EXAMPLES.get((key[1] or key[2]) if key is not None else "", EXAMPLES["timeout"])
        raise ConfigError(f"{error}; for example: {example}") from error
