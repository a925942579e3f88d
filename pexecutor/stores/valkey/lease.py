"""``Lease``: a node's lease on the tasks that it runs, and the beats that extend it.

One beat a second extends the lease of everything that the node holds. If no beat arrives for ``lease_seconds``, by the
server's clock, any other node's beat reaps the node: its tasks become pending again, or are abandoned, as their
``on_crash`` says.

So a node whose beats do not get through must stop its work earlier. It measures by its own clock, from the time at
which the last answered beat was *sent*, and gives up after two thirds of the lease. In the last third, cancelled work
has time to end. Until then the node sends no beat, because a beat would tell the server that its tasks can run again.
Only durations are compared, so the clocks need not agree.

A node can still be too late: a paused process does not know how late it is. Then its work continues for a moment after
it wakes up, at the same time as the next attempt of the same task. Its outcome is refused, because the task has a newer
token. Services that its work calls can refuse it by the same token (``context.token``). (Martin Kleppmann, "How to do
distributed locking", 2016.)

After a reconnect, and when the server requests it, the node sends the tasks that it runs, and the server compares them
with its records. Work on tasks that the node has lost is stopped; tasks that the node does not know are recovered.
Between sending this list and the reply the node claims nothing, because calls of a broken connection may still be
executed late and in any order.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Literal

import trio

from ...errors import StoreUnavailableError
from ...limits.times import BEAT_SECONDS, LEASE_SHARE, REFUSED_SECONDS
from ...observe.notify import notifier
from .protocol import NO_CLAIM, Held
from .wire import Beat

GIVEN_UP: Final = -math.inf
"""The time until which a lease is good that was given up, or has not begun."""


class Holdings:
    """The tasks that a node has claimed. Changed by the store's claim, finish and release, and by a loss."""

    def __init__(self) -> None:
        self.tokens: dict[int, int] = {}  # by number
        self.settling: set[Held] = set()  # finish or release is under way; its reply decides whether they are lost
        self.claim = NO_CLAIM  # the number of a claim that has no reply yet
        self.has_more = False  # whether the last claim has not looked at all tasks that may start

    def as_arguments(self) -> list[object]:
        """Return the holdings as arguments of a beat, for the server to compare."""
        held = [one for one in self.tokens.items() if one not in self.settling]
        return [held, list(self.settling), self.claim]

    def settled(self, ended: Iterable[Held]) -> None:
        """Remove claims whose finish or release is complete, but not a later claim of the same task."""
        for number, token in ended:
            self.settling.discard((number, token))
            if self.tokens.get(number) == token:
                del self.tokens[number]

    def lose(self, number: int) -> bool:
        """Remove a task unless it is being settled; return whether it was removed."""
        token = self.tokens.get(number)
        if token is None or (number, token) in self.settling:
            return False
        del self.tokens[number]
        return True


class Lease:
    """Sends beats, and gives up in time if they fail.

    Parameters:
        seconds: the length of the lease.
        holdings: the tasks under the lease.
        beat: sends one beat; with holdings, the server compares them with its records.
        lost: called with the number of each task that is lost.
        cancelled: called with the number of each task that was cancelled through another node.
        given_up: called with how many tasks are stopped because no beat got through in time, or the server lost them.
        clock: this node's clock, in seconds; it must run at about the speed of the server's, and never backwards.
        sleep: waits this many seconds of that clock.
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
        """How long stopped work has to end, in seconds."""
        self._seconds = seconds
        self._holdings = holdings
        self._beat = beat
        self._lost = lost
        self._cancelled = cancelled
        self._given_up = notifier(given_up)  # it may write to a log that fails, and must not keep the lease from ending
        self._clock = clock
        self._sleep = sleep
        self._must_compare = True
        self._comparing = False  # until a beat is answered: an unanswered one may still be executed
        self._term = 0  # incremented whenever everything is given up; a claim of an earlier term is void
        self._good_until = GIVEN_UP
        self._silent_until = GIVEN_UP
        self._extended = trio.lowlevel.ParkingLot()

    async def good(self) -> int:
        """Wait until tasks may be claimed; return the term to which the claim belongs."""
        await trio.lowlevel.checkpoint()
        while not self.is_good(self._term):
            self._give_up_in_time()
            await self._extended.park()
        return self._term

    def is_good(self, term: int) -> bool:
        """Return whether tasks may be claimed, and tasks claimed in this term may be started."""
        return self._term == term and not self._comparing and self._clock() < self._good_until

    def compare_soon(self) -> None:
        """Make the next beat compare, because messages or the server's last moments may be missing."""
        self._must_compare = True

    def give_up(self) -> None:
        """Stop the work on all held tasks."""
        self._term += 1
        self._must_compare = True
        self._good_until = GIVEN_UP
        self._silent_until = self._clock() + self.to_end_seconds
        for number in list(self._holdings.tokens):
            self._lose(number)

    async def keep(self) -> None:
        """Send beats until cancelled."""
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
            beat = await self._beat(comparing and self._holdings.as_arguments())  # read when the beat is sent
        except StoreUnavailableError:
            self._must_compare = True
            await self._sleep(REFUSED_SECONDS)
            return
        if lost := [number for number in beat.lost if self._lose(number)]:
            self._given_up(len(lost))
        for number in beat.cancelled:
            self._cancelled(number)
        if beat.extended and term == self._term:
            self._comparing = False
            self._good_until = (
                sent_at + self._seconds * LEASE_SHARE
            )  # from the sending: the server may have got it at once
            self._extended.unpark_all()
        else:
            self._must_compare = True

    async def _guard(self) -> None:
        """Give up all held tasks when no beat got through in time."""
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
        """Stop the work on a task; return whether it was held."""
        is_held = self._holdings.lose(number)
        if is_held:
            self._lost(number)
        return is_held
