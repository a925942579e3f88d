"""Functions: Python that the operator's modules declare as handlers.

::

    @pexecutor.handler
    async def resize(context, *, image: str, width: int = 200): ...

The signature is the contract. Params are checked against its annotations when a task is submitted, so a wrong type is
a 400 and not a failed task.

* An ``async`` function runs on Trio, and a cancel arrives in it as one.
* Any other runs in a thread. A thread cannot be cancelled: the task stays running, and its name held, until the
  function returns. It may look out for a cancel itself, with ``trio.from_thread.check_cancelled()``.
* With ``process=True`` it runs in a process of its own, which a cancel does end, with everybody it started; see
  ``child.py`` for the other side.

Road not taken: a pool of worker processes. It saves some hundred milliseconds a run, and then one run's memory, threads
and children are the next one's.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeVar, overload

import msgspec
import trio

from ...errors import ConfigError
from ...task import Task
from ...values import asked, exception_text, plain_text
from ..complaints import checked, params_complaint
from ..context import Context
from ..contract import Complaint
from ..descriptors import ExhaustedError, is_exhaustion, when_possible
from .containment import call_contained
from .module_path import add_directory
from .process import run_in_process

F = TypeVar("F", bound=Callable[..., Any])

_MARK: Final = "__pexecutor_handler__"

# Not Trio's default limiter: as many functions may run in threads as the pool has workers.
_threads = trio.CapacityLimiter(10_000)


class _Declaration(NamedTuple):
    name: str
    process: bool


@overload
def handler(function: F, /) -> F: ...


@overload
def handler(*, name: str | None = None, process: bool = False) -> Callable[[F], F]: ...


def handler(function: F | None = None, /, *, name: str | None = None, process: bool = False) -> F | Callable[[F], F]:
    """Declare a function to be a handler; the function itself is left as it is.

    Parameters:
        function: takes the context, and params by keyword.
        name: what tasks call it; the function's own name by default.
        process: whether it runs in a process of its own. Not for ``async`` functions.
    """

    def declare(function: F) -> F:
        setattr(function, _MARK, _Declaration(name or function.__name__, process))
        return function

    return declare if function is None else declare(function)


def load_functions(module: str) -> Iterator[tuple[str, FunctionHandler]]:
    """The handlers of a module, by name.

    Raises:
        ConfigError: it cannot be imported, has none, or one has a signature that cannot be used.
    """
    found = 0
    for attribute, function in vars(load_module(module)).items():
        declaration = getattr(function, _MARK, None)
        if isinstance(declaration, _Declaration):
            found += 1
            if not declaration.name or plain_text(declaration.name) != declaration.name:
                raise ConfigError(f"{module}.{attribute}: {plain_text(declaration.name)!r} cannot be a handler's name")
            yield declaration.name, FunctionHandler(function, module, attribute, process=declaration.process)
    if not found:
        raise ConfigError(f"the module {module} has no function with @pexecutor.handler")


def load_module(reference: str) -> ModuleType:
    """Import a module by its name, or a Python file by its path. Raises ``ConfigError``."""
    try:
        if reference.endswith(".py"):
            return _load_file(Path(reference).resolve())
        add_directory(str(Path.cwd()))  # and left there: a function may import more when it is called
        return importlib.import_module(reference)
    except (Exception, SystemExit, GeneratorExit) as error:
        raise ConfigError(f"cannot import the handlers of {reference}: {exception_text(error)}") from error


def _load_file(path: Path) -> ModuleType:
    name = f"pexecutor_handlers_{path.stem}"  # not the stem alone: a file may be called `http.py` or the like
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FunctionHandler:
    """Runs one function.

    Parameters:
        function: what to call.
        module: the module that it is in, as the operator named it.
        attribute: its name in there.
        process: whether it runs in a process of its own.

    Raises:
        ConfigError: its signature cannot be used.
    """

    contains_itself = True

    def __init__(self, function: Callable[..., Any], module: str, attribute: str, *, process: bool) -> None:
        self._function = function
        self._module = module
        self._attribute = attribute
        self._process = process
        self._is_async = inspect.iscoroutinefunction(function)
        self.ends_with_us: bool = not process
        where = f"{module}.{attribute}"
        if process and self._is_async:
            raise ConfigError(f"{where}: an async function cannot have process=True")
        self._params_type = _params_type(function, where)
        self._complaint_about_none = checked(self._check, {})
        self.description: str = (inspect.getdoc(function) or f"calls {where}").partition("\n")[0]

    @property
    def params_schema(self) -> dict[str, Any]:
        """The function's parameters."""
        return msgspec.json.schema(self._params_type)

    def check(self, task: Task, /) -> Complaint | None:
        """Hold the params against the signature."""
        return self._check(task.params) if task.params else self._complaint_about_none

    def _check(self, params: dict[str, Any]) -> Complaint | None:
        try:
            msgspec.convert(params, self._params_type)
        except msgspec.ValidationError as error:
            return params_complaint(error, self._params_type)
        return None

    async def run(self, context: Context, task: Task, /) -> Any:
        """Call it.

        Raises:
            HandlerFailedError: the process of its own failed.
        """
        if self._process:
            return await run_in_process(self._module, self._attribute, context, task.params)
        arguments = self._arguments(task.params)
        call = partial(self._function, context, **arguments)
        if not self._is_async:
            call = partial(_in_thread, call, context)
        return await call_contained(call)

    def call_here(self, context: Context, params: dict[str, Any]) -> Any:
        """Call it in this thread, as the process of its own does."""
        return self._function(context, **self._arguments(params))

    def _arguments(self, params: dict[str, Any]) -> dict[str, Any]:
        """What the function is given for params, by name; what they leave out has its default."""
        if not params and not self._params_type.__struct_fields__:
            return {}
        return msgspec.structs.asdict(msgspec.convert(params, self._params_type))


