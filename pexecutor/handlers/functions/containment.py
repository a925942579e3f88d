"""Contain an operator's function, so that its misuse of Trio fails its own attempt only.

A function may enter a cancel scope or a nursery and not leave it, leave a scope that it has not entered, start Trio
tasks in another nursery, or start a Trio *system task* that fails. In the Trio task of a worker, each of these would
end the server. So a function is awaited in a Trio task of its own, under a nursery of its own. Scopes and nurseries
that the function leaves open are closed there, and its attempt fails with an error that names them.

Trio has no public API to find the cancel scope of a Trio task, or to survive a failing system task. Only ``_Position``
and ``system_tasks_contained`` use private attributes of Trio, and a test fails clearly if Trio changes them. ``sleep``,
commands and HTTP calls are pexecutor's own code and are called directly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import trio

from ...limits.times import FUNCTION_CLOSE_SECONDS_MAX, SYSTEM_TASKS_SECONDS_MAX
from ...observe.notify import safe_logger
from ...values import NAME_CHARACTERS_MAX, exception_text, leaf_exceptions, plain_text, sole_exception
from ..contract import HandlerFailedError

POLL_SECONDS: Final = 0.01
TASKS_NAMED_MAX: Final = 10

_log = safe_logger(__name__)
_current: ContextVar[_Call | None] = ContextVar("pexecutor_call", default=None)


async def call_contained(function: Callable[[], Awaitable[Any]]) -> Any:
    """Await an operator's function in a Trio task of its own, and return what it returns.

    Raises:
        HandlerFailedError: the function left a cancel scope or a nursery open, or its Trio tasks failed.
    """
    call, here = _Call(function), _Position()
    try:
        async with trio.open_nursery() as nursery:
            call.nursery = nursery
            nursery.start_soon(call.run)
    except BaseException as error:
        if not trio.lowlevel.in_trio_task():
            raise  # Trio's run has ended, and Python closes the coroutine
        call.note_strays(error)
    finally:
        here.restore()
    return call.result()


class _Call:
    """One call of a function: its result or error, and what it left open."""

    def __init__(self, function: Callable[[], Awaitable[Any]]) -> None:
        self._function = function
        self._result: Any = None
        self._error: BaseException | None = None
        self._faults: list[str] = []
        self._failed_tasks: list[BaseException] = []
        self.nursery: trio.Nursery | None = None
        self.is_over = False
        self.system_tasks: set[trio.lowlevel.Task] = set()

    # With this protection, Trio never raises a Ctrl-C in here. So a KeyboardInterrupt in here is the function's own.
    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Call the function, and close the scopes and nurseries that it leaves open."""
        here = _Position()
        _current.set(self)
        try:
            await trio.lowlevel.checkpoint_if_cancelled()  # a cancelled call must not begin
            self._result = await self._function()
        except BaseException as error:
            self._error = error  # result() raises it
        if here.was_left or trio.lowlevel.current_task().child_nurseries or self.system_tasks:
            self._faults += await here.close_what_is_open()
            await self._wait_for_system_tasks()

    async def _wait_for_system_tasks(self) -> None:
        with trio.move_on_after(SYSTEM_TASKS_SECONDS_MAX, shield=True):
            while self.system_tasks:  # noqa: ASYNC110  # tasks leave the set in _SystemTasks.contained_outcome, within Trio
                await trio.sleep(POLL_SECONDS)

    def note_strays(self, error: BaseException) -> None:
        """Note the errors of Trio tasks that the function has started in the nursery around its call."""
        for leaf in leaf_exceptions(error):
            # Trio itself raises this for a scope that was left open; close_what_is_open has reported it already.
            is_trios_own = "stack corrupted" in str(leaf) if type(leaf) is RuntimeError else False
            if not (is_trios_own or issubclass(type(leaf), trio.Cancelled)):
                self._failed_tasks.append(leaf)

    def system_task_failed(self, task: trio.lowlevel.Task, error: BaseException) -> None:
        """Note that a system task of the function has failed, and cancel the call."""
        name = plain_text(task.name)[:NAME_CHARACTERS_MAX]
        self._faults.append(f"started the Trio system task {name}, which failed: {exception_text(error)}")
        if self.nursery is not None:
            self.nursery.cancel_scope.cancel()

    def result(self) -> Any:
        """Return the function's result, or raise its error together with its misuse of Trio."""
        self.is_over = True
        error = self._error
        self._faults += [f"started a Trio task, which failed: {exception_text(each)}" for each in self._failed_tasks]
        if not self._faults:
            if error is not None:
                raise error
            return self._result
        text = f"the handler {'; the handler '.join(self._faults)}"
        if error is None or issubclass(type(sole_exception(error)), trio.Cancelled):
            raise HandlerFailedError(text) from error
        raise HandlerFailedError(f"{exception_text(error)}; and {text}") from error


