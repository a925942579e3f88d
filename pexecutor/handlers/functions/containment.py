"""Keep what an operator's function does to Trio within its own attempt.

A function may enter a cancel scope or a nursery and not leave it, leave a scope that it has not entered, start Trio
tasks in a nursery of somebody else, or start a Trio *system task* that fails. In a worker's own Trio task each of these
would end the server. So a function is awaited in a Trio task of its own, below a nursery of its own; whatever it leaves
open is closed there, and makes its attempt fail with an error that names it.

Trio has no public way to see which cancel scope a Trio task is in, and none to survive a failing system task. The two
places that know Trio's own attributes are ``_Position`` and ``system_tasks_contained``; a test fails clearly when Trio
changes them. ``sleep``, commands and HTTP calls are our own code and are called directly.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import trio

from ...observe.notify import log_error
from ...values import NAME_CHARACTERS_MAX, exception_text, leaf_exceptions, plain_text, sole_exception
from ..contract import HandlerFailedError

CLOSE_SECONDS_MAX: Final = 5.0
"""How long Trio tasks that a function has left behind may take to end once they are cancelled."""

SYSTEM_TASKS_SECONDS_MAX: Final = 1.0
"""How long an attempt waits for system tasks that its function has started. A library may start one for good."""

POLL_SECONDS: Final = 0.01
TASKS_NAMED_MAX: Final = 10

_log = logging.getLogger(__name__)
_current: ContextVar[_Call | None] = ContextVar("pexecutor_call", default=None)


async def call_contained(function: Callable[[], Awaitable[Any]]) -> Any:
    """Await an operator's function in a Trio task of its own, and return what it returns.

    Raises:
        HandlerFailedError: it left a cancel scope, a nursery or failed Trio tasks behind.
    """
    call, here = _Call(function), _Position()
    try:
        async with trio.open_nursery() as nursery:
            call.nursery = nursery
            nursery.start_soon(call.run)
    except BaseException as error:
        if not trio.lowlevel.in_trio_task():
            raise  # the run of Trio is over, and the coroutine is being closed
        call.note_strays(error)
    finally:
        here.restore()
    return call.result()


class _Call:
    """One call of a function: what came of it, and what it left behind."""

    def __init__(self, function: Callable[[], Awaitable[Any]]) -> None:
        self._function = function
        self._result: Any = None
        self._error: BaseException | None = None
        self._faults: list[str] = []
        self._failed_tasks: list[BaseException] = []
        self.nursery: trio.Nursery | None = None
        self.is_over = False
        self.system_tasks: set[trio.lowlevel.Task] = set()

    # Protected: Trio delivers a Ctrl-C to the main task, so a KeyboardInterrupt in here is the function's own.
    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Call the function, and close what it leaves open."""
        here = _Position()
        _current.set(self)
        try:
            await trio.lowlevel.checkpoint_if_cancelled()  # what is cancelled before it begins does not begin
            self._result = await self._function()
        except BaseException as error:
            self._error = error  # result() raises it
        if here.was_left or trio.lowlevel.current_task().child_nurseries or self.system_tasks:
            self._faults += await here.close_what_is_open()
            await self._wait_for_system_tasks()

    async def _wait_for_system_tasks(self) -> None:
        with trio.move_on_after(SYSTEM_TASKS_SECONDS_MAX, shield=True):
            while self.system_tasks:  # noqa: ASYNC110  # what leaves the set is Trio's task_exited
                await trio.sleep(POLL_SECONDS)

    def note_strays(self, error: BaseException) -> None:
        """Take note of what the nursery around the call has raised: errors of Trio tasks that do not belong there."""
        for leaf in leaf_exceptions(error):
            is_trios_own = "stack corrupted" in str(leaf) if type(leaf) is RuntimeError else False
            if not (is_trios_own or issubclass(type(leaf), trio.Cancelled)):
                self._failed_tasks.append(leaf)

    def system_task_failed(self, task: trio.lowlevel.Task, error: BaseException) -> None:
        """Take note that a system task has failed, and end the call."""
        name = plain_text(task.name)[:NAME_CHARACTERS_MAX]
        self._faults.append(f"started the Trio system task {name}, which failed: {exception_text(error)}")
        if self.nursery is not None:
            self.nursery.cancel_scope.cancel()

    def result(self) -> Any:
        """Return the function's result, or raise its error, with what it left behind."""
        self.is_over = True
        error = self._error
        self._faults += [f"started a Trio task, which failed: {exception_text(one)}" for one in self._failed_tasks]
        if not self._faults:
            if error is not None:
                raise error
            return self._result
        text = f"the handler {'; the handler '.join(self._faults)}"
        if error is None or issubclass(type(sole_exception(error)), trio.Cancelled):
            raise HandlerFailedError(text) from error
        raise HandlerFailedError(f"{exception_text(error)}; and {text}") from error


