"""Guarantees, what a store under test has to provide, and the list of all guarantees.

A check opens stores of its place, which is empty at first. It raises ``BrokenPromiseError`` with a sentence if a
promise is broken. Any other error, and a check that does not end in time, also counts as a broken promise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

from ..stores import Store


class Need(StrEnum):
    """A property that some stores lack. A guarantee that needs it does not apply to such a store."""

    DURABLE = "durable"
    """Tasks outlive the process."""
    SHARED = "shared"
    """More than one process at a time can use the store."""


class BrokenPromiseError(Exception):
    """A store violated the contract; the message says what the store did."""


class Place(Protocol):
    """A queue that is used by one check only."""

    def open(self, **settings: Any) -> AbstractAsyncContextManager[Store]:
        """Open a store on the queue; it finds what the previous store has left.

        If the store is shared, several can be open at once, each as its own node.

        Parameters:
            settings: settings that every store has: ``queue_size``, ``history_records_max``, ``history_seconds_max``,
                ``history_failed_seconds_max``, ``history_bytes_max``, ``answer_bounds``, ``schedule_bounds``,
                ``delivery_bounds``, and for a durable store ``crashes_max``.
        """

    async def cut(self, store: Store, /) -> None:
        """Leave the queue as if from now on the store's process were dead, or could not reach it."""

    async def mend(self, store: Store, /) -> None:
        """Let a store that was cut reach its queue again; for shared stores only."""


class Subject(Protocol):
    """A store under test."""

    @property
    def shown(self) -> str:
        """The store, as it was given on the command line."""

    @property
    def lacks(self) -> Mapping[Need, str]:
        """The properties that the store lacks, each with the reason."""

    @property
    def unproved(self) -> Sequence[str]:
        """Sentences about what no check can prove for this store."""

    def opened(self) -> AbstractAsyncContextManager[None]:
        """Prepare the store for ``place``; at the end, remove all places."""

    def place(self) -> Place:
        """Return a place with an empty queue."""


Check = Callable[[Place], Awaitable[None]]


class Guarantee(msgspec.Struct, frozen=True):
    """One guarantee of the store contract.

    Parameters:
        group: the part of the contract.
        sentence: the guarantee, as a sentence.
        promise: the words of the contract.
        needs: the properties that a store needs for the guarantee to apply.
        check: raises if the guarantee does not hold.
    """

    group: str
    sentence: str
    promise: str
    needs: frozenset[Need]
    check: Check

    @property
    def name(self) -> str:
        """The unique name of the check."""
        return self.check.__name__


DECLARED: Final[list[Guarantee]] = []
"""All guarantees, in the order of their declaration; only ``guarantee`` adds to the list, during imports."""


def guarantee(group: str, sentence: str, *needs: Need, promise: str) -> Callable[[Check], Check]:
    """Declare the guarantee that a check proves."""

    def declare(check: Check) -> Check:
        DECLARED.append(Guarantee(group, sentence, promise, frozenset(needs), check))
        return check

    return declare


def expect(holds: bool, sentence: str) -> None:
    """Raise ``BrokenPromiseError`` with this sentence unless the condition holds."""
    if not holds:
        raise BrokenPromiseError(sentence)
