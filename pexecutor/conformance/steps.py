"""Cancellation in a loop: cancel a call at its first await, then at its second, until it completes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import trio


class _CancelAtStep(trio.abc.Instrument):
    """Cancels a scope just before its Trio task runs for the n-th time."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self._scope = scope
        self._steps_left = step
        self._task: trio.lowlevel.Task | None = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._steps_left -= 1
            if self._steps_left == 0:
                self._scope.cancel()


async def cancelled_at_step(step: int, call: Callable[[], Awaitable[object]]) -> bool:
    """Run a call and cancel it at its n-th await; return whether it was cancelled before its end."""
    with trio.CancelScope() as scope:
        instrument = _CancelAtStep(scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            await call()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancel_called


def every_await(steps_max: int = 100) -> Iterator[int]:
    """Yield 1, 2, 3 and so on; the consumer stops at the first step that a call does not have."""
    yield from range(1, steps_max)
    raise AssertionError(f"the call was still cancelled at await number {steps_max - 1}")
