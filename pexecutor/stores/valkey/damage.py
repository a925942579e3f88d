"""``Damage``: what of a queue cannot be read or used, from the side of a node.

The functions on the server set aside what they cannot use (``functions/damage.lua``), and say so with each reply. What
only a node can see, a part of a record that is not what it should be, is replaced by something that can be shown, and
repaired on the server soon after. Nobody else is kept waiting for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import trio

from ...errors import StoreUnavailableError
from ...observe.notify import notifier
from ...task import Attempt, Ending, Outcome, Record, Task
from .wire import Row, attempts_of, ending_of, make_record, task_of, to_record

UNREADABLE_MAX: Final = 1000
"""How many records wait for their repair; others are found again."""

AGAIN_SECONDS: Final = 1.0
"""How long to wait for the next try where the server cannot be asked."""

NO_ATTEMPTS: Final[tuple[Attempt, ...]] = ()
T = TypeVar("T")


class Damage:
    """What was found damaged, and its repair.

    Parameters:
        on_damage: told of each damage that was found.
    """

    def __init__(self, on_damage: Callable[[str], None]) -> None:
        self._on_damage = notifier(on_damage)
        self._unreadable: dict[int, list[str]] = {}  # parts by number; entered by to_record, left by keep_mending
        self._is_mending = False
        self._something_to_do = trio.Event()

    def tell(self, what: str) -> None:
        """Tell of a damage."""
        self._on_damage(what)

    def notice(self, damages: Sequence[str], *, mending: bool) -> None:
        """Take in what a reply says of damages."""
        for damage in damages:
            self._on_damage(damage)
        if mending and not self._is_mending:
            self._is_mending = True
            self._something_to_do.set()

    def is_lost(self, number: int) -> bool:
        """Whether what was submitted as this task cannot be read."""
        return "task" in self._unreadable.get(number, ())

    def to_record(self, row: Row, tag: int) -> Record:
        """The record of a row, with something in the place of what cannot be read."""
        try:
            return to_record(row, tag)
        except msgspec.DecodeError:
            return self._repaired(row, tag)

    def _repaired(self, row: Row, tag: int) -> Record:
        parts: list[str] = []
        task = _read(task_of, row, Task(f"damaged-{row.number}"), "task", parts)
        attempts = _read(attempts_of, row, NO_ATTEMPTS, "attempts", parts)
        ending: Ending | None = None
        if row.state == "finished":
            lost = Ending(Outcome.FAILED, "how it ended cannot be read any more", retryable=False)
            ending = _read(ending_of, row, lost, "ending", parts)
        if len(self._unreadable) < UNREADABLE_MAX:
            self._unreadable[row.number] = parts
            self._something_to_do.set()
        return make_record(row, tag, task, attempts, ending)

    async def keep_mending(self, call: Callable[..., Awaitable[Any]]) -> None:
        """Repair and mend whatever there is, until cancelled.

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
