"""Submits of one task each that come in the same turn of Trio are taken in one step, and written in one transaction.

The first of them waits until the turn has ended and then submits for all. What becomes of a task is what would if it
came alone, right behind the one before it. Since others wait for it, that step is not cut off when the first one's
client leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from ...core.executor import Executor
from ...errors import StoreUnavailableError
from ...task import Task, Verdict

SECONDS_MAX: Final = 30.0


class _Waiting:
    """One task, and what it came to once that is known."""

    __slots__ = ("done", "outcome", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.done = trio.Event()
        self.outcome: Verdict | Exception = StoreUnavailableError("the store has not answered in time")


class Together:
    """Submits to one executor.

    Parameters:
        executor: what takes the tasks.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        # Filled by submit(), emptied by _take(): what has come in this turn.
        self._gathered: list[_Waiting] = []

    async def submit(self, task: Task) -> Verdict:
        """What becomes of a task.

        Raises:
            InvalidTaskError: it has no such handler, or params that that one does not take.
            StoreUnavailableError: it could not be made durable.
        """
        self._executor.check([task])
        await trio.lowlevel.checkpoint_if_cancelled()
        waiting = _Waiting(task)
        self._gathered.append(waiting)
        if len(self._gathered) == 1:
            await trio.lowlevel.cancel_shielded_checkpoint()
            await self._take()
        else:
            await waiting.done.wait()
        if isinstance(waiting.outcome, Exception):
            raise waiting.outcome
        return waiting.outcome

    async def _take(self) -> None:
        """Submit all that has gathered, and tell everybody."""
        gathered, self._gathered = self._gathered, []
        outcomes: Sequence[Verdict | Exception] = ()
        try:
            outcomes = await self._submit([waiting.task for waiting in gathered])
        except Exception as error:
            outcomes = [error] * len(gathered)
        finally:
            for waiting, outcome in zip(gathered, outcomes, strict=False):
                waiting.outcome = outcome
            for waiting in gathered:
                waiting.done.set()

    async def _submit(self, tasks: list[Task]) -> Sequence[Verdict]:
        verdicts = self._executor.submit_nowait(tasks)
        if verdicts is not None:
            return verdicts
        with trio.move_on_after(SECONDS_MAX, shield=True):
            return await self._executor.submit(tasks)
        return ()
