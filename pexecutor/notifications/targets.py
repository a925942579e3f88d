"""``Targets``: choose which targets are notified of a task's outcome, or of a skipped occurrence.

The choice is made when a task is accepted, for each of its outcomes. So it has to be cheap: the answer for a handler is
remembered, and a name is compared only with the patterns of the targets that have some. Equal choices share one value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from ..task import Brings, Outcome, Task
from .settings import Cause, Target

CHOICES_REMEMBERED_MAX: Final = 1024
"""How many different choices are shared. Names and patterns can make more than that, though hardly in practice."""


class _OfHandler(NamedTuple):
    """The targets for the tasks of a handler: those for all names, and those for some names."""

    always: tuple[Target, ...]
    by_name: tuple[Target, ...]


class Targets:
    """The targets of this node.

    Parameters:
        declared: the targets of the settings, by name.
    """

    def __init__(self, declared: Mapping[str, Target]) -> None:
        # Only switch_off() changes these three.
        self._targets = dict(declared)
        self._of_handler: dict[str, _OfHandler] = {}
        self._shared: dict[tuple[str, ...], Brings | None] = {}

    def __bool__(self) -> bool:
        return bool(self._targets)

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the targets that are not switched off."""
        return iter(self._targets)

    def switch_off(self, name: str) -> None:
        """Choose a target no more until the next start or reload."""
        self._targets.pop(name, None)
        self._of_handler.clear()
        self._shared.clear()

    def brings(self, task: Task) -> Brings | None:
        """Return the targets for each outcome of a task, or ``None`` if there are none."""
        if not self._targets:
            return None
        chosen = self._chosen(task)
        key = tuple(target.name for target in chosen)
        try:
            return self._shared[key]
        except KeyError:
            if len(self._shared) >= CHOICES_REMEMBERED_MAX:
                self._shared.clear()
            shared = self._shared[key] = _brings(chosen)
            return shared

    def for_skip(self, task: Task) -> tuple[str, ...]:
        """Return the targets that are notified if an occurrence that would submit this task is skipped."""
        return _names(self._chosen(task), "skipped") if self._targets else ()

    def _chosen(self, task: Task) -> tuple[Target, ...]:
        of_handler = self._of_handler.get(task.handler)
        if of_handler is None:
            of_handler = self._of_handler[task.handler] = self._match(task.handler)
        if not of_handler.by_name:
            return of_handler.always
        return of_handler.always + tuple(
            target for target in of_handler.by_name if target.names is not None and target.names.match(task.name)
        )

    def _match(self, handler: str) -> _OfHandler:
        if len(self._of_handler) >= CHOICES_REMEMBERED_MAX:
            self._of_handler.clear()  # the schedules of other nodes can name any handlers
        fit = [each for each in self._targets.values() if each.handlers is None or each.handlers.match(handler)]
        always = tuple(target for target in fit if target.names is None)
        return _OfHandler(always, tuple(target for target in fit if target.names is not None))


def _brings(targets: tuple[Target, ...]) -> Brings | None:
    by_outcome = {outcome.value: _names(targets, outcome.value) for outcome in Outcome}
    return Brings(**by_outcome) if any(by_outcome.values()) else None


def _names(targets: tuple[Target, ...], cause: Cause) -> tuple[str, ...]:
    return tuple(target.name for target in targets if cause in target.on)
