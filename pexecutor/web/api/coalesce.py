"""Combine submits that arrive in the same turn of Trio into one step, written in one transaction.

The first submit waits until the turn has ended, then submits the tasks of all. Each task gets the verdict that it would
get if the submits came one after another. The step is shielded: the other submits wait for it, so it must not be
cancelled when the client of the first submit disconnects.

This serves requests that are answered one by one: under Hypercorn, and under TLS with the fast listener. Its rounds
(``fast/rounds.py``) do the same for all other requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from ...core.executor import Executor
from ...errors import StoreUnavailableError
from ...limits.times import COALESCED_SECONDS_MAX
from ...task import Task, Verdict

TASKS_TOGETHER_MAX: Final = 64
"""How many tasks a list may have to share a step with other submits. A longer list gains nothing by sharing."""

TASKS_A_STEP_MAX: Final = 256
"""How many tasks a step has at most, because a step holds up the loop."""


class _Step:
    """The submits of one turn."""

    __slots__ = ("done", "outcome", "tasks")

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.done = trio.Event()
        self.outcome: Sequence[Verdict] | Exception = StoreUnavailableError(
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
        # The step that further submits of this turn join. Owned by submit().
        self._step: _Step | None = None

    async def submit(self, tasks: Sequence[Task]) -> Sequence[Verdict]:
        """Submit at most ``TASKS_TOGETHER_MAX`` tasks and return their verdicts.

        Raises:
            InvalidTaskError: some handlers are unknown, or some params do not fit their handler; no task was accepted.
            StoreUnavailableError: the tasks could not be made durable.
        """
        self._executor.check(tasks)
        # The last place to cancel: from here on, the tasks may be submitted by another caller of this method.
        await trio.lowlevel.checkpoint_if_cancelled()
        step, leads = self._step, False
        if step is None or len(step.tasks) + len(tasks) > TASKS_A_STEP_MAX:
            step, leads = _Step(), True
            self._step = step
        first = len(step.tasks)
        step.tasks += tasks
        if leads:
            await self._run(step)
        else:
            await step.done.wait()
        if isinstance(step.outcome, Exception):
            raise step.outcome
        return step.outcome[first : first + len(tasks)]

    async def _run(self, step: _Step) -> None:
        """Let the other Trio tasks of this turn add their submits, submit all, and wake those that wait."""
        # Shielded, because the other submits now depend on this one.
        await trio.lowlevel.cancel_shielded_checkpoint()
        if self._step is step:
            self._step = None
        try:
            step.outcome = await self._submit(step)
        except Exception as error:
            step.outcome = error
        finally:
            step.done.set()

    async def _submit(self, step: _Step) -> Sequence[Verdict] | Exception:
        verdicts = self._executor.submit_nowait(step.tasks)
        if verdicts is not None:
            return verdicts
        with trio.move_on_after(COALESCED_SECONDS_MAX, shield=True):
            return await self._executor.submit(step.tasks)
        return step.outcome
