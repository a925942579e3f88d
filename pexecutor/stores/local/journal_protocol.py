"""``Journal``: the interface through which a local store makes its changes durable, and how long the store waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final, Literal, NamedTuple, Protocol, get_args

import trio

from ...errors import StoreUnavailableError
from ...limits.times import STORE_CALL_SECONDS_MAX
from ...task import Record, Running
from ..answers import KeyedAnswer
from ..deliveries import Delivery, Spare
from ..schedules import ScheduleChange
from .limit_settings import LimitChange


class DeliveryChange(NamedTuple):
    """The new state of a delivery; ``None`` if it was removed."""

    serial: int
    delivery: Delivery | Spare | None


BesideKind = Literal["schedules", "answers", "deliveries", "limits"]
"""A kind of things that a store keeps beside its records: a field of ``BesideRecords``, and an attribute of a store."""

BESIDE_KINDS: Final[tuple[BesideKind, ...]] = get_args(BesideKind)


class BesideRecords(NamedTuple):
    """What a step changes beside records: for each kind, pairs of a key and the new value, ``None`` if it was removed.

    Of two values for one key, the later one wins.

    Parameters:
        schedules: the new states of schedules.
        answers: the answers to requests with a key.
        deliveries: the new states of deliveries.
        limits: the new numbers of limits, and the new pauses.
    """

    schedules: Sequence[ScheduleChange] = ()
    answers: Sequence[KeyedAnswer] = ()
    deliveries: Sequence[DeliveryChange] = ()
    limits: Sequence[LimitChange] = ()

    def changes(self) -> Iterator[tuple[BesideKind, Hashable, Any]]:
        """Iterate over the changes of every kind: the kind, the key and the value."""
        for kind, pairs in zip(BESIDE_KINDS, self, strict=True):
            for key, value in pairs:
                yield kind, key, value


NOTHING_BESIDE: Final = BesideRecords()

CurrentBeside = Callable[[BesideKind, Any], Any]
"""Returns the value of a kind and a key as the store has it, or ``None`` if the store has none."""


class Journal(Protocol):
    """Keeps the records of a store beyond the life of its process."""

    @property
    def trouble(self) -> str | None:
        """The reason why changes cannot be made durable at present, or ``None``."""

    @property
    def writing_seconds(self) -> float:
        """For how long the present write has been under way, or 0."""

    @property
    def after_crash(self) -> bool:
        """Whether the previous process died without closing the journal; known once the journal is opened."""

    @property
    def repairs(self) -> tuple[int, int]:
        """The number of mended records and of rows set aside; known once all records are read."""

    @property
    def lost_transactions(self) -> int:
        """The number of the last transactions that have disappeared; known once the journal is opened."""

    @property
    def generations(self) -> int:
        """The highest generation of a schedule that was given; known once the journal is opened."""

    def opened(
        self, current: Callable[[int], Record | None], beside: CurrentBeside
    ) -> AbstractAsyncContextManager[tuple[int, int]]:
        """Open the journal for commits. The context gives the store's tag, and how many serials it has drawn.

        ``current`` returns the record of a serial whose commit was cancelled while it was under way, and ``beside``
        the value of such a key.
        """

    def records(self) -> AsyncIterator[list[Record]]:
        """Iterate over the records of earlier processes, in order of acceptance."""

    async def stored(self, kind: BesideKind) -> Sequence[Any]:
        """Return what earlier processes have kept of a kind, in the order in which it was written, after the records.

        An answer comes with its key.
        """

    async def commit(
        self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE
    ) -> Mapping[int, Record] | None:
        """Make the new states of records, and what changes beside them, durable: all of them or none.

        Returns, by serial, the records that were written instead of some: if the end of a task cannot be written, the
        end of the task as failed.

        Raises ``StoreUnavailableError`` if nothing was written. A cancelled commit has written nothing, or the journal
        will undo what it wrote.
        """

    def forget(self, serials: Sequence[int]) -> None:
        """Drop records with one of the next transactions."""

    def forget_beside(self, kind: BesideKind, keys: Iterable[Hashable]) -> None:
        """Drop what is kept under these keys with one of the next transactions."""


class KeptBeside(Protocol):
    """One kind of things that a store keeps beside its records, in memory."""

    def load(self, values: Sequence[Any], /) -> None:
        """Put the values of an earlier process, as the journal has stored them."""

    def find(self, key: Any, /) -> Any:
        """Return the value of a key, or ``None``."""


def forgetter(journal: Journal | None, kind: BesideKind) -> Callable[[Iterable[Any]], None]:
    """Return a function that drops what is kept under keys of a kind; it does nothing without a journal."""
    return (lambda _: None) if journal is None else partial(journal.forget_beside, kind)


class Complete(Protocol):
    """Makes a decided step durable, and publishes its changes of records."""

    def __call__(
        self,
        changes: Sequence[Record],
        *,
        known_with_it: Sequence[Record] = (),
        beside: BesideRecords = NOTHING_BESIDE,
        made: Sequence[Delivery] = (),
    ) -> Awaitable[Sequence[Any]]: ...


async def make_durable(
    journal: Journal, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE
) -> Sequence[Any]:
    """Commit within a bounded shield, so that a cancelled caller never leaves half of a step behind.

    Returns what was made durable, in the order of the changes.

    Raises:
        StoreUnavailableError: the commit failed, or took too long.
    """
    with trio.move_on_after(STORE_CALL_SECONDS_MAX, shield=True) as bound:
        replaced = await journal.commit(changes, acceptances, beside)
    if bound.cancelled_caught:
        raise StoreUnavailableError(f"the store did not answer within {STORE_CALL_SECONDS_MAX:g} s")
    return [replaced.get(record.serial, record) for record in changes] if replaced else changes


async def leave_as_is(running: Sequence[Running]) -> None:
    """Do nothing: for handlers whose work ends with the process."""