async def _in_thread(call: Callable[[], Any], context: Context) -> Any:
    """Call in a thread, and wait for one while the system has none left."""

    async def start() -> Any:
        try:
            return await trio.to_thread.run_sync(_called, call, limiter=_threads)
        except (OSError, RuntimeError) as error:
            if is_exhaustion(error):
                raise ExhaustedError(str(error)) from error
            raise

    done = await when_possible(start, lambda error: context.log(f"waiting to start: {error}"))
    if type(done) is _Raised:
        raise done.error
    return done


class _Raised(NamedTuple):
    error: BaseException


def _called(call: Callable[[], Any]) -> Any:
    """What a function returns, or the exception that it raises.

    The exception is returned because Trio works on one that leaves its thread: one whose attributes cannot be read
    would end the thread, and nobody would be told.
    """
    return asked(lambda call: call(), call, _Raised)


def _params_type(function: Callable[..., Any], where: str) -> type[msgspec.Struct]:
    """A type whose fields are the function's parameters, the context left out."""
    try:
        _context, *parameters = inspect.signature(function, eval_str=True).parameters.values()
    except ValueError as error:
        raise ConfigError(f"{where}: a handler takes the context as its first parameter") from error
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise ConfigError(f"{where}: its signature cannot be read: {error}") from error
    fields: list[Any] = [_field(parameter, where) for parameter in parameters]
    try:
        params_type = msgspec.defstruct("Params", fields, kw_only=True, forbid_unknown_fields=True)
        msgspec.json.encode(msgspec.json.schema(params_type))
    except (TypeError, ValueError, RecursionError) as error:
        why = exception_text(error)
        raise ConfigError(f"{where}: a parameter has a type or a default that JSON cannot express: {why}") from error
    return params_type


def _field(parameter: inspect.Parameter, where: str) -> tuple[str, Any] | tuple[str, Any, Any]:
    if parameter.kind not in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
        raise ConfigError(f"{where}: the parameter `{parameter}` cannot be given by name")
    if parameter.annotation is parameter.empty:
        raise ConfigError(f"{where}: the parameter `{parameter.name}` has no annotation")
    if parameter.default is parameter.empty:
        return parameter.name, parameter.annotation
    return parameter.name, parameter.annotation, parameter.default
