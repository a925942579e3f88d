"""``Limits``: the limits and pauses of an executor, and why a task does not run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import trio

from ..errors import StoreUnavailableError, TooManyLimitsError, UnknownHandlerError
from ..handlers import Catalogue
from ..limits.defaults import DECLARE_RETRY_SECONDS
from ..observe.events import Feed, TasksPaused, TasksResumed
from ..observe.notify import safe_logger
from ..stores import Store, Watcher
from ..stores.limits import LimitState, LimitStore, Reason, TaskPause
from .settings import CurrentSettings

_log: Final = safe_logger(__name__)


class Limits:
    """The limits and pauses of one executor. Numbers and limit keys come from the settings of its handlers.

    Parameters:
        store: the store that keeps the tasks, the numbers and the pauses.
        settings: the owner of the handlers, with their limits.
        events: the feed that gets an event when something is paused or resumed.
    """

    def __init__(self, store: Store, settings: CurrentSettings, events: Feed) -> None:
        self._store = store
        self._settings = settings
        self._events = events
        self._declaring = trio.Lock()
        self._has_logged_pauses = False
        self._is_retrying = False
        """Whether a Trio task tries to store the numbers again. Owned by ``keep_numbers``."""

    @property
    def _handlers(self) -> Catalogue:
        return self._settings.handlers

    @property
    def store(self) -> LimitStore:
        """Return the limits of the store."""
        return self._store.limits

    def watch(self, watcher: Watcher) -> None:
        """Register a watcher with the store, which also names the known handlers and the limit keys of tasks."""
        handlers, limits = self._handlers, self._handlers.limits
        known = None if handlers.claims_unknown else frozenset(handlers.names())
        watcher = watcher._replace(handlers=known, ends_with_us=handlers.ending_with_us())
        self._store.watch(watcher._replace(limit_keys=limits.keys_of) if limits.of_handler else watcher)

    async def keep_numbers(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Store the numbers of the settings; try again while the store cannot be written or keeps too many others.

        ``started`` is reported after the first try.
        """
        try:
            await self._declare()
        except (StoreUnavailableError, TooManyLimitsError) as error:
            _log.error("the limits of the settings cannot be stored yet: %s", error)
            task_status.started()
            await self._declare_later()
        else:
            task_status.started()

    async def _declare_later(self) -> None:
        if self._is_retrying:
            return  # the other Trio task stores the numbers that are in effect at its next try
        self._is_retrying = True
        while self._is_retrying:
            await trio.sleep(DECLARE_RETRY_SECONDS)
            with suppress(StoreUnavailableError, TooManyLimitsError):
                await self._declare()
                self._is_retrying = False

    async def _declare(self) -> None:
        async with self._declaring:  # so that the numbers of a reload are never replaced by earlier ones
            await self._declare_present()

    async def _declare_present(self) -> None:
        """Store the numbers unless the store has them, and log the pauses that a start finds."""
        limits = self._handlers.limits
        handlers: Mapping[str, int | None] = {name: limits.handler_numbers.get(name) for name in self._handlers.names()}
        state = await self.store.state()  # not now(): a process that shares a store knows it only after a beat
        if state.numbers.replaced_by(limits.numbers, handlers) != state.numbers:
            await self.store.set_numbers(limits.numbers, handlers)
        for pause in () if self._has_logged_pauses else state.pauses:
            _log.warning("%s paused since an earlier start, by %s", _shown(pause.handler), pause.by)
        self._has_logged_pauses = True

    def now(self) -> LimitState:
        """Return the latest numbers, pauses and slots in use that this process knows."""
        return self._store.statistics().limits

    async def pause(self, handler: str | None, by: str) -> tuple[TaskPause, ...]:
        """Start no more tasks of a handler, or of any handler, and return all pauses. Running tasks go on.

        Parameters:
            handler: the name of the handler; ``None`` for everything.
            by: who asks for the pause.

        Raises:
            UnknownHandlerError: this executor has no such handler.
            StoreUnavailableError: the pause could not be made durable.
            TooManyLimitsError: the store keeps no more limits and pauses.
        """
        if handler is not None and handler not in self._handlers:
            raise UnknownHandlerError(handler, self._handlers.names())
        changed, pauses = await self.store.pause(handler, by)
        if changed:
            [pause] = [each for each in pauses if each.handler == handler]
            self._events.put(TasksPaused(handler, pause.since, pause.by))
            _log.warning("%s paused by %s", _shown(handler), by)
        return pauses

    async def resume(self, handler: str | None, by: str) -> tuple[TaskPause, ...]:
        """End the pause of a handler, or that of everything, and return all pauses.

        Parameters:
            handler: the name of the handler; ``None`` for the pause of everything. Pauses of handlers stay.
            by: who asks for it.

        Raises:
            UnknownHandlerError: this executor has no such handler, and no such handler is paused.
            StoreUnavailableError: the change could not be made durable.
        """
        if handler is not None and handler not in self._handlers and handler not in await self._paused_handlers():
            raise UnknownHandlerError(handler, self._handlers.names())
        changed, pauses = await self.store.resume(handler)
        if changed:
            self._events.put(TasksResumed(handler, by))
            _log.warning("%s resumed by %s", _shown(handler), by)
        return pauses

    async def _paused_handlers(self) -> set[str | None]:
        state = await self.store.state()
        return {pause.handler for pause in state.pauses}

    async def why(self, task_id: str) -> tuple[Reason, ...]:
        """Return why a task does not run; an empty result if it runs or has ended, or will start at once.

        Raises:
            UnknownTaskError, ExpiredTaskError: the store has no record of the task.
        """
        return await self.store.why(task_id)


def _shown(handler: str | None) -> str:
    return "all handlers are" if handler is None else f"the handler {handler!r} is"
