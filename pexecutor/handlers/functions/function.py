"""Functions: Python functions that the operator's modules declare as handlers.

::

    @pexecutor.handler
    async def resize(context, *, image: str, width: int = 200): ...

The signature is the contract. A submit checks the params against its annotations, so a wrong type is answered with 400
and does not become a failed task. Each attempt gets its own copy of a mutable default.

* An ``async`` function runs in Trio, and a cancel raises ``trio.Cancelled`` in it.
* Any other function runs in a thread. A thread cannot be cancelled: the task keeps running and holds its name until the
  function returns. The function can check for a cancel with ``trio.from_thread.check_cancelled()``.
* With ``process=True`` a function runs in a process of its own. A cancel ends that process and all processes that it
  started. ``child.py`` is the code in that process.

Road not taken: a pool of worker processes. It would save some hundred milliseconds per attempt, but an attempt would
inherit the memory, threads and children of earlier attempts.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final, NamedTuple, TypeVar, overload

import msgspec
import trio
from msgspec import Meta

from ...errors import ConfigError
from ...task import Task
from ...values import call_safely, exception_text, plain_text, sole_exception
from ..complaints import checked, params_complaint
from ..context import Context
from ..contract import Complaint, HandlerFailedError
from ..descriptors import ExhaustedError, is_exhaustion, retry_while_exhausted
from .containment import call_contained
from .module_path import add_directory
from .process import run_in_process
from .traceback_text import traceback_text

F = TypeVar("F", bound=Callable[..., Any])

_MARK: Final = "__pexecutor_handler__"

# Not Trio's default limiter of 40 threads, because every worker of the pool may run a function in a thread.
_threads = trio.CapacityLimiter(10_000)


class _Declaration(NamedTuple):
    name: str
    process: bool


@overload
def handler(function: F, /) -> F: ...


@overload
def handler(*, name: str | None = None, process: bool = False) -> Callable[[F], F]: ...


def handler(function: F | None = None, /, *, name: str | None = None, process: bool = False) -> F | Callable[[F], F]:
    """Declare a function as a handler, and return the function unchanged.

    Parameters:
        function: takes the context as its first parameter, and params by keyword.
        name: the handler's name; by default the name of the function.
        process: whether the function runs in a process of its own. Not for ``async`` functions.
    """

    def declare(function: F) -> F:
        setattr(function, _MARK, _Declaration(name or function.__name__, process))
        return function

    return declare if function is None else declare(function)


def load_functions(module: str) -> Iterator[tuple[str, FunctionHandler]]:
    """Yield the handlers of a module with their names.

    Raises:
        ConfigError: the module cannot be imported or has no handler, or a handler's signature is invalid.
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
        add_directory(str(Path.cwd()))  # it stays there: a function may import modules when it runs
        return importlib.import_module(reference)
    except (Exception, SystemExit, GeneratorExit) as error:
        raise ConfigError(f"cannot import the handlers of {reference}: {exception_text(error)}") from error


def _load_file(path: Path) -> ModuleType:
    # with a prefix, because the file may have the name of another module, like `http.py`
    name = f"pexecutor_handlers_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FunctionHandler:
    """The handler of one function.

    Parameters:
        function: the function.
        module: its module, as the operator named it.
        attribute: the name of the function in its module.
        process: whether the function runs in a process of its own.

    Raises:
        ConfigError: the signature of the function is invalid.
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
        """Return the JSON Schema of the function's parameters."""
        return msgspec.json.schema(self._params_type)

    def check(self, task: Task, /) -> Complaint | None:
        """Check the params against the signature."""
        return self._check(task.params) if task.params else self._complaint_about_none

    def _check(self, params: dict[str, Any]) -> Complaint | None:
        try:
            msgspec.convert(params, self._params_type)
        except msgspec.ValidationError as error:
            return params_complaint(error, self._params_type)
        return None

    async def run(self, context: Context, task: Task, /) -> Any:
        """Call the function, in the way that suits its kind.

        Raises:
            HandlerFailedError: the function's process failed, or the function misused Trio.
        """
        if self._process:
            return await run_in_process(self._module, self._attribute, context, task.params)
        arguments = self._arguments(task.params)
        call = partial(self._function, context, **arguments)
        if not self._is_async:
            call = partial(_in_thread, call, context)
        try:
            return await call_contained(call)
        except BaseException as error:
            _log_traceback(context, error)
            raise

    def call_here(self, context: Context, params: dict[str, Any]) -> Any:
        """Call the function in this thread, as ``child.py`` does."""
        return self._function(context, **self._arguments(params))

    def _arguments(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments for params, by name, with defaults for missing params."""
        if not params and not self._params_type.__struct_fields__:
            return {}
        return msgspec.structs.asdict(msgspec.convert(params, self._params_type))


def _log_traceback(context: Context, error: BaseException) -> None:
    """Add the traceback of an exception to the attempt's log, unless it is a ``HandlerFailedError``."""
    if not issubclass(type(sole_exception(error)), HandlerFailedError) and (text := traceback_text(error)):
        context.log(text)


async def _in_thread(call: Callable[[], Any], context: Context) -> Any:
    """Call in a thread; wait while the system has no thread left."""

    async def start() -> Any:
        try:
            return await trio.to_thread.run_sync(_called, call, limiter=_threads)
        except (OSError, RuntimeError) as error:
            if is_exhaustion(error):
                raise ExhaustedError(str(error)) from error
            raise

    done = await retry_while_exhausted(start, lambda error: context.log(f"waiting to start: {error}"))
    if type(done) is _Raised:
        raise done.error
    return done


class _Raised(NamedTuple):
    error: BaseException


def _called(call: Callable[[], Any]) -> Any:
    """Return the function's result, or its exception as ``_Raised``.

    The exception is not raised here, because Trio reads the attributes of an exception that leaves the thread. If these
    attributes raise, the thread ends and the attempt would wait for ever.
    """
    return call_safely(lambda call: call(), call, _Raised)


def _params_type(function: Callable[..., Any], where: str) -> type[msgspec.Struct]:
    """Return a struct type whose fields are the function's parameters without the context."""
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
    if isinstance(parameter.default, _IMMUTABLE):
        return parameter.name, parameter.annotation, parameter.default
    return _field_with_copies(parameter, where)


_IMMUTABLE: Final = (type(None), bool, int, float, str, bytes, Enum)


def _field_with_copies(parameter: inspect.Parameter, where: str) -> tuple[str, Any, Any]:
    """Return a field whose default is a new copy for each attempt, so that no attempt sees changes of another one."""

    def copied() -> Any:
        return copy.deepcopy(parameter.default)

    try:
        copied()
        in_schema = Meta(extra_json_schema={"default": msgspec.to_builtins(parameter.default)})
    except Exception as error:  # of any class: the default may be an object of the operator
        why = exception_text(error)
        raise ConfigError(
            f"{where}: the default of `{parameter.name}` cannot be copied, or JSON cannot express it: {why}"
        ) from error
    return parameter.name, Annotated[parameter.annotation, in_schema], msgspec.field(default_factory=copied)
