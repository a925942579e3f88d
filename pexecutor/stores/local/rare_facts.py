"""``RareFacts``: gives records their ``rare`` value, and equal values one object.

Nearly all tasks with targets have the same ones, and many have the same limit keys. A million of them share a few
objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...limits.keys import LimitKey
from ...task import Brings, Rare, Task
from ..deliveries import brings_nothing
from ..limits import no_limit_keys

_SHARED_MAX: Final = 1000
"""The number of different values from which sharing begins anew, so that it takes no more memory."""


class RareFacts:
    """The rare facts about new tasks."""

    def __init__(self) -> None:
        self._brings: Callable[[Task], Brings | None] = brings_nothing
        self._limit_keys: Callable[[Task], tuple[LimitKey, ...]] = no_limit_keys
        self._shared: dict[tuple[Brings | None, tuple[LimitKey, ...]], Rare] = {}

    def watch(
        self,
        brings: Callable[[Task], Brings | None] = brings_nothing,
        limit_keys: Callable[[Task], tuple[LimitKey, ...]] = no_limit_keys,
    ) -> None:
        """Register the functions that return the targets of a task's outcomes, and its limit keys."""
        self._brings = brings
        self._limit_keys = limit_keys

    @property
    def are_none(self) -> bool:
        """Whether no new task has rare facts."""
        return self._brings is brings_nothing and self._limit_keys is no_limit_keys

    def of(self, task: Task, crashes: int = 0, retry_of: int = 0) -> Rare | None:
        """Return the rare facts about a task, or ``None`` if there are none.

        Parameters:
            task: the task.
            crashes: how many crashes it has.
            retry_of: the serial of the finished task that it repeats; 0 for none.
        """
        brings, limit_keys = self._brings(task), self._limit_keys(task)
        if crashes or retry_of:
            return Rare(crashes, brings, limit_keys, retry_of)
        return None if brings is None and not limit_keys else self._share(brings, limit_keys)

    def _share(self, brings: Brings | None, limit_keys: tuple[LimitKey, ...]) -> Rare:
        if (shared := self._shared.get((brings, limit_keys))) is None:
            if len(self._shared) >= _SHARED_MAX:
                self._shared.clear()
            shared = self._shared[brings, limit_keys] = Rare(brings=brings, limit_keys=limit_keys)
        return shared
