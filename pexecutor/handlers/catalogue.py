"""``Catalogue``: all handlers of a server, by name.

A client cannot send code: a task names a handler and gives it params, and a submit checks both here. The operator
declares commands and HTTP calls in the configuration file, and functions in modules. ``sleep`` is always available.

The key in a handler's table decides its kind: ``command`` declares a command, ``url`` an HTTP call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final

import msgspec

from ..errors import ConfigError
from ..task import Task
from ..validation import similar
from ..values import attribute, error_text
from .command import command_handler
from .complaints import checked
from .context import Context
from .contract import Complaint, Handler, HandlerFailedError
from .functions.containment import call_contained, system_tasks_contained
from .functions.function import load_functions
from .sleep import Sleep


class HandlerView(msgspec.Struct):
    """A handler as in ``GET /handlers``.

    Parameters:
        name: the name that tasks use.
        description: what the handler does, in one line.
        params: the JSON Schema of its params.
    """

    name: str
    description: str
    params: dict[str, Any]


Resource = Callable[[], AbstractAsyncContextManager[object]]
"""Makes a context manager that is open while the handlers can run, such as a connection pool."""


class Catalogue:
    """The handlers of an executor.

    Parameters:
        handlers: the handlers, by name.
        resources: the resources that are open while the handlers can run.
    """

    def __init__(self, handlers: Mapping[str, Handler], resources: Sequence[Resource] = ()) -> None:
        self._handlers = dict(handlers)
        self._resources = resources
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
        if handler is None:
            known = ", ".join(f"`{name}`" for name in sorted(self._handlers))
            return "handler", f"unknown handler `{task.handler}`; the handlers are: {known}"
        if task.duration and task.handler != SLEEP:
            return "duration", f"`duration` is only for the handler `{SLEEP}`"
        return checked(handler.check, task)

    def describe(self) -> list[HandlerView]:
        """Return the views of all handlers, sorted by name."""
        return [
            HandlerView(name, error_text(attribute(handler, "description", "")), handler.params_schema)
            for name, handler in sorted(self._handlers.items())
        ]

    def with_resource(self, resource: Resource) -> Catalogue:
        """Return a catalogue of the same handlers with one more resource, which is opened first."""
        return Catalogue(self._handlers, [resource, *self._resources])

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


def load_catalogue(*, declared: Mapping[str, Any], modules: Sequence[str], environment: Mapping[str, str]) -> Catalogue:
    """Load the handlers that the settings declare.

    Parameters:
        declared: the tables of the configuration file, by handler name.
        modules: the names or paths of modules with handler functions.
        environment: the source of secrets and of the variables that commands inherit.

    Raises:
        ConfigError: a handler is invalid; the message names the handler and the key.
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


_KINDS: Final = ("command", "url")
"""The keys of a handler's table of which exactly one says what the handler runs."""


def _kind(name: str, table: Any) -> str:
    kinds = [kind for kind in _KINDS if isinstance(table, Mapping) and kind in table]
    if len(kinds) == 1:
        return kinds[0]
    for key in table if isinstance(table, Mapping) and not kinds else ():
        if (meant := similar(key, _KINDS)) is not None:
            raise ConfigError(f"unknown key `{key}` in [handlers.{name}]: did you mean `{meant}`?")
    raise ConfigError(f"handlers.{name} must have either `command` or `url`")


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