class _Position:
    """Where a Trio task is in the tree of cancel scopes."""

    def __init__(self) -> None:
        self._task = trio.lowlevel.current_task()
        self._status = self._task._cancel_status

    @property
    def was_left(self) -> bool:
        """Whether the Trio task is somewhere else by now."""
        return self._task._cancel_status is not self._status

    async def close_what_is_open(self) -> list[str]:
        """Close each scope and nursery that was entered since; return what they were."""
        nurseries = self._task.child_nurseries
        of_nurseries = {nursery.cancel_scope for nursery in nurseries}
        inner = [scope for scope in self._scopes_inside() if scope not in of_nurseries]
        found = [f"left a nursery open{_with_tasks(nursery)}" for nursery in nurseries]
        found += ["left a cancel scope open"] * len(inner)
        if self.was_left and not found:
            found = ["left a cancel scope that it had not entered"]
        for nursery in nurseries:
            nursery.cancel_scope.cancel()
        with trio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
            while any(nursery.child_tasks for nursery in nurseries):  # noqa: ASYNC110  # Trio tells nobody
                await trio.sleep(POLL_SECONDS)
        self.restore()
        return found

    def restore(self) -> None:
        """Put the Trio task back to where it was."""
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
    """While in here, a failing Trio system task is an error of the attempt that started it, or a line in the log.

    Without this Trio ends everything with ``TrioInternalError``. Callbacks of ``run_sync_soon`` are included, as Trio
    makes system tasks of their errors.
    """
    nursery = _system_nursery()
    if nursery is None or "_child_finished" in vars(nursery):  # another executor of this run has done it
        yield
        return
    watch = _SystemTasks(nursery)
    finished = nursery._child_finished
    nursery._child_finished = lambda task, outcome: finished(task, watch.judged(task, outcome))  # type: ignore[method-assign]
    trio.lowlevel.add_instrument(watch)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(watch)
        del nursery._child_finished


def _system_nursery() -> trio.Nursery | None:
    """The nursery that ``spawn_system_task`` starts Trio tasks in, or ``None`` when Trio has another form."""
    return getattr(trio.lowlevel.current_task()._runner, "system_nursery", None)


class _SystemTasks(trio.abc.Instrument):
    """Knows which call has started which system task."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._calls: dict[trio.lowlevel.Task, _Call] = {}

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        if task.parent_nursery is self._nursery and (call := _current.get()) is not None:
            self._calls[task] = call
            call.system_tasks.add(task)

    def judged(self, task: trio.lowlevel.Task, outcome: Any) -> Any:
        """Return the outcome that the system nursery may see: no error, unless the run of Trio is ending."""
        call = self._calls.pop(task, None)
        if call is not None:
            call.system_tasks.discard(task)
        error = getattr(outcome, "error", None)
        if error is None or all(issubclass(type(leaf), trio.Cancelled) for leaf in leaf_exceptions(error)):
            return outcome
        log_error(_log, "the Trio system task %s failed: %s", plain_text(task.name), exception_text(error))
        if call is not None:
            call.system_task_failed(task, error)
        return None  # anything but an error
