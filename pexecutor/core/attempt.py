"""``LiveAttempt``: one run of a task, from its claim to how it ended.

Four things can cut it off. A cancel and the task's timeout share the scope that it runs in, and make an ending. So does
the loss of the lease, but nobody can record it. The hard stop cancels around the whole pool, and makes none: it gets
out as ``Cancelled``, or as no ending when the handler made an error of it, for whoever runs the attempt to give the
task back.

A handler may raise anything. ``trio.Cancelled`` passes through only while a scope around the handler is cancelled;
every other exception, whatever its class, means that the attempt has failed.

Whoever runs it opens the scope. Attempts can share one, one after the other, as long as none has changed it: for a task
that waits for nothing, a scope of its own would cost as much as all the rest.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import trio

from ..handlers import CancelledBy, Catalogue, Context, EndedBySignalError, failure_of
from ..task import Ending, Outcome, Running
from ..values import error_text, leaf_exceptions, result_json, sole_exception

DRAIN_FOLLOWS_SECONDS: Final = 1.0
"""How long after the end of a process by a signal a drain may begin that has the same cause."""

DRAIN_POLL_SECONDS: Final = 0.02

_NOTHING_TO_TELL: Final = Ending(Outcome.SUCCEEDED, result=b"null")
"""Most runs of ``sleep`` end so."""


class CutOff(msgspec.Struct, gc=False):
    """What cuts one attempt off, as soon as anything does. Called, it says what.

    It knows nothing of the attempt, so nothing refers to itself in a circle, and what has ended is gone at once.

    Parameters:
        stopping: the scope of the hard stop.
        cancelled: whether the task was cancelled.
        lost: whether the task is not ours any more.
        scope: what its handler runs in, while it does.
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
        """Whether the hard stop has a time, which a drain gives it."""
        return self.stopping.deadline != math.inf


