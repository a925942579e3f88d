"""``Damage``: a node's part in finding and repairing damage in a queue.

The functions on the server set aside entries that they cannot use (``functions/damage.lua``), and report them with each
reply. Only a node can detect an unreadable part of a record. The node replaces it by a value that can be shown, and has
it repaired on the server soon after. Callers do not wait for the repair.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import trio

from ...errors import StoreUnavailableError
from ...observe.notify import notifier
from ...task import Attempt, Ending, Outcome, Record, Task
from .protocol import TEXTS, Part, Stored
from .wire import Row, attempts_of, ending_of, make_record, task_of, to_record

UNREADABLE_MAX: Final = 1000
"""How many records can wait for their repair; more are found again later."""

AGAIN_SECONDS: Final = 1.0
"""How long to wait before the next try if the server cannot be reached, in seconds."""

NO_ATTEMPTS: Final[tuple[Attempt, ...]] = ()
T = TypeVar("T")


class Damage:
    """The damage found by this node, and its repair.

    Parameters:
        on_damage: called with a description of each damage found.
    """

    def __init__(self, on_damage: Callable[[str], None]) -> None:
        self._on_damage = notifier(on_damage)
        self._unreadable: dict[int, list[str]] = {}  # parts by number; entered by to_record, left by keep_mending
        self._is_mending = False
        self._something_to_do = trio.Event()

    def report(self, what: str) -> None:
        """Report damage."""
        self._on_damage(what)

    def notice(self, damages: Sequence[str], *, mending: bool) -> None:
        """Report the damage in a reply, and start mending if the reply requests it."""
        for damage in damages:
            self._on_damage(damage)
        if mending and not self._is_mending:
            self._is_mending = True
            self._something_to_do.set()

    def is_lost(self, number: int) -> bool:
        """Return whether the submitted task of this number cannot be read."""
        return Part.TASK in self._unreadable.get(number, ())

    def to_record(self, row: Row, tag: int) -> Record:
        """Return the record of a row, with substitutes for unreadable parts."""
        try:
            return to_record(row, tag)
        except msgspec.DecodeError:
            return self._repaired(row, tag)

    def _repaired(self, row: Row, tag: int) -> Record:
        parts: list[str] = []
        task = _read(task_of, row, Task(f"damaged-{row.number}"), Part.TASK, parts)
        attempts = _read(attempts_of, row, NO_ATTEMPTS, Part.ATTEMPTS, parts)
        ending: Ending | None = None
        if row.state == Stored.FINISHED:
            lost = Ending(Outcome.FAILED, TEXTS["ending_lost"], retryable=False)
            ending = _read(ending_of, row, lost, Part.ENDING, parts)
        if len(self._unreadable) < UNREADABLE_MAX:
            self._unreadable[row.number] = parts
            self._something_to_do.set()
        return make_record(row, tag, task, attempts, ending)

    async def keep_mending(self, call: Callable[..., Awaitable[Any]]) -> None:
        """Repair and mend as needed, until cancelled.

        Parameters:
            call: calls a function on the server.
        """
        while True:
            await self._something_to_do.wait()
            self._something_to_do = trio.Event()
            try:
                await self._repair(call)
                while self._is_mending:
                    self._is_mending = await call("mend", False)
            except StoreUnavailableError:
                self._something_to_do.set()
                await trio.sleep(AGAIN_SECONDS)

    async def _repair(self, call: Callable[..., Awaitable[Any]]) -> None:
        if found := list(self._unreadable.items()):
            await call("repair", found)
            for number, _ in found:
                self._unreadable.pop(number, None)


def _read(read: Callable[[Row], T], row: Row, instead: T, part: str, parts: list[str]) -> T:
    try:
        return read(row)
    except msgspec.DecodeError:
        parts.append(part)
        return instead
