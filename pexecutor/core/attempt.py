"""``LiveAttempt``: one attempt of a task, from its claim to its ending.

Four events can cut an attempt off:

=============  ============================================  =====================================================
event          what is cancelled                             result
=============  ============================================  =====================================================
cancel         the scope of the attempt                      an ending with the outcome ``cancelled``
timeout        the scope of the attempt                      an ending with the outcome ``timed_out``
lost lease     the scope of the attempt                      an ending that is not recorded: another node has the task
hard stop      the scope around the whole pool               no ending: the pool releases the task
=============  ============================================  =====================================================

A cancel of ``Executor.run`` from outside works like the hard stop. After either of the two, ``run`` raises
``Cancelled``, or returns ``None`` if the handler raised another exception instead.

A handler may raise anything. ``trio.Cancelled`` passes through only while a scope around the handler is cancelled. Any
other exception, of any class, means that the attempt has failed. A group of ``Cancelled`` is replaced by one plain
``Cancelled``, because a scope would call the group's own ``split`` and ``derive``, which may raise anything.

The pool opens the scope of an attempt. Successive attempts may share a scope as long as none of them has changed it,
because for a task that awaits nothing, a scope of its own would cost as much as everything else.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Final

import msgspec
import trio

from ..handlers import CancelledBy, Catalogue, Context, EndedBySignalError, failure_of
from ..limits.times import DRAIN_FOLLOWS_SECONDS
from ..logs.files import LogFiles
from ..task import Ending, Outcome, Running
from ..values import error_text, leaf_exceptions, result_json, sole_exception

DRAIN_POLL_SECONDS: Final = 0.02

_EMPTY_SUCCESS: Final = Ending(Outcome.SUCCEEDED, result=b"null")
"""A success without a result or an output, shared because nearly every attempt of ``sleep`` ends like this."""


class CutOff(msgspec.Struct, gc=False):
    """The reason why an attempt is being cut off. A call returns the reason, or ``None`` if there is none yet.

    It has no reference to its attempt. So there is no reference cycle, and Python frees an ended attempt at once.

    Parameters:
        stopping: the scope that the hard stop cancels.
        cancelled: whether the task was cancelled.
        lost: whether the lease of the task was lost.
        scope: the scope of the handler, while the handler runs.
    """

    stopping: trio.CancelScope
    cancelled: bool = False
    lost: bool = False
    scope: trio.CancelScope | None = None

    def __call__(self) -> CancelledBy | None:
        if self.lost:
            return "lease"
        if self.cancelled:
            return "cancel"
        if self.scope is not None and self.scope.cancel_called:
            return "timeout"
        return "shutdown" if self.stopping.cancel_called else None

    @property
    def draining(self) -> bool:
        """Return whether a drain has begun, as a drain sets the deadline of the hard stop."""
        return self.stopping.deadline != math.inf


class LiveAttempt(msgspec.Struct, frozen=True, eq=False):
    """A running task with the state of its attempt.

    Parameters:
        running: the task's record.
        handlers: the handlers at the claim; a reload gives other handlers to later attempts alone.
        context: the handler's view of the attempt.
        cut_off: the reason why the attempt is cut off, if it is.
    """

    running: Running
    handlers: Catalogue
    context: Context
    cut_off: CutOff

    @classmethod
    def of(
        cls, running: Running, handlers: Catalogue, stopping: trio.CancelScope, logs: LogFiles | None = None
    ) -> LiveAttempt:
        """Make an attempt of a task that was just claimed.

        Parameters:
            running: the task's record.
            handlers: the handlers, one of which runs the task.
            stopping: the scope that the hard stop cancels.
            logs: keeps the whole output; ``None`` if only its end is kept.
        """
        task, cut_off = running.task, CutOff(stopping)
        context = Context(
            running.serial,
            task.name,
            len(running.attempts) + 1,
            token=running.token,
            traceparent=task.traceparent,
            cut_off_by=cut_off,
            open_log=None if logs is None else partial(logs.open, running),
        )
        return cls(running, handlers, context, cut_off)

    def cancel(self) -> None:
        """Cancel the attempt, now or as soon as it begins."""
        self.cut_off.cancelled = True
        self._cancel_scope()

    def lose(self) -> None:
        """Stop the attempt because the lease of its task was lost."""
        self.cut_off.lost = True
        self._cancel_scope()

    def _cancel_scope(self) -> None:
        if self.cut_off.scope is not None:
            self.cut_off.scope.cancel()

    @property
    def leaves_scope_unchanged(self) -> bool:
        """Return whether the next attempt can use the scope of this one."""
        cut_off = self.cut_off
        return not (cut_off.cancelled or cut_off.lost or self.running.task.timeout is not None)

    # With this protection, Trio never raises a Ctrl-C in here. So a KeyboardInterrupt in here is the handler's own.
    @trio.lowlevel.enable_ki_protection
    async def run(self, scope: trio.CancelScope) -> Ending | None:
        """Call the handler inside a scope that the caller has entered, and return the ending.

        Returns ``None`` when the handler raised because the pool is being cancelled. ``Cancelled`` passes through to
        the scope; then the ending is ``cut_off_ending()``.
        """
        task, cut_off = self.running.task, self.cut_off
        if cut_off.cancelled or cut_off.lost:
            return self._ending(Outcome.CANCELLED)
        cut_off.scope = scope
        if task.timeout is not None:
            self.context.deadline = scope.deadline = trio.current_time() + task.timeout / 1000
        try:
            result = await self.handlers.run(self.context, task)
        except BaseException as error:
            if (failure := _failure(error)) is None:
                if issubclass(type(error), BaseExceptionGroup):
                    await trio.lowlevel.checkpoint_if_cancelled()  # raises a plain Cancelled
                raise
        else:
            # A handler that returned after its deadline had not noticed the cancel, like a function in a thread.
            if task.timeout is not None and cut_off() == "timeout":
                return self._returned_late(scope.deadline)
            # The next attempt may use the scope: a cancel of this task must not reach it any more.
            cut_off.scope = None
            return self._success(result)
        if _is_ended_by_signal(failure):
            await self._until_drain_follows()
        ending = self._failed(failure)
        cut_off.scope = None
        return ending

    async def _until_drain_follows(self) -> None:
        """Wait up to ``DRAIN_FOLLOWS_SECONDS`` for a drain to begin.

        A service manager signals the server and its commands at once, and the command may end before the server has
        handled its own signal. The task must then be released, as it has not failed.
        """
        with trio.move_on_after(DRAIN_FOLLOWS_SECONDS):
            while not self.cut_off.draining:  # noqa: ASYNC110  # this is rare, and an event would cost every attempt
                await trio.sleep(DRAIN_POLL_SECONDS)

    def cut_off_ending(self) -> Ending | None:
        """Return the ending of an attempt that raised ``Cancelled``, or ``None`` if the task is to be released."""
        cut_off = self.cut_off
        if cut_off.cancelled:
            return self._ending(Outcome.CANCELLED)
        # After a hard stop the task is released, even if its time is up before the handler has ended.
        return self._timed_out() if cut_off() == "timeout" and not cut_off.stopping.cancel_called else None

    def _failed(self, error: BaseException) -> Ending | None:
        """Return the ending of an attempt that raised, or ``None`` if the task is to be released.

        An attempt that was cut off and only then raised ends by the reason of the cut-off.
        """
        failure = failure_of(error)
        match self.cut_off():
            case "cancel" | "lease":
                return self._ending(Outcome.CANCELLED, f"cancelled; then the handler failed: {failure.text}")
            case "timeout":
                return self._timed_out(f"; then the handler failed: {failure.text}")
            case "shutdown":
                return None
        if _is_being_cancelled():
            return None  # nothing cut off this attempt alone, so `Executor.run` was cancelled from outside
        if _is_ended_by_signal(error) and self.cut_off.draining:
            return None
        _, retryable, seconds = failure
        return self._ending(Outcome.FAILED, failure.text, retryable=retryable, retry_after_seconds=seconds)

    def _success(self, result: object) -> Ending:
        output = self._output()
        if result is None and output is None:
            return _EMPTY_SUCCESS
        try:
            return Ending(Outcome.SUCCEEDED, result=result_json(result), output=output)
        except ValueError as error:
            return self._ending(Outcome.FAILED, str(error), retryable=False)

    def _timed_out(self, addition: str = "") -> Ending:
        return self._ending(Outcome.TIMED_OUT, f"timed out after {self.running.task.timeout} ms{addition}")

    def _returned_late(self, deadline: float) -> Ending:
        """Return the ending of an attempt whose handler could not be interrupted and returned after its deadline."""
        late_ms = round((trio.current_time() - deadline) * 1000)
        return self._timed_out(f"; the handler could not be interrupted and returned {late_ms} ms later")

    def _ending(
        self, outcome: Outcome, error: str | None = None, *, retryable: bool = True, retry_after_seconds: float = 0.0
    ) -> Ending:
        error = None if error is None else error_text(error)
        return Ending(outcome, error, retryable, retry_after_seconds, output=self._output())

    def _output(self) -> bytes | None:
        return None if (output := self.context.snapshot()) is None else msgspec.json.encode(output)


def _is_being_cancelled() -> bool:
    """Return whether a scope around the present Trio task is cancelled."""
    return trio.current_effective_deadline() == -math.inf


def _is_ended_by_signal(error: BaseException) -> bool:
    """Return whether a signal that we did not send ended a process of the attempt."""
    return issubclass(type(sole_exception(error)), EndedBySignalError)


def _failure(error: BaseException) -> BaseException | None:
    """Return what a handler raised in addition to the ``Cancelled`` of a cancelled scope, or ``None``.

    If no scope around the handler is cancelled, a ``Cancelled`` is the handler's mistake and counts as its error.
    """
    if not trio.lowlevel.in_trio_task():
        return None  # Trio's run has ended, and Python closes the coroutine
    leaves = leaf_exceptions(error)
    others = [leaf for leaf in leaves if not issubclass(type(leaf), trio.Cancelled)]
    if len(others) == len(leaves) or not _is_being_cancelled():
        return error
    if not others:
        return None
    return others[0] if len(others) == 1 else BaseExceptionGroup("several errors", others)
