"""What a guarantee is, what a store under test has to offer, and the list of all guarantees.

A check opens stores of its place, which is empty at first, and raises ``BrokenPromiseError`` with a sentence when a
promise is broken. Whatever else it raises, or that it does not come to an end, is a broken promise as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

from ..stores import Store


class Need(StrEnum):
    """What not every store is: a guarantee that needs it does not apply to one that is not."""

    DURABLE = "durable"
    """Tasks outlive the process."""
    SHARED = "shared"
    """More than one process at a time can have the store."""


class BrokenPromiseError(Exception):
    """A store has not done what the contract promises; the message says what it has done."""


class Place(Protocol):
    """A queue that only one check uses."""

    def open(self, **settings: Any) -> AbstractAsyncContextManager[Store]:
        """A store on the queue; the next one finds what the last has left.

        Where the store is shared, several may be open at once, each as a node of its own.

        Parameters:
            settings: ``queue_size``, ``history_records_max``, ``_seconds_max`` and ``_bytes_max``, and of a durable
                store ``crashes_max``: what every store takes.
        """

    async def cut(self, store: Store, /) -> None:
        """Leave the queue as if the store's process were dead, or out of reach, from now on."""

    async def mend(self, store: Store, /) -> None:
        """Let one that was cut reach its queue again; only where the store is shared."""


class Subject(Protocol):
    """A store under test."""

    @property
    def shown(self) -> str:
        """What it is, as it was given."""

    @property
    def lacks(self) -> Mapping[Need, str]:
        """What it is not, each with the reason."""

    @property
    def unproved(self) -> Sequence[str]:
        """What no check can prove of it from where it runs, a sentence each."""

    def opened(self) -> AbstractAsyncContextManager[None]:
        """While in here it has places; at the end all of them are removed."""

    def place(self) -> Place:
        """An empty queue."""


Check = Callable[[Place], Awaitable[None]]


class Guarantee(msgspec.Struct, frozen=True):
    """One promise.

    Parameters:
        group: which part of the contract it is of.
        sentence: what holds, in a sentence.
        promise: the words of the contract.
        needs: what a store has to be for it to apply.
        check: raises when it does not hold.
    """

    group: str
    sentence: str
    promise: str
    needs: frozenset[Need]
    check: Check

    @property
    def name(self) -> str:
        """The check's name, which no other has."""
        return self.check.__name__


DECLARED: Final[list[Guarantee]] = []
"""All of them, as they came; ``guarantee`` alone adds one, when its module is imported."""


def guarantee(group: str, sentence: str, *needs: Need, promise: str) -> Callable[[Check], Check]:
    """Declare what a check proves."""

    def declare(check: Check) -> Check:
        DECLARED.append(Guarantee(group, sentence, promise, frozenset(needs), check))
        return check

    return declare


def expect(holds: bool, sentence: str) -> None:
    """Raise ``BrokenPromiseError`` with the sentence unless it holds."""
    if not holds:
        raise BrokenPromiseError(sentence)
