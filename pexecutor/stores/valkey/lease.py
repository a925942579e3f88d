"""``Lease``: a node's hold on the tasks it runs, and the beat that keeps it.

One beat a second extends the lease for everything the node holds; when it has not for ``lease_seconds``, by the
server's clock, any other node's beat reaps it: its tasks are pending again, or abandoned, as their ``on_crash`` says.

So a node that gets no beat through must end its work before that. It goes by its own clock, from when the last beat
that was answered was *sent*, and gives up after two thirds. The last third is for cancelled work to come to its end.
Until then the node is silent, or its next beat would tell the server that all of it can be run again. Only lengths of
time are compared, so it does not matter what the clocks show.

A node can be too late all the same: paused, it does not know how late it is. Then its work goes on for a moment after
it wakes, side by side with the next run of the same task. Its outcome is not taken, as the task has a newer token; and
what it does to others is theirs to refuse, by the same token (``context.token``). (Martin Kleppmann, "How to do
distributed locking", 2016.)

After a reconnect, and when the server asks for it, the node and the server compare what the one runs and the other
remembers. What the node has lost is cut off; what it knows nothing of is recovered. Nothing is claimed from when it
says what it runs until it has been heard, for calls of a broken connection may be done late, and in any order.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Literal

import trio

from ...errors import StoreUnavailableError
from ...observe.notify import notifier
from .wire import Beat

BEAT_SECONDS: Final = 1.0
GIVEN_UP: Final = -math.inf
LEASE_SECONDS_MIN: Final = 3.0
"""Room for a few beats to fail."""


NO_CLAIM: Final = 0

Held = tuple[int, int]
"""A task's number, and the token under which it was claimed: it may have been lost and claimed once more."""


class Holdings:
    """What a node has claimed. Changed by the store's claim, finish and release, and by the loss of it all."""

    def __init__(self) -> None:
        self.tokens: dict[int, int] = {}  # by number
        self.settling: set[Held] = set()  # those whose finish or release is under way: its answer tells how they stand
        self.claim = NO_CLAIM  # the one without an answer

    def as_arguments(self) -> list[object]:
        """All of it, for the server to compare."""
        held = [one for one in self.tokens.items() if one not in self.settling]
        return [held, list(self.settling), self.claim]

    def settled(self, those: Iterable[Held]) -> None:
        """Have nothing to do with these any more."""
        for number, token in those:
            self.settling.discard((number, token))
            if self.tokens.get(number) == token:
                del self.tokens[number]

    def lose(self, number: int) -> bool:
        """Have nothing to do with a task any more, unless it is just being settled; whether it was held."""
        token = self.tokens.get(number)
        if token is None or (number, token) in self.settling:
            return False
        del self.tokens[number]
        return True


class Lease:
    """Beats, and gives up in time.

    Parameters:
        seconds: how long a lease is.
        holdings: what is held under it.
        beat: makes one beat, and has the holdings compared, if it is given them.
        lost: told the number of each task that is lost.
        cancelled: told the number of each task that was cancelled from elsewhere.
        given_up: told how many tasks are cut off because no beat got through in time, or the server says so.
        clock: this node's clock, in seconds; it runs at about the speed of the server's, and never back.
        sleep: waits so many seconds of that clock.
    """

    def __init__(
        self,
        seconds: float,
        holdings: Holdings,
        *,
        beat: Callable[[list[object] | Literal[False]], Awaitable[Beat]],
        lost: Callable[[int], None],
        cancelled: Callable[[int], None],
        given_up: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = trio.current_time,
        sleep: Callable[[float], Awaitable[None]] = trio.sleep,
    ) -> None:
        self.to_end_seconds: float = seconds / 3
        """How long what is cut off has to come to its end."""
        self._seconds = seconds
        self._holdings = holdings
        self._beat = beat
        self._lost = lost
        self._cancelled = cancelled
        self._given_up = notifier(given_up)  # it may write to a log that fails, and must not keep the lease from ending
        self._clock = clock
        self._sleep = sleep
        self._must_compare = True
        self._comparing = False  # until a beat is answered: one that was not may yet be done
        self._term = 0  # counted up whenever all is given up
        self._good_until = GIVEN_UP
        self._silent_until = GIVEN_UP
        self._extended = trio.lowlevel.ParkingLot()

    async def good(self) -> int:
        """Return when work may be claimed; the term that it belongs to."""
        await trio.lowlevel.checkpoint()
        while not self.is_good(self._term):
            self._give_up_in_time()
            await self._extended.park()
        return self._term

    def is_good(self, term: int) -> bool:
        """Whether work may be claimed, and what was claimed in this term begun."""
        return self._term == term and not self._comparing and self._clock() < self._good_until

    def compare_soon(self) -> None:
        """Have the next beat compare: messages, or the server's last moments, may be missing."""
        self._must_compare = True

    def give_up(self) -> None:
        """Cut off all that is held."""
        self._term += 1
        self._must_compare = True
        self._good_until = GIVEN_UP
        self._silent_until = self._clock() + self.to_end_seconds
        for number in list(self._holdings.tokens):
            self._lose(number)

    async def keep(self) -> None:
        """Beat until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._guard)
            while True:
                await self._sleep(max(0, self._silent_until - self._clock()))
                await self._beat_once()
                await self._sleep(0 if self._must_compare and self._good_until > GIVEN_UP else BEAT_SECONDS)

    async def _beat_once(self) -> None:
        sent_at, term = self._clock(), self._term
        comparing, self._must_compare = self._must_compare, False
        self._comparing = self._comparing or comparing
        try:
            beat = await self._beat(comparing and self._holdings.as_arguments())
        except StoreUnavailableError:
            self._must_compare = True
            return
        if lost := [number for number in beat.lost if self._lose(number)]:
            self._given_up(len(lost))
        for number in beat.cancelled:
            self._cancelled(number)
        if beat.extended and term == self._term:
            self._comparing = False
            self._good_until = sent_at + self._seconds * 2 / 3
            self._extended.unpark_all()
        else:
            self._must_compare = True

    async def _guard(self) -> None:
        """Give up all that is held when no beat got through in time."""
        while True:
            if self._good_until == GIVEN_UP:
                await self._extended.park()
            else:
                await self._sleep(max(0, self._good_until - self._clock()))
                self._give_up_in_time()

    def _give_up_in_time(self) -> None:
        if GIVEN_UP < self._good_until <= self._clock():
            self._given_up(len(self._holdings.tokens))
            self.give_up()

    def _lose(self, number: int) -> bool:
        """Cut a task off; whether it was held."""
        is_held = self._holdings.lose(number)
        if is_held:
            self._lost(number)
        return is_held