class _Position:
    """The position of a Trio task in the tree of cancel scopes."""

    def __init__(self) -> None:
        self._task = trio.lowlevel.current_task()
        self._status = self._task._cancel_status

    @property
    def was_left(self) -> bool:
        """Return whether the Trio task is in another scope now."""
        return self._task._cancel_status is not self._status

    async def close_what_is_open(self) -> list[str]:
        """Close the scopes and nurseries that were entered since; return a description of each."""
        nurseries = self._task.child_nurseries
        of_nurseries = {nursery.cancel_scope for nursery in nurseries}
        inner = [scope for scope in self._scopes_inside() if scope not in of_nurseries]
        found = [f"left a nursery open{_with_tasks(nursery)}" for nursery in nurseries]
        found += ["left a cancel scope open"] * len(inner)
        if self.was_left and not found:
            found = ["left a cancel scope that it had not entered"]
        for nursery in nurseries:
            nursery.cancel_scope.cancel()
        with trio.move_on_after(FUNCTION_CLOSE_SECONDS_MAX, shield=True):
            while any(nursery.child_tasks for nursery in nurseries):  # noqa: ASYNC110  # Trio has no event for it
                await trio.sleep(POLL_SECONDS)
        self.restore()
        return found

    def restore(self) -> None:
        """Move the Trio task back to its scope."""
        if self.was_left:
            self._task._activate_cancel_status(self._status)

    def _scopes_inside(self) -> list[trio.CancelScope]:
        scopes: list[trio.CancelScope] = []
        status: Any = self._task._cancel_status
        while status is not None and status is not self._status:
            scopes.append(status._scope)
            status = status.parent
        return [] if status is None else scopes


def _with_tasks(nursery: trio.Nursery) -> str:
    names = sorted(plain_text(task.name)[:NAME_CHARACTERS_MAX] for task in nursery.child_tasks)[:TASKS_NAMED_MAX]
    return f", with the Trio tasks {', '.join(names)}" if names else ""


@contextmanager
def system_tasks_contained() -> Iterator[None]:
    """Turn the error of a failing Trio system task into an error of the attempt that started it, or into a log line.

    Otherwise Trio would end the whole run with ``TrioInternalError``. Errors in callbacks of ``run_sync_soon`` are
    included, because Trio runs the callbacks in system tasks.
    """
    nursery = _system_nursery()
    if nursery is None or "_child_finished" in vars(nursery):  # another executor of this run has patched the nursery
        yield
        return
    watch = _SystemTasks(nursery)
    finished = nursery._child_finished
    nursery._child_finished = lambda task, outcome: finished(task, watch.contained_outcome(task, outcome))  # type: ignore[method-assign]
    trio.lowlevel.add_instrument(watch)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(watch)
        del nursery._child_finished


def _system_nursery() -> trio.Nursery | None:
    """Return the nursery of Trio's system tasks, or ``None`` if this version of Trio has no such attribute."""
    return getattr(trio.lowlevel.current_task()._runner, "system_nursery", None)


class _SystemTasks(trio.abc.Instrument):
    """A map from each system task to the call that started it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._calls: dict[trio.lowlevel.Task, _Call] = {}

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        if task.parent_nursery is self._nursery and (call := _current.get()) is not None:
            self._calls[task] = call
            call.system_tasks.add(task)

    def contained_outcome(self, task: trio.lowlevel.Task, outcome: Any) -> Any:
        """Return the outcome to pass to the system nursery: without the error, unless Trio's run is ending."""
        call = self._calls.pop(task, None)
        if call is not None:
            call.system_tasks.discard(task)
        error = getattr(outcome, "error", None)
        if error is None or all(issubclass(type(leaf), trio.Cancelled) for leaf in leaf_exceptions(error)):
            return outcome
        _log.error("the Trio system task %s failed: %s", plain_text(task.name), exception_text(error))
        if call is not None:
            call.system_task_failed(task, error)
        return None  # Trio only checks whether the outcome is an Error
