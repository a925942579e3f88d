"""``SimulatedNode``: one node of the queue, as ``server.py`` puts it together, with a clock of its own.

Its clock shows another time than the others' and runs a little faster or slower. It can be paused: then it does
nothing, its clock goes on, and it does not know. And it can die.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, Final

import trio

from pexecutor import Executor, Outcome, Task
from pexecutor.handlers import Catalogue, Context
from pexecutor.limits.keys import LimitKey
from pexecutor.log import TaskLog
from pexecutor.stores import Watcher
from pexecutor.stores.valkey.store import ValkeyStore

from ...fakes import Doing
from ..deeds import Deed, draw
from ..log import FailingLog
from .deliveries import DeliveredWork
from .ledger import Ledger, Run
from .link import SimulatedLink
from .network import Network

RATES: Final = (0.98, 1.0, 1.0, 1.02)
"""How fast clocks run; far from what real ones do."""

RESOLUTION_SECONDS: Final = 1e-6
"""Of its clock: nobody wakes a moment too early by it, and finds that he has to sleep for no time at all."""


LimitKeys = Callable[[Task], tuple[LimitKey, ...]]


class BringingStore(ValkeyStore):
    """A store whose tasks bring deliveries and have limit keys, whatever its executor registers.

    Parameters:
        deliveries: decides what they bring.
        keys: returns the limit keys of a task.
    """

    def __init__(self, deliveries: DeliveredWork, keys: LimitKeys, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._brings = deliveries.brings
        self._keys = keys

    def watch(self, watcher: Watcher) -> None:
        super().watch(watcher._replace(brings=self._brings, limit_keys=self._keys))


class SimulatedNode:
    """One life of a node.

    Parameters:
        name: no other has it.
        network: its way to the queue.
        ledger: is told what its handlers do; it also has the sizes of the queue and the pool.
        chance: decides what handlers do, and about its clock.
        lease_seconds: how long its lease is.
        history_records_max: how many finished tasks are kept.
        overrun_seconds_max: how long a handler goes on after it was cancelled.
        work_seconds: how long handlers may work.
        say: writes the trace.
        log: where the node writes its log; it may fail.
        kills: whether the task with this serial ends the node that runs it.
        deliveries: the accounts of the deliveries, which decide what tasks bring.
        limit_keys: returns the limit keys of a task.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        ledger: Ledger,
        *,
        chance: Random,
        lease_seconds: float,
        history_records_max: int,
        overrun_seconds_max: float,
        work_seconds: Sequence[float],
        say: Callable[[str, str], None],
        log: FailingLog,
        kills: Callable[[int], bool],
        deliveries: DeliveredWork,
        limit_keys: LimitKeys,
    ) -> None:
        self.name = name
        self.ledger = ledger
        self.network = network
        self.dead = False
        self.has_started = False
        self.has_descriptors = True
        """Whether there is a descriptor left for another connection."""
        self.woke_at = -1e9
        self.calls_to_live: int | None = None
        self._kills = kills
        self._chance = chance
        self._overrun_seconds_max = overrun_seconds_max
        self._work_seconds = work_seconds
        self._say = say
        self._clock_is_off = chance.uniform(-1e6, 1e6)
        self._rate = chance.choice(RATES)
        self._may_go_on = trio.Event()
        self._may_go_on.set()
        self._life = trio.CancelScope()
        self._deliveries = deliveries
        self._store = BringingStore(
            deliveries,
            limit_keys,
            SimulatedLink(network, self),
            node=name,
            queue_size=ledger.queue_size,
            history_records_max=history_records_max,
            lease_seconds=lease_seconds,
            jitter=chance,
            clock=self._clock,
            sleep=self._sleep,
            on_doubt=log.say,
            on_damage=log.say,
            on_lease_lost=lambda tasks: log.say(f"{tasks} tasks are cut off"),
        )
        handlers = Catalogue({"sleep": Doing(self._work)})
        self.executor = Executor(
            self._store,
            pool_size=ledger.pool_size,
            handlers=handlers,
            on_change=TaskLog("debug", now=self._clock),
        )

    async def live(self, be_used: Callable[[SimulatedNode], Awaitable[None]]) -> None:
        """Be one of the queue's nodes until it is dead, or used up."""
        self._say(self.name, f"starts, its clock at {self._rate:g}")
        with self._life:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.executor.run)
                self.has_started = True
                if self._deliveries.are_made:
                    await self._be_used_and_deliver(be_used)
                else:
                    await be_used(self)
        self._say(self.name, "is gone")

    async def _be_used_and_deliver(self, be_used: Callable[[SimulatedNode], Awaitable[None]]) -> None:
        async with trio.open_nursery() as taker:
            taker.start_soon(self._deliveries.attempt, self._store)
            await be_used(self)
            taker.cancel_scope.cancel()

    def look(self) -> None:
        """All is looked at with each call of the server."""

    # Its time

    def _clock(self) -> float:
        return self._clock_is_off + self._rate * trio.current_time()

    async def _sleep(self, seconds: float) -> None:
        await trio.sleep(seconds / self._rate + RESOLUTION_SECONDS)
        await self.awake()

    @property
    def paused(self) -> bool:
        """Whether it is."""
        return not self._may_go_on.is_set()

    async def awake(self) -> None:
        """Return when it is not paused."""
        with trio.CancelScope(shield=True):
            while self.paused:
                await self._may_go_on.wait()

    async def pause(self, seconds: float) -> None:
        """Do nothing for so long."""
        if self.paused or self.dead:
            return
        self._say(self.name, f"is paused for {seconds:g} s")
        self._may_go_on = trio.Event()
        with trio.CancelScope(shield=True):
            await trio.sleep(seconds)
        self.woke_at = trio.current_time()
        self._may_go_on.set()

    async def run_out_of_descriptors(self, seconds: float) -> None:
        """Lose the connection, and have no descriptor for another one for so long."""
        self._say(self.name, f"has no descriptors for {seconds:g} s")
        self.has_descriptors = False
        self.network.break_connections(self)
        await trio.sleep(seconds)
        self.has_descriptors = True

    # Its end

    def calls_server(self) -> None:
        """One of its calls is about to be done; it may be its last."""
        if self.calls_to_live is not None and not self.dead:
            self.calls_to_live -= 1
            if self.calls_to_live <= 0:
                self.die()

    def die(self) -> None:
        """From here on it does nothing any more."""
        if not self.dead:
            self._say(self.name, "dies")
            self.dead = True
            self.ledger.died(self)
            self.network.break_connections(self)
            self._life.cancel()

    # Its work

    async def _work(self, context: Context, task: Task) -> object:
        await self.awake()
        if self.dead:
            await trio.sleep_forever()
        run = self.ledger.begin(self, context, task)
        self._say(self.name, f"begins {context.id} {task.name} with token {context.token}")
        try:
            if self._kills(run.serial):
                self.die()
            deed = await self._do_something()
            result = context.token if deed is None else await deed.act(context)
            await self.awake()
            if deed is not None and deed.given.outcome is Outcome.FAILED:
                return result
            self.ledger.returned(run)
            return context.token
        finally:
            await self.awake()
            self._end(run, context)

    def _end(self, run: Run, context: Context) -> None:
        if not self.dead:
            self._say(self.name, f"ends {context.id}, cancelled by {context.cancelled_by}")
            self.ledger.end(run, lost=context.cancelled_by == "lease")

    async def _do_something(self) -> Deed | None:
        """Work for a while; return what else to do, if that is anything."""
        try:
            await trio.sleep(self._chance.choice(self._work_seconds))
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await trio.sleep(self._chance.choice([0, self._overrun_seconds_max]))
            raise
        return draw(self._chance, alone=False) if self._chance.random() < 0.25 else None
