"""``NotificationCounts``: how many notifications were delivered, retried or lost, by target.

The names of targets are labels of a metric. The targets of this node have counts of their own. All others, which
another node or an earlier configuration has declared, share the counts of ``OTHERS``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal

OTHERS: Final = ""
"""Stands for all targets that this node does not have; no target has this name."""

NotificationResult = Literal["delivered", "retried", "gone", "expired", "dropped"]
"""What happened to a notification.

* ``delivered``: the receiver has accepted it.
* ``retried``: an attempt has failed, and another one follows.
* ``gone``: the receiver replied 410, which switches the target off on this node.
* ``expired``: it ended after one day without success.
* ``dropped``: it was the oldest one when the store had too many.
"""


class NotificationCounts:
    """Counters since the start.

    Parameters:
        targets: the names of the targets of this node.
    """

    def __init__(self, targets: Iterable[str]) -> None:
        # Changed by count() and replace() alone.
        self._counts: dict[str, Counter[NotificationResult]] = {}
        self._others: Counter[NotificationResult] = Counter()
        self.replace(targets)

    def replace(self, targets: Iterable[str]) -> None:
        """Count these targets by name from now on, and add the counts of all others to those of ``OTHERS``."""
        before, self._counts = self._counts, {}
        for name in targets:
            self._counts[name] = before.pop(name, Counter({"delivered": 0}))
        for counts in before.values():
            self._others.update({result: number for result, number in counts.items() if number})

    def count(self, target: str, result: NotificationResult) -> None:
        """Count one result of a notification to a target."""
        self._counts.get(target, self._others)[result] += 1

    def by_target(self) -> dict[str, dict[NotificationResult, int]]:
        """Return the counts by target and result; ``OTHERS`` stands for all targets that this node does not have."""
        others = {OTHERS: self._others} if self._others else {}
        return {name: dict(counts) for name, counts in {**self._counts, **others}.items()}
