"""``RareFacts``: gives records their ``rare`` value, and equal values one object.

Nearly all tasks with targets have the same ones. A million of them share a few objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...task import Brings, Rare, Task
from ..deliveries import brings_nothing

_SHARED_MAX: Final = 1000
"""The number of different values from which sharing begins anew, so that it takes no more memory."""


class RareFacts:
    """The rare facts about new tasks."""

    def __init__(self) -> None:
        self._brings: Callable[[Task], Brings | None] = brings_nothing
        self._shared: dict[Brings, Rare] = {}

    def watch(self, brings: Callable[[Task], Brings | None]) -> None:
        """Register the function that returns the targets of a task's outcomes."""
        self._brings = brings

    @property
    def are_none(self) -> bool:
        """Whether no new task has rare facts."""
        return self._brings is brings_nothing

    def of(self, task: Task, crashes: int = 0) -> Rare | None:
        """Return the rare facts about a task that has some crashes, or ``None`` if there are none."""
        brings = self._brings(task)
        if crashes:
            return Rare(crashes, brings)
        return None if brings is None else self._share(brings)

    def _share(self, brings: Brings) -> Rare:
        if (shared := self._shared.get(brings)) is None:
            if len(self._shared) >= _SHARED_MAX:
                self._shared.clear()
            shared = self._shared[brings] = Rare(brings=brings)
        return shared
