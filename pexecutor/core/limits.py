"""``Limits``: the limits and pauses of an executor, and why a task does not run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import trio

from ..errors import StoreUnavailableError, TooManyLimitsError, UnknownHandlerError
from ..handlers import Catalogue
from ..limits.defaults import DECLARE_RETRY_SECONDS
from ..observe.events import Feed, TasksPaused, TasksResumed
from ..observe.notify import safe_logger
from ..stores import Store, Watcher
from ..stores.limits import LimitState, LimitStore, Reason, TaskPause

_log: Final = safe_logger(__name__)


class Limits:
    """The limits and pauses of one executor. Numbers and limit keys come from the settings of its handlers.

    Parameters:
        store: the store that keeps the tasks, the numbers and the pauses.
        handlers: the handlers, with their limits.
        events: the feed that gets an event when something is paused or resumed.
        watcher: the callbacks of the executor; the store also gets the known handlers and the limit keys of tasks.
    """

    def __init__(self, store: Store, handlers: Catalogue, events: Feed, watcher: Watcher) -> None:
        self._store = store
        self._handlers = handlers
        self._events = events
        self._watch(watcher)

    @property
    def store(self) -> LimitStore:
        """Return the limits of the store."""
        return self._store.limits

    def _watch(self, watcher: Watcher) -> None:
        """Register a watcher with the store, which also names the known handlers and the limit keys of tasks."""
        known = None if self._handlers.claims_unknown else frozenset(self._handlers.names())
        watcher = watcher._replace(handlers=known)
        limits = self._handlers.limits
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
        while True:
            await trio.sleep(DECLARE_RETRY_SECONDS)
            try:
                await self._declare()
            except (StoreUnavailableError, TooManyLimitsError):
                continue
            return

    async def _declare(self) -> None:
        """Store the numbers unless the store has them, and log the pauses in effect."""
        limits = self._handlers.limits
        handlers: Mapping[str, int | None] = {name: limits.handler_numbers.get(name) for name in self._handlers.names()}
        state = await self.store.state()  # not now(): a process that shares a store knows it only after a beat
        if state.numbers.replaced_by(limits.numbers, handlers) != state.numbers:
            await self.store.set_numbers(limits.numbers, handlers)
        for pause in state.pauses:
            _log.warning("%s paused since an earlier start, by %s", _shown(pause.handler), pause.by)

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
