"""``Catalogue``: every handler there is, by name. What is not in it does not exist.

Nothing that can be executed ever comes from the wire: a task names a handler and gives it params, and both are
checked here when it is submitted. Commands and HTTP calls are declared by the operator in the configuration file,
functions by the modules that the operator names; ``sleep`` is always there.

A table of the file is what it holds: ``command`` makes a command of it, ``url`` an HTTP call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final

import msgspec

from ..errors import ConfigError
from ..task import Task
from ..values import attribute, error_text
from .command import command_handler
from .complaints import checked
from .context import Context
from .contract import Complaint, Handler, HandlerFailedError
from .functions.containment import call_contained, system_tasks_contained
from .functions.function import load_functions
from .sleep import Sleep


class HandlerView(msgspec.Struct):
    """A handler as it is listed.

    Parameters:
        name: what a task calls it.
        description: what it does, in a line.
        params: the JSON Schema of the params it takes.
    """

    name: str
    description: str
    params: dict[str, Any]


Resource = Callable[[], AbstractAsyncContextManager[object]]
"""Something that handlers share while they can be run."""


class Catalogue:
    """The handlers of an executor.

    Parameters:
        handlers: by name.
        resources: what is open while they can be run.
    """

    def __init__(self, handlers: Mapping[str, Handler], resources: Sequence[Resource] = ()) -> None:
        self._handlers = dict(handlers)
        self._resources = resources
        self._runs = {name: _run_of(handler) for name, handler in self._handlers.items()}

    def __getitem__(self, name: str) -> Handler:
        """The handler of this name. Raises ``HandlerFailedError`` when there is none: a stored task may outlive it."""
        try:
            return self._handlers[name]
        except KeyError:
            raise HandlerFailedError(f"there is no handler `{name}` any more", retryable=False) from None

    def run(self, context: Context, task: Task) -> Awaitable[Any]:
        """Make one attempt of a task, to be awaited; what the handler raises is passed on."""
        try:
            return self._runs[task.handler](context, task)
        except KeyError:
            return self[task.handler].run(context, task)

    def names(self) -> list[str]:
        """What tasks call them, sorted."""
        return sorted(self._handlers)

    def ending_with_us(self) -> frozenset[str]:
        """Those whose work ends with this process, however that ends."""
        return frozenset(name for name, handler in self._handlers.items() if handler.ends_with_us)

    def __contains__(self, name: object) -> bool:
        return name in self._handlers

    def check(self, task: Task) -> Complaint | None:
        """What is wrong with a task: there is no such handler, or it would not take it."""
        handler = self._handlers.get(task.handler)
        if handler is None:
            there_are = ", ".join(f"`{name}`" for name in sorted(self._handlers))
            return "handler", f"there is no handler `{task.handler}`; there are: {there_are}"
        if task.duration and task.handler != SLEEP:
            return "duration", f"`duration` is for the handler `{SLEEP}`"
        return checked(handler.check, task)

    def describe(self) -> list[HandlerView]:
        """All of them, by name."""
        return [
            HandlerView(name, error_text(attribute(handler, "description", "")), handler.params_schema)
            for name, handler in sorted(self._handlers.items())
        ]

    def with_resource(self, resource: Resource) -> Catalogue:
        """Return the same handlers, with one more thing that is open while they can be run."""
        return Catalogue(self._handlers, [resource, *self._resources])

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """While in here, handlers can be run."""
        async with AsyncExitStack() as stack:
            stack.enter_context(system_tasks_contained())
            for resource in self._resources:
                await stack.enter_async_context(resource())
            yield


def _run_of(handler: Handler) -> Callable[[Context, Task], Awaitable[Any]]:
    """The handler's ``run``; what is not our own code is contained, and our own contains the operator's code itself."""
    if getattr(handler, "contains_itself", False):
        return handler.run
    return lambda context, task: call_contained(partial(handler.run, context, task))


SLEEP: Final = "sleep"
BUILT_IN: Final = Catalogue({SLEEP: Sleep()})


def load_catalogue(*, declared: Mapping[str, Any], modules: Sequence[str], environment: Mapping[str, str]) -> Catalogue:
    """The handlers that the settings name.

    Parameters:
        declared: the tables of the configuration file, by the handler's name.
        modules: names or paths of modules of functions.
        environment: where secrets and a command's inherited variables come from.

    Raises:
        ConfigError: a handler cannot be used; names it and the key.
    """
    handlers: dict[str, Handler] = {SLEEP: Sleep()}
    resources: list[Resource] = []
    calls = {name: table for name, table in declared.items() if _kind(name, table) == "url"}
    for name in declared.keys() - calls.keys():
        _add(handlers, name, command_handler(name, declared[name], environment))
    if calls:
        resources.append(_add_calls(handlers, calls, environment))
    for module in modules:
        for name, function in load_functions(module):
            _add(handlers, name, function)
    return Catalogue(handlers, resources)


def _kind(name: str, table: Any) -> str:
    kinds = [kind for kind in ("command", "url") if isinstance(table, Mapping) and kind in table]
    if len(kinds) != 1:
        raise ConfigError(f"handlers.{name} must have either `command` or `url`")
    return kinds[0]


def _add_calls(handlers: dict[str, Handler], calls: Mapping[str, Any], environment: Mapping[str, str]) -> Resource:
    """Add the HTTP calls; what they share is to be opened."""
    # Imported here: an HTTP client is much to load for those who call nothing.
    from .http.http import HttpPool, http_handler

    pool = HttpPool()
    for name, table in calls.items():
        _add(handlers, name, http_handler(name, table, environment, pool))
    return pool.opened


def _add(handlers: dict[str, Handler], name: str, handler: Handler) -> None:
    if name in handlers:
        raise ConfigError(f"there are two handlers `{name}`: give one of them another name")
    handlers[name] = handler
