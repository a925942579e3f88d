"""The tables ``[schedules.NAME]`` of a settings file: read and check them, and store them when the executor starts.

The file owns its schedules. The store is compared with the tables before the first schedule can fire, and after each
reload: an equal table changes nothing, so neither a restart nor a reload nor a second node adds an occurrence. On a
store of one process, a schedule whose table is gone is removed. On a shared store it stays, with a warning, as another
node's file may have the table.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

import msgspec
import trio

from ..errors import ConfigError, InvalidScheduleError, PexecutorError, StoreUnavailableError, UnknownScheduleError
from ..limits.defaults import DECLARE_RETRY_SECONDS
from ..observe.notify import safe_logger
from ..stores.schedules import Schedule
from ..validation import table_from
from .changes import with_start
from .clock import ScheduleClock
from .declaration import Fault, ScheduleDeclaration, check_declaration, check_schedule_name
from .operations import Schedules
from .times import check_times

PAGE_SCHEDULES: Final = 1000
NAMES_SHOWN_MAX: Final = 20

EXAMPLES: Final = {
    "cron": 'cron = "0 3 * * *"',
    "timezone": 'timezone = "Europe/Berlin"',
    "every": "every = 60000",
    "start_at": "start_at = 2030-01-31T08:00:00Z",
    "jitter": "jitter = 5000",
    "until": "until = 2030-01-31T08:00:00Z",
    "catch_up": 'catch_up = "none"',
    "late_max": "late_max = 600000",
    "paused": "paused = true",
    "task": 'task = {name = "report", handler = "sleep"}',
}
"""A valid line for each key of a table."""

_JSON_MEMBER: Final = re.compile(r'"(\w+)": ')

_log: Final = safe_logger(__name__)


def load_tables(tables: Mapping[str, Any], fault: Fault, now: float) -> dict[str, ScheduleDeclaration]:
    """Return the schedules of a settings file, by name.

    Parameters:
        tables: the tables, by schedule name.
        fault: returns why a handler would refuse a task, or ``None``.
        now: the time, in seconds since 1970, after which the times of a schedule are checked.

    Raises:
        ConfigError: a table is invalid; the message names the table and the key, and shows a valid line.
    """
    return {name: _load(name, table, fault, now) for name, table in tables.items()}


def _load(name: str, table: Any, fault: Fault, now: float) -> ScheduleDeclaration:
    where = f"schedules.{name}"
    try:
        declaration = table_from(_as_json(table), ScheduleDeclaration, where)
    except ConfigError as error:
        raise _with_example(str(error), where) from error
    try:
        check_schedule_name(name)
        check_declaration(declaration, now, fault)
        check_times(name, with_start(declaration.definition, None, now), now)
    except InvalidScheduleError as error:
        message = str(error).removeprefix(f"`{error.field}`: ")
        raise _with_example(f"{where}.{error.field}: {message}", where) from error
    return declaration


def _as_json(table: Any) -> Any:
    """Return a table as it would be in JSON: TOML has times, which JSON writes as texts."""
    try:
        return msgspec.json.decode(msgspec.json.encode(table))
    except (ValueError, OverflowError):  # a number that JSON cannot hold; the conversion says which key is invalid
        return table


def _with_example(message: str, where: str) -> ConfigError:
    """Return the error with a valid line for its key, unless the message shows an example."""
    message = _JSON_MEMBER.sub(r"\1 = ", message)
    if "for example" in message or "such as" in message:
        return ConfigError(message)
    place = message.removeprefix(where)
    named = [key for key in EXAMPLES if place.startswith(f".{key}") or f"`{key}`" in place or f"`{key}." in place]
    shown = EXAMPLES[named[0]] if named else f"{EXAMPLES['cron']} and {EXAMPLES['task']}"
    return ConfigError(f"{message}; for example: {shown}")


def fields_given(tables: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return the fields that the task of each table has, by the name of the schedule; the tables must be valid."""
    return {name: frozenset(table["task"]) for name, table in tables.items()}


