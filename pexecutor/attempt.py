"""``LiveAttempt``: one run of a task, from its claim to how it ended.

Four things can cut it off. A cancel and the task's timeout share the scope that it runs in, and make an ending. So does
the loss of the lease, but nobody can record it. The hard stop cancels around the whole pool, and makes none: it gets
out as ``Cancelled``, or as no ending when the handler made an error of it, for whoever runs the attempt to give the
task back.

Whoever runs it opens the scope. Attempts can share one, one after the other, as long as none has changed it: for a task
that waits for nothing, a scope of its own would cost as much as all the rest.
"""

from __future__ import annotations

from typing import Final

import msgspec
import trio

from .handlers import CancelledBy, Catalogue, Context, HandlerFailedError
from .task import Ending, Outcome, Running

RESULT_BYTES_MAX: Final = 64 * 1024

_NOTHING_TO_TELL: Final = Ending(Outcome.SUCCEEDED, result=b"null")
"""Most runs of ``sleep`` end so."""


class LiveAttempt:
    """A running task and what is known of its run.

    Parameters:
        running: the task.
        stopping: the scope of the hard stop.
    """

    lost = False
    _cancelled = False
    _scope: trio.CancelScope | None = None

    def __init__(self, running: Running, stopping: trio.CancelScope) -> None:
        self.running = running
        self.context = Context(
            running.serial,
            running.task.name,
            len(running.attempts) + 1,
            token=running.token,
            traceparent=running.task.traceparent,
            cut_off_by=self._cut_off_by,
        )
        self._stopping = stopping

    def cancel(self) -> None:
        """Have it end as cancelled, now or as soon as it begins."""
        self._cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    def lose(self) -> None:
        """Have it end at once: the task is not ours any more."""
        self.lost = True
        if self._scope is not None:
            self._scope.cancel()

    @property
    def leaves_scope_as_it_was(self) -> bool:
        """Whether its scope can be another's now."""
        return not (self._cancelled or self.lost or self.running.task.timeout is not None)

    def _cut_off_by(self) -> CancelledBy | None:
        if self.lost:
            return "lease"
        if self._cancelled:
            return "cancel"
        if self._scope is not None and self._scope.cancel_called:
            return "timeout"
        return "shutdown" if self._stopping.cancel_called else None

    async def run(self, handlers: Catalogue, scope: trio.CancelScope) -> Ending | None:
        """Call the handler in a scope that was entered and is nobody's else; how that ended.

        It is ``None`` when it raised because of the hard stop. What the scope has to see is raised: when that has
        caught it, ``cut_off`` says how it ended, or ``failed``.
        """
        task = self.running.task
        if self._cancelled or self.lost:
            return self._ending(Outcome.CANCELLED)
        self._scope = scope
        if task.timeout is not None:
            self.context.deadline = scope.deadline = trio.current_time() + task.timeout / 1000
        try:
            result = await handlers[task.handler].run(self.context, task)
        except Exception as error:
            ending = self.failed(error)
            self._scope = None
            return ending
        if task.timeout is not None and self._cut_off_by() == "timeout":
            return self._overran()
        self._scope = None
        return self._success(result)

    def cut_off(self) -> Ending:
        """How it ended that its own scope was cancelled."""
        return self._timed_out() if self._cut_off_by() == "timeout" else self._ending(Outcome.CANCELLED)

    def failed(self, error: Exception) -> Ending | None:
        """It raised; what was cut off before that, and only then raised, has ended by what cut it off."""
        reason = _reason(error)
        match self._cut_off_by():
            case "cancel" | "lease":
                return self._ending(Outcome.CANCELLED, f"cancelled, and then: {reason}")
            case "timeout":
                return self._timed_out(f", and then: {reason}")
            case "shutdown":
                return None
        if isinstance(error, HandlerFailedError):
            retry_after = error.retry_after_seconds or 0.0
            return self._ending(Outcome.FAILED, reason, retryable=error.retryable, retry_after_seconds=retry_after)
        return self._ending(Outcome.FAILED, reason)

    def _success(self, result: object) -> Ending:
        if result is None and not self.context.has_output:
            return _NOTHING_TO_TELL
        try:
            encoded = msgspec.json.encode(result)
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            return self._ending(Outcome.FAILED, f"the handler's result is not JSON: {error}", retryable=False)
        if len(encoded) > RESULT_BYTES_MAX:
            size = f"{len(encoded)} bytes and at most {RESULT_BYTES_MAX} are kept"
            return self._ending(Outcome.FAILED, f"the handler's result has {size}", retryable=False)
        return Ending(Outcome.SUCCEEDED, result=encoded, output=self._output())

    def _timed_out(self, addition: str = "") -> Ending:
        return self._ending(Outcome.TIMED_OUT, f"not done within {self.running.task.timeout} ms{addition}")

    def _overran(self) -> Ending:
        """It could not be cut off, a function in a thread cannot, and has come to its end all the same."""
        late_ms = round((trio.current_time() - self.context.deadline) * 1000)
        return self._timed_out(f"; it could not be stopped, and took {late_ms} more")

    def _ending(
        self, outcome: Outcome, error: str | None = None, *, retryable: bool = True, retry_after_seconds: float = 0.0
    ) -> Ending:
        return Ending(outcome, error, retryable, retry_after_seconds, output=self._output())

    def _output(self) -> bytes | None:
        return msgspec.json.encode(self.context.output.snapshot()) if self.context.has_output else None


def _reason(error: Exception) -> str:
    """One sentence on why an attempt failed."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return str(error) or "the handler gave no reason"
