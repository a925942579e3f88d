"""``Catalogue``: all handlers of a server, by name.

A client cannot send code: a task names a handler and gives it params, and a submit checks both here. The operator
declares commands and HTTP calls in the configuration file, and functions in modules. ``sleep`` is always available.

The key in a handler's table decides its kind: ``command`` declares a command, ``url`` an HTTP call. A table without
either configures a function or ``sleep``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import msgspec

from ..errors import ConfigError
from ..task import Task
from ..validation import similar, table_from, unknown
from ..values import attribute, error_text
from .command import command_handler
from .complaints import checked
from .context import Context
from .contract import Complaint, Handler, HandlerFailedError
from .functions.containment import call_contained, system_tasks_contained
from .functions.function import load_functions
from .limits import NO_DECLARED_LIMITS, DeclaredLimits, load_limits
from .settings import Defaults, HandlerSettings, TaskDefaults, read_settings
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
"""Makes a context manager that is open while the handlers can run, such as a connection pool."""


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
        self._resources = resources
        self._settings = settings
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
        """Return a catalogue of the same handlers with one more resource, which is opened first."""
        return self._with([resource, *self._resources], self.claims_unknown)

    def claiming_unknown(self) -> Catalogue:
        """Return a catalogue of the same handlers that also starts tasks of unknown handlers, which then fail."""
        return self._with(self._resources, True)

    def _with(self, resources: Sequence[Resource], claims_unknown: bool) -> Catalogue:
        return Catalogue(self._handlers, resources, self._settings, self.limits, claims_unknown=claims_unknown)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open all resources; handlers can run inside this context."""
        async with AsyncExitStack() as stack:
            stack.enter_context(system_tasks_contained())
            for resource in self._resources:
                await stack.enter_async_context(resource())
            yield


def _run_of(handler: Handler) -> Callable[[Context, Task], Awaitable[Any]]:
    """Return the handler's ``run``, contained in a Trio task of its own unless the handler contains itself."""
    if getattr(handler, "contains_itself", False):
        return handler.run
    return lambda context, task: call_contained(partial(handler.run, context, task))


SLEEP: Final = "sleep"
BUILT_IN: Final = Catalogue({SLEEP: Sleep()})


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
    handlers: dict[str, Handler] = {SLEEP: Sleep()}
    resources: list[Resource] = []
    kinds = {name: _kind(name, table) for name, table in declared.items()}
    settings = {name: read_settings(name, table) for name, table in declared.items()}
    calls = {name: table for name, table in declared.items() if kinds[name] == "url"}
    for name in [name for name, kind in kinds.items() if kind == "command"]:
        _add(handlers, name, command_handler(name, declared[name], environment))
    if calls:
        resources.append(_add_calls(handlers, calls, environment))
    for module in modules:
        for name, function in load_functions(module):
            _add(handlers, name, function)
    for name in [name for name, kind in kinds.items() if kind is None]:
        _check_configured(name, declared[name], handlers)
    return Catalogue(handlers, resources, settings, DeclaredLimits(load_limits(limits), settings))


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


def _add_calls(handlers: dict[str, Handler], calls: Mapping[str, Any], environment: Mapping[str, str]) -> Resource:
    """Add handlers for HTTP calls, and return the resource that they share."""
    # Imported here: loading an HTTP client takes long, and a server without HTTP calls does not need it.
    from .http.http import HttpPool, http_handler

    pool = HttpPool()
    for name, table in calls.items():
        _add(handlers, name, http_handler(name, table, environment, pool))
    return pool.opened


def _add(handlers: dict[str, Handler], name: str, handler: Handler) -> None:
    if name in handlers:
        raise ConfigError(f"there are two handlers `{name}`: give one of them another name")
    handlers[name] = handler
