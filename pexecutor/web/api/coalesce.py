"""Combine single-task submits that arrive in the same turn of Trio into one step, written in one transaction.

The first submit waits until the turn has ended, then submits the tasks of all. Each task gets the verdict that it would
get if the submits came one after another. The step is shielded: the other submits wait for it, so it must not be
cancelled when the client of the first submit disconnects.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ...core.executor import Executor
from ...errors import StoreUnavailableError
from ...limits.times import COALESCED_SECONDS_MAX
from ...task import Task, Verdict


class _WaitingSubmit:
    """One submit that waits for its verdict."""

    __slots__ = ("done", "outcome", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.done = trio.Event()
        self.outcome: Verdict | Exception = StoreUnavailableError(
            f"the store did not answer within {COALESCED_SECONDS_MAX:g} s: "
            "check whether the task was accepted, then try again"
        )


class SubmitCoalescer:
    """Combines submits to one executor.

    Parameters:
        executor: the executor that takes the tasks.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        # The submits of this turn. Filled by submit(), emptied by _submit_gathered().
        self._gathered: list[_WaitingSubmit] = []

    async def submit(self, task: Task) -> Verdict:
        """Submit a task and return its verdict.

        Raises:
            InvalidTaskError: the handler is unknown, or the params do not fit the handler.
            StoreUnavailableError: the task could not be made durable.
        """
        self._executor.check([task])
        # The last place to cancel: from here on, the task may be submitted by another caller of this method.
        await trio.lowlevel.checkpoint_if_cancelled()
        waiting = _WaitingSubmit(task)
        self._gathered.append(waiting)
        if len(self._gathered) == 1:
            # Let the other Trio tasks of this turn add their submits. Shielded, because those now depend on this one.
            await trio.lowlevel.cancel_shielded_checkpoint()
            await self._submit_gathered()
        else:
            await waiting.done.wait()
        if isinstance(waiting.outcome, Exception):
            raise waiting.outcome
        return waiting.outcome

    async def _submit_gathered(self) -> None:
        """Submit the gathered tasks, and wake every submit with its outcome."""
        gathered, self._gathered = self._gathered, []
        outcomes: Sequence[Verdict | Exception] = ()
        try:
            outcomes = await self._submit([waiting.task for waiting in gathered])
        except Exception as error:
            outcomes = [error] * len(gathered)
        finally:
            # After a timeout there are no outcomes: each submit keeps the StoreUnavailableError that it began with.
            for waiting, outcome in zip(gathered, outcomes, strict=False):
                waiting.outcome = outcome
            for waiting in gathered:
                waiting.done.set()

    async def _submit(self, tasks: list[Task]) -> Sequence[Verdict]:
        verdicts = self._executor.submit_nowait(tasks)
        if verdicts is not None:
            return verdicts
        with trio.move_on_after(COALESCED_SECONDS_MAX, shield=True):
            return await self._executor.submit(tasks)
        return ()
