"""``StartGate``: the handlers whose tasks may start at present, without regard to limit keys."""

from __future__ import annotations

from collections.abc import Mapping

from ..limits import TaskPause, handler_key
from .slots import Slots


class StartGate:
    """The pauses, the handlers that the node knows, and the numbers of handlers.

    Parameters:
        slots: the slots in use.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        # Changed by set() alone.
        self.pauses: Mapping[str | None, TaskPause] = {}
        """The pauses by handler; ``None`` is everything."""
        self.known: frozenset[str] | None = None
        """The handlers that the node knows; ``None`` for any."""
        self.is_always_open: bool = True
        """Whether every handler is open, and stays open whatever starts."""

    def set(self, pauses: Mapping[str | None, TaskPause], known: frozenset[str] | None) -> None:
        """Replace the pauses and the handlers that the node knows, after a change of them or of the numbers."""
        self.pauses, self.known = pauses, known
        self.is_always_open = not pauses and known is None and not self._slots.numbers.handlers

    def is_open(self, handler: str) -> bool:
        """Return whether the tasks of a handler may start, if their limit keys allow it."""
        return not (
            None in self.pauses
            or handler in self.pauses
            or not self.knows(handler)
            or self._slots.is_full(handler_key(handler))
        )

    def knows(self, handler: str) -> bool:
        """Return whether the node knows a handler."""
        return self.known is None or handler in self.known