class LiveAttempt(msgspec.Struct, frozen=True, eq=False):
    """A running task and what is known of its run.

    Parameters:
        running: the task.
        context: what its handler sees and tells.
        cut_off: what cuts it off.
    """

    running: Running
    context: Context
    cut_off: CutOff

    @classmethod
    def of(cls, running: Running, stopping: trio.CancelScope) -> LiveAttempt:
        """One that is about to begin.

        Parameters:
            running: the task.
            stopping: the scope of the hard stop.
        """
        task, cut_off = running.task, CutOff(stopping)
        context = Context(
            running.serial,
            task.name,
            len(running.attempts) + 1,
            token=running.token,
            traceparent=task.traceparent,
            cut_off_by=cut_off,
        )
        return cls(running, context, cut_off)

    def cancel(self) -> None:
        """Have it end as cancelled, now or as soon as it begins."""
        self.cut_off.cancelled = True
        self._cancel_scope()

    def lose(self) -> None:
        """Have it end at once: the task is not ours any more."""
        self.cut_off.lost = True
        self._cancel_scope()

    def _cancel_scope(self) -> None:
        if self.cut_off.scope is not None:
            self.cut_off.scope.cancel()

    @property
    def leaves_scope_as_it_was(self) -> bool:
        """Whether its scope can be another's now."""
        cut_off = self.cut_off
        return not (cut_off.cancelled or cut_off.lost or self.running.task.timeout is not None)

    # Protected: Trio delivers a Ctrl-C to the main task, so a KeyboardInterrupt in here is the handler's own.
    @trio.lowlevel.enable_ki_protection
    async def run(self, handlers: Catalogue, scope: trio.CancelScope) -> Ending | None:
        """Call the handler in a scope that was entered for this attempt, and return how the call ended.

        Returns ``None`` when the handler raised because of the hard stop. ``Cancelled`` is raised to the scope;
        when the scope has caught it, ``was_cut_off`` returns how the attempt ended.
        """
        task, cut_off = self.running.task, self.cut_off
        if cut_off.cancelled or cut_off.lost:
            return self._ending(Outcome.CANCELLED)
        cut_off.scope = scope
        if task.timeout is not None:
            self.context.deadline = scope.deadline = trio.current_time() + task.timeout / 1000
        try:
            result = await handlers.run(self.context, task)
        except BaseException as error:
            if (failure := _failure(error)) is None:
                raise
        else:
            if task.timeout is not None and cut_off() == "timeout":
                return self._overran(scope.deadline)
            cut_off.scope = None
            return self._success(result)
        if _is_ended_by_signal(failure):
            await self._until_drain_follows()
        ending = self._failed(failure)
        cut_off.scope = None
        return ending

    async def _until_drain_follows(self) -> None:
        """Wait whether a drain begins: its signal may arrive here later than the one that ended a process."""
        with trio.move_on_after(DRAIN_FOLLOWS_SECONDS):
            while not self.cut_off.draining:  # noqa: ASYNC110  # it is rare, and an event would cost every attempt
                await trio.sleep(DRAIN_POLL_SECONDS)

    def was_cut_off(self) -> Ending:
        """How it ended that its own scope was cancelled."""
        return self._timed_out() if self.cut_off() == "timeout" else self._ending(Outcome.CANCELLED)

    def _failed(self, error: BaseException) -> Ending | None:
        """It raised; what was cut off before that, and only then raised, has ended by what cut it off."""
        failure = failure_of(error)
        match self.cut_off():
            case "cancel" | "lease":
                return self._ending(Outcome.CANCELLED, f"cancelled, and then: {failure.text}")
            case "timeout":
                return self._timed_out(f", and then: {failure.text}")
            case "shutdown":
                return None
        if _is_ended_by_signal(error) and self.cut_off.draining:
            return None
        _, retryable, seconds = failure
        return self._ending(Outcome.FAILED, failure.text, retryable=retryable, retry_after_seconds=seconds)

    def _success(self, result: object) -> Ending:
        output = self._output()
        if result is None and output is None:
            return _NOTHING_TO_TELL
        try:
            return Ending(Outcome.SUCCEEDED, result=result_json(result), output=output)
        except ValueError as error:
            return self._ending(Outcome.FAILED, str(error), retryable=False)

    def _timed_out(self, addition: str = "") -> Ending:
        return self._ending(Outcome.TIMED_OUT, f"not done within {self.running.task.timeout} ms{addition}")

    def _overran(self, deadline: float) -> Ending:
        """It could not be cut off, a function in a thread cannot, and has come to its end all the same."""
        late_ms = round((trio.current_time() - deadline) * 1000)
        return self._timed_out(f"; it could not be stopped, and took {late_ms} more")

    def _ending(
        self, outcome: Outcome, error: str | None = None, *, retryable: bool = True, retry_after_seconds: float = 0.0
    ) -> Ending:
        error = None if error is None else error_text(error)
        return Ending(outcome, error, retryable, retry_after_seconds, output=self._output())

    def _output(self) -> bytes | None:
        return None if (output := self.context.snapshot()) is None else msgspec.json.encode(output)


def _is_ended_by_signal(error: BaseException) -> bool:
    """Whether a process of the attempt was ended by a signal that we have not sent."""
    return issubclass(type(sole_exception(error)), EndedBySignalError)


def _failure(error: BaseException) -> BaseException | None:
    """Return what a handler has raised beside the ``Cancelled`` of a cancelled scope, or ``None`` for nothing else.

    A ``Cancelled`` that comes while nothing around the handler is cancelled is the handler's own doing: an error.
    """
    if not trio.lowlevel.in_trio_task():
        return None  # the run of Trio is over, and the coroutine is being closed
    leaves = leaf_exceptions(error)
    others = [leaf for leaf in leaves if not issubclass(type(leaf), trio.Cancelled)]
    if len(others) == len(leaves) or trio.current_effective_deadline() > -math.inf:
        return error
    if not others:
        return None
    return others[0] if len(others) == 1 else BaseExceptionGroup("several errors", others)
