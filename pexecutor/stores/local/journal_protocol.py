"""``Journal``: the interface through which a local store makes its changes durable, and how long the store waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple, Protocol

import trio

from ...errors import StoreUnavailableError
from ...limits.times import STORE_CALL_SECONDS_MAX
from ...task import Record, Running
from ..answers import KeyedAnswer, RequestKey
from ..deliveries import Delivery
from ..schedules import Schedule, ScheduleChange


class DeliveryChange(NamedTuple):
    """The new state of a delivery; ``None`` if it was removed."""

    serial: int
    delivery: Delivery | None


class BesideRecords(NamedTuple):
    """What a step changes beside records.

    Parameters:
        schedules: the new states of schedules; of two states of one schedule, the later one wins.
        answer: the answer to a request with a key.
        deliveries: the new states of deliveries.
    """

    schedules: Sequence[ScheduleChange] = ()
    answer: KeyedAnswer | None = None
    deliveries: Sequence[DeliveryChange] = ()


NOTHING_BESIDE: Final = BesideRecords()


class Journal(Protocol):
    """Keeps the records of a store beyond the life of its process."""

    @property
    def trouble(self) -> str | None:
        """The reason why changes cannot be made durable at present, or ``None``."""

    @property
    def after_crash(self) -> bool:
        """Whether the previous process died without closing the journal; known once the journal is opened."""

    @property
    def repairs(self) -> tuple[int, int]:
        """The number of mended records and of rows set aside; known once all records are read."""

    @property
    def lost_transactions(self) -> int:
        """The number of the last transactions that have disappeared; known once the journal is opened."""

    def opened(
        self, current: Callable[[int], Record | None], current_schedule: Callable[[str], Schedule | None]
    ) -> AbstractAsyncContextManager[tuple[int, int]]:
        """Open the journal for commits. The context gives the store's tag, and how many tasks it has accepted.

        ``current`` returns the record of a serial whose commit was cancelled while it was under way, and
        ``current_schedule`` the schedule of such a name.
        """

    def records(self) -> AsyncIterator[list[Record]]:
        """Iterate over the records of earlier processes, in order of acceptance."""

    async def schedules(self) -> tuple[list[Schedule], int]:
        """Return the schedules of earlier processes, and the highest generation that was given, after the records."""

    async def answers(self) -> Sequence[KeyedAnswer]:
        """Return the remembered answers of earlier processes, the oldest first, after the records."""

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

    def forget_answers(self, keys: Iterable[RequestKey]) -> None:
        """Drop remembered answers with one of the next transactions."""


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
