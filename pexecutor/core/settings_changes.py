"""``SettingsChanges``: exchanges the settings of a running executor, all of them or none.

A change has these steps:

1. Check the new settings. Nothing is changed if they are invalid.
2. Open the resources of the new handlers. Nothing is changed if one cannot be opened.
3. Exchange everything in memory without awaiting: so no caller sees a part of the change.
4. Store the numbers of limits and the schedules. While the store is unavailable, this is tried again, as at a start.
5. Close the resources that no attempt needs any more, once the attempts of the old handlers have ended.

A caller that is cancelled before step 3 has changed nothing. Afterwards the change goes on without the caller.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from ..errors import ConfigError, NotServingError, counted
from ..limits.defaults import LIMIT_SETTINGS_MAX
from ..notifications.dispatcher import Dispatcher
from ..schedules.tables import StoredTables
from ..stores.limits import LimitStore
from .limits import Limits
from .pool import Pool
from .resources import HandlerResources
from .settings import CurrentSettings, ExecutorSettings
from .statistics import Tally
from .submits import TaskSubmits


class SettingsChanges:
    """The changes of the settings of one executor.

    Parameters:
        current: the owner of the settings.
        stored_limits: the limits of its store.
        submits: its submits.
        pool: its workers.
        limits: its limits.
        tables: its schedules that a settings file declares.
        notifications: its notifications.
        tally: its counters.
        watch: registers the callbacks of the executor with the store, for the settings that are in effect.
        is_serving: returns whether the executor serves.
    """

    def __init__(
        self,
        current: CurrentSettings,
        stored_limits: LimitStore,
        submits: TaskSubmits,
        pool: Pool,
        limits: Limits,
        tables: StoredTables,
        notifications: Dispatcher,
        tally: Tally,
        *,
        watch: Callable[[], None],
        is_serving: Callable[[], bool],
    ) -> None:
        self._current = current
        self._stored_limits = stored_limits
        self._submits = submits
        self._pool = pool
        self._limits = limits
        self._tables = tables
        self._notifications = notifications
        self._tally = tally
        self._watch = watch
        self._is_serving = is_serving
        self._resources = HandlerResources()
        self._one_at_a_time = trio.Lock()
        self._nursery: trio.Nursery | None = None

    @asynccontextmanager
    async def running(self, nursery: trio.Nursery) -> AsyncIterator[None]:
        """Open the resources of the handlers; handlers can run and settings can be changed inside this context."""
        self._nursery = nursery
        try:
            async with self._resources.kept(nursery, self._current.handlers.resources):
                yield
        finally:
            self._nursery = None

    def check(self, new: ExecutorSettings) -> None:
        """Check new settings; see ``Executor.check_settings``."""
        missing = self._stored_limits.handlers_missing_from(new.handlers, self._submits.under_way())
        for handler, tasks in missing.items():
            needs = counted(tasks, "task in flight needs", "tasks in flight need")
            raise ConfigError(
                f"the handler `{handler}` is not declared and {needs} it: keep its table until "
                "they have ended, or cancel them"
            )
        self._check_number_of_limits(new)
        if new.declared is not None:
            new.declared.check(new.handlers.check, time.time())

    def _check_number_of_limits(self, new: ExecutorSettings) -> None:
        limits, state = new.handlers.limits, self._limits.now()
        of_handlers = {name: limits.handler_numbers.get(name) for name in new.handlers.names()}
        numbers = state.numbers.replaced_by(limits.numbers, of_handlers)
        settings = len(numbers.limits) + len(numbers.handlers) + len(state.pauses)
        before = len(state.numbers.limits) + len(state.numbers.handlers) + len(state.pauses)
        if settings > max(before, LIMIT_SETTINGS_MAX):
            raise ConfigError(
                f"there would be {settings} limits, handlers with `concurrency` and pauses, and the store keeps at "
                f"most {LIMIT_SETTINGS_MAX} together: remove some"
            )

    async def apply(self, new: ExecutorSettings) -> None:
        """Exchange the settings; see ``Executor.apply_settings``."""
        async with self._one_at_a_time:
            self._serving_nursery()
            self.check(new)
            old = self._current.handlers.resources
            added = [resource for resource in new.handlers.resources if resource not in old]
            await self._resources.acquire(added)
            try:
                nursery = self._serving_nursery()
                self.check(new)  # tasks may have been accepted meanwhile
            except BaseException:
                self._resources.release(added)
                raise
            self._exchange(new, nursery)
            stored = trio.Event()
            nursery.start_soon(self._store_settings, nursery, stored)
            await stored.wait()

    def _serving_nursery(self) -> trio.Nursery:
        if not self._is_serving() or self._nursery is None:
            raise NotServingError
        return self._nursery

    def _exchange(self, new: ExecutorSettings, nursery: trio.Nursery) -> None:
        """Put new settings into effect. This does not await, so all of them take effect at once."""
        old, self._current.now = self._current.now, new
        self._tally.add(new.handlers.names())
        self._notifications.replace(new.targets)
        self._watch()
        unused = [resource for resource in old.handlers.resources if resource not in new.handlers.resources]
        if unused:
            nursery.start_soon(self._resources.release_after, self._pool.ends_of_present(), unused)
        self._pool.resize()

    async def _store_settings(self, nursery: trio.Nursery, stored: trio.Event) -> None:
        """Store what the settings say about limits and schedules; set the event after the first try."""
        try:
            await nursery.start(self._limits.keep_numbers)
            await nursery.start(self._tables.store)
        finally:
            stored.set()
