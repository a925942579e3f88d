"""``EndingSteps``: records how the attempts of one node ended, in steps of a bounded size."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import trio

from ...observe.histogram import Histogram
from ...task import Ending, Finished, Outcome, Running, Scheduled
from .calls import Calls
from .endings import ending_arguments
from .lease import Holdings
from .protocol import CHANGES_MAX
from .replies import number_of, settled_as


class EndingSteps:
    """The calls that end attempts.

    Parameters:
        calls: the node's calls to its queue.
        node: the name of the node.
        holdings: the tasks that the node has claimed.
        jitter: the source of the random delays of retries.
        commits: measures how long outcomes take to become durable.
    """

    def __init__(
        self, calls: Calls, node: str, holdings: Holdings, *, jitter: random.Random, commits: Histogram
    ) -> None:
        self._calls = calls
        self._node = node
        self._holdings = holdings
        self._jitter = jitter
        self._commits = commits

    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]:
        """Record how attempts ended; return each task's outcome or retry, or ``None`` if the node has lost the task."""
        if not ended:
            await trio.lowlevel.checkpoint()
            return []
        held = [(number_of(running), running.token) for running, _ in ended]
        arguments = [
            (*one, *ending_arguments(*attempt, self._jitter)) for one, attempt in zip(held, ended, strict=True)
        ]
        changes = [changes_of(running, one[2]) for (running, _), one in zip(ended, arguments, strict=True)]
        self._holdings.settling.update(held)
        settled: list[Finished | Scheduled | None] = []
        for step in cut(changes):
            settled += await self._finish(ended[step], arguments[step])
            self._holdings.settled(held[step])
        return settled

    async def _finish(
        self, ended: Sequence[tuple[Running, Ending]], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Finished | Scheduled | None]:
        asked_at = trio.current_time()
        reply = await self._calls.ask("finish", self._node, *zip(*arguments, strict=True))
        self._commits.observe(trio.current_time() - asked_at)
        settled = [settled_as(*one, answer, reply.at) for one, answer in zip(ended, reply.result, strict=True)]
        self._calls.report_all(reply.changes, {number_of(record): record for record in settled if record is not None})
        return settled

    async def release(self, tasks: Sequence[Running]) -> None:
        """Make running tasks pending again, at their old place in the start order."""
        held = [(number_of(running), running.token) for running in tasks]
        self._holdings.settling.update(held)
        for step in cut([changes_of(running, Outcome.CANCELLED) for running in tasks]):
            await self._calls.call("release", self._node, held[step])
            self._holdings.settled(held[step])


def changes_of(running: Running, outcome: Outcome) -> int:
    """Return how many records and deliveries an end with this outcome changes at most: a follower is one of them."""
    brings = None if running.rare is None else running.rare.brings
    return 2 if brings is None else 2 + len(brings.targets(outcome))


def cut(changes: Sequence[int]) -> Iterator[slice]:
    """Return the slices of a list that are steps.

    Parameters:
        changes: for each entry of the list, how many records and deliveries it changes; an entry is never cut.
    """
    first, total = 0, 0
    for place, count in enumerate(changes):
        if place > first and total + count > CHANGES_MAX:
            yield slice(first, place)
            first, total = place, 0
        total += count
    if changes:
        yield slice(first, len(changes))
