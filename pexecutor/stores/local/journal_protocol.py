"""``Journal``: what a local store asks of whatever makes its changes durable, and how long it waits for that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import trio

from ...errors import StoreUnavailableError
from ...task import Record, Running

COMMIT_SECONDS_MAX: Final = 5.0
"""How long a verb waits for its changes to be durable before it gives up; the shield's bound."""


class Journal(Protocol):
    """Keeps the records of a store beyond the life of its process."""

    @property
    def trouble(self) -> str | None:
        """Why nothing can be made durable at present, if so."""

    @property
    def after_crash(self) -> bool:
        """Whether the process before this one died without closing the journal; known once it is opened."""

    @property
    def repairs(self) -> tuple[int, int]:
        """How many records were mended, and how many rows were set aside; known once all records are read."""

    @property
    def lost_transactions(self) -> int:
        """How many of the last transactions have disappeared since; known once it is opened."""

    def opened(self, current: Callable[[int], Record | None]) -> AbstractAsyncContextManager[tuple[int, int]]:
        """While in here, changes can be committed. Gives the store's tag, and how many tasks it has accepted.

        ``current`` is asked for the record of a serial whose commit was given up while it was under way.
        """

    def records(self) -> AsyncIterator[list[Record]]:
        """What earlier lives have left, in order of acceptance."""

    async def commit(self, changes: Sequence[Record], acceptances: int) -> Mapping[int, Record] | None:
        """Make the new state of some records durable, all of them or none.

        Returns by serial the records that were made durable in the place of some: the end of a task as failed, because
        the one that was asked for cannot be written.

        Raises ``StoreUnavailableError`` when it cannot. One that is cancelled has written nothing, or will see to it
        that nothing of it is left.
        """

    def forget(self, serials: Sequence[int]) -> None:
        """Drop records, in time."""


async def make_durable(journal: Journal, changes: Sequence[Record], acceptances: int) -> Sequence[Any]:
    """Commit, whatever happens to the caller meanwhile: half of a step is never left behind.

    Returns what was made durable, in the order of the changes.

    Raises:
        StoreUnavailableError: it was not done, or not in time.
    """
    with trio.move_on_after(COMMIT_SECONDS_MAX, shield=True) as bound:
        replaced = await journal.commit(changes, acceptances)
    if bound.cancelled_caught:
        raise StoreUnavailableError(f"the store did not answer within {COMMIT_SECONDS_MAX:g} s")
    return [replaced.get(record.serial, record) for record in changes] if replaced else changes


async def nothing_left(running: Sequence[Running]) -> None:
    """For handlers whose work ends with the process."""
