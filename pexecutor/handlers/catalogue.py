"""``Catalogue``: all handlers of a server, by name.

A client cannot send code: a task names a handler and gives it params, and a submit checks both here. ``loading.py``
makes a catalogue from the tables of a settings file.

A catalogue never changes. A reload makes another one, and running attempts keep theirs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Container, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import msgspec

from ..errors import ConfigError
from ..task import Task
from ..values import attribute, error_text
from .complaints import checked
from .context import Context
from .contract import Complaint, Handler, HandlerFailedError
from .functions.containment import call_contained, system_tasks_contained
from .limits import NO_DECLARED_LIMITS, DeclaredLimits
from .settings import Defaults, HandlerSettings, TaskDefaults
from .sleep import Sleep


class HandlerView(msgspec.Struct):
    """A handler as in ``GET /handlers``.

    Parameters:
        name: the name that tasks use.
        description: what the handler does, in one line.
        params: the JSON Schema of its params.
        defaults: the values that fields of its tasks have if a submit does not contain them.
    """

    name: str
    description: str
    params: dict[str, Any]
    defaults: TaskDefaults = TaskDefaults()


Resource = Callable[[], AbstractAsyncContextManager[object]]
"""Makes a context manager that is open while the handlers can run, such as a connection pool. Equal ones are one."""


NOTIFY_PREFIX: Final = "notify:"
"""Begins the handler of a delivery: ``notify:`` and the name of its target. No other handler begins with it."""


class Catalogue:
    """The handlers of an executor.

    Parameters:
        handlers: the handlers, by name.
        resources: the resources that are open while the handlers can run.
        settings: the settings of handlers that have a table, by name.
        limits: the limits that bound the tasks of the handlers.
        claims_unknown: whether stored tasks of unknown handlers are started, and fail; otherwise they wait.
        surroundings: the resources of the process. They are opened first, and a reload neither opens nor closes them.
        tabled: the names of the handlers that tables of the settings declare, not modules or code.
        client: the resource that the tabled handlers share, if there is one: an HTTP client.

    Raises:
        ConfigError: the name of a handler is reserved.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        resources: Sequence[Resource] = (),
        settings: Mapping[str, HandlerSettings] = MappingProxyType({}),
        limits: DeclaredLimits = NO_DECLARED_LIMITS,
        *,
        claims_unknown: bool = False,
        surroundings: Sequence[Resource] = (),
        tabled: Collection[str] = (),
        client: Resource | None = None,
    ) -> None:
        for name in handlers:
            if name.startswith(NOTIFY_PREFIX):
                raise ConfigError(f"the handler `{name}` needs another name: `{NOTIFY_PREFIX}` is for notifications")
        self.limits: DeclaredLimits = limits
        self.claims_unknown: bool = claims_unknown
        self._check_limits = limits.check_or_none
        self.defaults: Defaults | None = Defaults(settings) or None
        """The defaults for fields of tasks; ``None`` if no handler has any."""
        self._handlers = dict(handlers)
        self.untabled_resources: tuple[Resource, ...] = tuple(resources)
        """The resources of the handlers that no table declares."""
        self.client = client
        """The resource that the tabled handlers share; ``None`` if there is none."""
        self._settings = settings
        self._surroundings = tuple(surroundings)
        self._tabled = frozenset(tabled)
        self._runs = {name: _run_of(handler) for name, handler in self._handlers.items()}

    def __getitem__(self, name: str) -> Handler:
        """Return a handler by name.

        Raises:
            HandlerFailedError: the handler does not exist. A stored task may outlive the handler that it names.
        """
        try:
            return self._handlers[name]
        except KeyError:
            raise HandlerFailedError(f"the handler `{name}` no longer exists", retryable=False) from None

    def run(self, context: Context, task: Task) -> Awaitable[Any]:
        """Return an awaitable that makes one attempt of a task; it raises what the handler raises."""
        try:
            return self._runs[task.handler](context, task)
        except KeyError:
            return self[task.handler].run(context, task)

    def names(self) -> list[str]:
        """Return the names of the handlers, sorted."""
        return sorted(self._handlers)

    def ending_with_us(self) -> frozenset[str]:
        """Return the names of the handlers whose work always ends with this process, even if it is killed."""
        return frozenset(name for name, handler in self._handlers.items() if handler.ends_with_us)

    def __contains__(self, name: object) -> bool:
        return name in self._handlers

    def check(self, task: Task) -> Complaint | None:
        """Return why a task is invalid (its handler is unknown or refuses the task), or ``None``."""
        handler = self._handlers.get(task.handler)
        if handler is None and task.handler.startswith(NOTIFY_PREFIX):
            return "handler", f"a handler that begins with `{NOTIFY_PREFIX}` is for notifications, not for tasks"
        if handler is None:
            known = ", ".join(f"`{name}`" for name in sorted(self._handlers))
            return "handler", f"unknown handler `{task.handler}`; the handlers are: {known}"
        if task.duration and task.handler != SLEEP:
            return "duration", f"`duration` is only for the handler `{SLEEP}`"
        complaint = checked(handler.check, task)
        return complaint if complaint is not None or self._check_limits is None else self._check_limits(task)

    def fill(self, task: Task, given: Container[str]) -> Task:
        """Return a task with the defaults of its handler; see ``Defaults.fill``."""
        return task if self.defaults is None else self.defaults.fill(task, given)

    def describe(self) -> list[HandlerView]:
        """Return the views of all handlers, sorted by name."""
        return [
            HandlerView(
                name,
                error_text(attribute(handler, "description", "")),
                handler.params_schema,
                self._defaults_of(name),
            )
            for name, handler in sorted(self._handlers.items())
        ]

    def _defaults_of(self, name: str) -> TaskDefaults:
        settings = self._settings.get(name)
        return TaskDefaults() if settings is None else TaskDefaults(**settings.fields())

    def with_resource(self, resource: Resource) -> Catalogue:
        """Return a catalogue of the same handlers with one more resource of the process, which is opened first."""
        return self._with(self.claims_unknown, [resource, *self._surroundings])

    def claiming_unknown(self) -> Catalogue:
        """Return a catalogue of the same handlers that also starts tasks of unknown handlers, which then fail."""
        return self._with(True, self._surroundings)

    def _with(self, claims_unknown: bool, surroundings: Sequence[Resource]) -> Catalogue:
        return Catalogue(
            self._handlers,
            self.untabled_resources,
            self._settings,
            self.limits,
            claims_unknown=claims_unknown,
            surroundings=surroundings,
            tabled=self._tabled,
            client=self.client,
        )

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Return the resources of all handlers, without those of the process."""
        return self.untabled_resources if self.client is None else (*self.untabled_resources, self.client)

    def untabled(self) -> dict[str, Handler]:
        """Return the handlers that no table declares, by name: ``sleep``, functions, and handlers given in code."""
        return {name: handler for name, handler in self._handlers.items() if name not in self._tabled}

    def continued_by(self, other: Catalogue) -> Catalogue:
        """Return a catalogue with the handlers of another one, and what belongs to the process from this one."""
        return other._with(self.claims_unknown, self._surroundings)

    @asynccontextmanager
    async def surrounded(self) -> AsyncIterator[None]:
        """Open the resources of the process; the resources of handlers can be opened inside this context."""
        async with AsyncExitStack() as stack:
            stack.enter_context(system_tasks_contained())
            for resource in self._surroundings:
                await stack.enter_async_context(resource())
            yield

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open all resources; handlers can run inside this context."""
        async with self.surrounded(), AsyncExitStack() as stack:
            for resource in self.resources:
                await stack.enter_async_context(resource())
            yield


def _run_of(handler: Handler) -> Callable[[Context, Task], Awaitable[Any]]:
    """Return the handler's ``run``, contained in a Trio task of its own unless the handler contains itself."""
    if getattr(handler, "contains_itself", False):
        return handler.run
    return lambda context, task: call_contained(partial(handler.run, context, task))


SLEEP: Final = "sleep"
BUILT_IN: Final = Catalogue({SLEEP: Sleep()})