async def run_schedules(  # StoredTables.store() reports that it has started
    tables: StoredTables, clock: ScheduleClock, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Store the schedules of the settings, if there are settings, then fire schedules until a drain begins.

    ``started`` is reported after the first try to store them.
    """
    await tables.store(task_status=task_status)
    await clock.run()


class DeclaredSchedules:
    """The schedules of a settings file, to be stored at the start or after a reload.

    Parameters:
        declarations: the schedules, by name.
        given: the fields of their tasks that the tables have, by the name of the schedule.
        shared: whether other processes use the store, too.
    """

    def __init__(
        self,
        declarations: Mapping[str, ScheduleDeclaration],
        *,
        given: Mapping[str, Collection[str]] = MappingProxyType({}),
        shared: bool = False,
    ) -> None:
        self._declarations = declarations
        self._given = given
        self._shared = shared

    def check(self, fault: Fault, now: float) -> None:
        """Raise ``ConfigError`` if a handler would refuse the task of a schedule.

        Parameters:
            fault: returns why a handler would refuse a task, or ``None``.
            now: the time that is filled into params, in seconds since 1970.
        """
        for name, declaration in self._declarations.items():
            try:
                check_declaration(declaration, now, fault)
            except InvalidScheduleError as error:
                raise ConfigError(f"schedules.{name}.{error.field}: {error}") from error

    async def number_with_stored(self, schedules: Schedules) -> int:
        """Return how many schedules the store has once these are stored. Raises ``StoreUnavailableError``."""
        names = set(self._declarations)
        async for schedule in _every(schedules):
            if self._shared or schedule.owner != "file":
                names.add(schedule.name)
        return len(names)

    async def store_once(self, schedules: Schedules) -> None:
        """Store the schedules and remove those whose table is gone. Raises ``StoreUnavailableError``."""
        await self._remove_others(schedules)  # first, to make room
        for name, declaration in self._declarations.items():
            try:
                await schedules.put(name, declaration, owner="file", given=self._given.get(name, ()))
            except StoreUnavailableError:
                raise
            except PexecutorError as error:
                _log.error("the schedule %r of the settings was not stored: %s", name, error)

    async def _remove_others(self, schedules: Schedules) -> None:
        declared = [schedule.name async for schedule in _every(schedules) if schedule.owner == "file"]
        gone = [name for name in declared if name not in self._declarations]
        if self._shared and gone:
            _log.warning(
                "the settings have no table for these schedules of the store, which another node may declare; "
                "DELETE /schedules/NAME?force=true removes one: %s",
                ", ".join(gone[:NAMES_SHOWN_MAX]) + (", ..." if len(gone) > NAMES_SHOWN_MAX else ""),
            )
        elif gone:
            await _remove(schedules, gone)


class StoredTables:
    """Keeps the store equal to the schedules of the settings.

    Parameters:
        declared: returns the schedules of the present settings, or ``None`` without a settings file.
        schedules: the schedules of the executor.
    """

    def __init__(self, declared: Callable[[], DeclaredSchedules | None], schedules: Schedules) -> None:
        self._declared = declared
        self._schedules = schedules
        self._storing = trio.Lock()
        self._is_retrying = False
        """Whether a Trio task tries to store the tables again. Owned by ``store``."""

    async def store(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Store the schedules and remove those whose table is gone; try again while the store cannot be written.

        ``started`` is reported after the first try.
        """
        try:
            await self._store_once()
        except StoreUnavailableError as error:
            _log.error("the schedules of the settings cannot be stored yet: %s", error)
            task_status.started()
            await self._store_later()
        else:
            task_status.started()

    async def _store_later(self) -> None:
        if self._is_retrying:
            return  # the other Trio task stores the tables that are in effect at its next try
        self._is_retrying = True
        while self._is_retrying:
            await trio.sleep(DECLARE_RETRY_SECONDS)
            with suppress(StoreUnavailableError):
                await self._store_once()
                self._is_retrying = False

    async def _store_once(self) -> None:
        async with self._storing:  # so that the tables of a reload are never replaced by earlier ones
            if (declared := self._declared()) is not None:
                await declared.store_once(self._schedules)


async def _every(schedules: Schedules) -> AsyncIterator[Schedule]:
    """Yield all schedules of the store, by name."""
    after: str | None = None
    while page := await schedules.page(PAGE_SCHEDULES, after):
        for schedule in page:
            yield schedule
        after = page[-1].name


async def _remove(schedules: Schedules, names: list[str]) -> None:
    for name in names:
        try:
            await schedules.remove(name, force=True)
        except UnknownScheduleError:
            continue
        _log.info("the schedule %r was removed: its table is no longer in the settings", name)
