"""``NodesWorld``: everything that one seed decides about some nodes that share a queue.

Nodes come, are used by callers, and stop or die, while connections break, ways are cut off, nodes are paused and the
server dies. Then there is peace, one node that is left, and time to bring everything to its end.

All of it goes by one ``Random``, Trio's choices and the clock included, so a seed is one run, in every process.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Final, Literal, NamedTuple
from unittest import mock

import msgspec
import trio
from trio.testing import MockClock

from pexecutor.errors import StoreUnavailableError, UnusableStoreError
from pexecutor.stores.answers import Answer, RequestKey, RequestKind
from pexecutor.stores.limits import no_limit_keys
from pexecutor.stores.valkey.answers import to_answer, to_key
from pexecutor.stores.valkey.wire import StoredAnswer

from ...determinism import deterministic_scheduling
from ..callers import BRISK, Callers
from ..ledger import demand
from ..log import FailingLog
from ..requests import Requests
from ..world import EPOCH, Report, broken_by, first_of
from .deliveries import DeliveredWork
from .ledger import Ledger
from .limits import LimitedWork
from .network import KEY, Network
from .node import SimulatedNode
from .schedules import ScheduledWork

DERIVED: Final = (
    *("names", "following", "pending", "later", "due", "running", "crashed", "history", "expiry"),
    *("schedules", "upcoming", "failures"),
)
LIVES_MAX: Final = 20
"""How many nodes may die in peace, by their tasks."""

PEACE_SECONDS_MAX: Final = 20 * 60.0

Trouble = Literal["break", "breaks", "cut", "pause", "stall", "crash", "damage", "descriptors"]
Keeps = Literal["all", "the last second but one", "nothing"]


MOODS: Final[list[list[Trouble]]] = [
    [],
    ["break"],
    ["cut"],
    ["pause"],
    ["stall", "break"],
    ["cut", "break"],
    ["crash", "break"],
    ["descriptors", "break"],
    ["break", "cut", "pause", "stall", "crash", "descriptors"],
    ["damage"],
    ["damage", "break", "pause"],
]


class Focus(NamedTuple):
    """A kind of trouble that some seeds have over and over, with nodes that are all there and busy from the beginning.

    Parameters:
        mood: the trouble.
        lease_seconds: how long a lease is.
        leases: how long the trouble lasts, in leases, at least and at most.
        keeps: what the server may keep when it dies.
        delays: how many seconds a way may take.
        peace_seconds: how long it takes until the next trouble, on average.
        pool_size: how many tasks run at once on a node; with 4, a node is always free to start what another one loses.
    """

    mood: list[Trouble]
    lease_seconds: float
    leases: tuple[float, float]
    keeps: Sequence[Keeps] = ("all",)
    delays: Sequence[float] = (0.0005, 0.02)
    peace_seconds: float = 4.0
    pool_size: int = 2


FOCUSES: Final[list[Focus]] = [
    Focus(
        ["cut"], 15.0, (0.6, 0.9), peace_seconds=8, pool_size=4
    ),  # a node gives up, and is back while its handlers overrun
    Focus(["pause"], 3.0, (0.9, 2.0)),  # a node does not know that its lease is over
    Focus(
        ["breaks"], 15.0, (0.1, 0.2), delays=(0.1, 0.5), peace_seconds=2, pool_size=4
    ),  # calls are done late, and out of order
    Focus(["crash"], 3.0, (0.0, 0.4), ["the last second but one", "nothing"]),  # the server forgets, again and again
]
FOCUSED_SEEDS: Final = 0.3
"""How many of the seeds have a focus."""

TROUBLE_SECONDS: Final = (0.1, 1, 2.5, 5, 11, 25)
WORK_SECONDS: Final = (0, 0.01, 0.5, 3, 10, 30)


class NodesWorld:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = chance = Random(seed)
        self.trace: list[str] = []
        self.keeps: Keeps = chance.choice(["all", "all", "the last second but one", "nothing"])
        self.lease_seconds = chance.choice([3.0, 15.0])
        self.overrun_seconds_max = self.lease_seconds / 4
        self.history_records_max = chance.choice([10_000, 10_000, 30])
        self.delays = chance.choice([[0.0005], [0.0005, 0.02, 0.3], [0.001, 0.4, 0.8]])
        self.slots = chance.randint(1, 3)
        self.ledger = Ledger(
            chance.randint(1, 10), chance.randint(1, 3), overrun_seconds_max=self.overrun_seconds_max + 0.01
        )
        self.requests = Requests(seed, self.now)
        self.mood = chance.choice(MOODS)
        self.killer_every = chance.choice([0, 0, 0, 4])
        self.schedules = ScheduledWork(seed, EPOCH, submits_killers=self.killer_every > 0)
        self.deliveries = DeliveredWork(seed)
        self.limits = LimitedWork(seed)
        self.work_seconds: Sequence[float] = WORK_SECONDS
        self.log = FailingLog(Random(seed), chance.choice([0, 0, 0.1, 1]))
        self.peace_seconds = chance.choice([0.5, 2, 8])
        self.focus: Focus | None = None
        if chance.random() < FOCUSED_SEEDS:
            self._concentrate_on(chance.choice(FOCUSES))
        if "damage" in self.mood:
            self.limits.are_used = False  # the slots are looked at with each call, also before they are mended
        self.nodes: list[SimulatedNode] = []
        self.network: Network
        self._marks = count(1)
        self._names = count(1)
        self._calls = 0
        self._crashes = 0
        self._seconds = 0.0
        self.trace.append(
            f"queue of {self.ledger.queue_size}, pools of {self.ledger.pool_size}, {self.slots} nodes at once, "
            f"leases of {self.lease_seconds:g} s, delays {self.delays} s, the server keeps {self.keeps}, "
            f"{'no trouble' if not self.mood else 'trouble: ' + ', '.join(self.mood)} each {self.peace_seconds} s, "
            f"{self.log.failing:.0%} of the lines of the log fail"
            f"{', schedules' if self.schedules.definitions else ''}{', deliveries' if self.deliveries.are_made else ''}"
            f"{', limits' if self.limits.are_used else ''}"
        )

    def _concentrate_on(self, focus: Focus) -> None:
        self.focus = focus
        self.mood = focus.mood
        self.keeps = self.chance.choice(focus.keeps)
        self.delays = list(focus.delays)
        self.peace_seconds = focus.peace_seconds
        self.lease_seconds = focus.lease_seconds
        self.overrun_seconds_max = self.lease_seconds / 4
        self.work_seconds = (0.5, self.lease_seconds, self.lease_seconds, 30)
        self.slots = 3
        self.ledger = Ledger(10, focus.pool_size, overrun_seconds_max=self.overrun_seconds_max + 0.01)

    def run(self) -> Report:
        """Live through it.

        Raises:
            BrokenInvariantError: or whatever else went wrong, with the seed and the trace as a note.
        """
        try:
            with (
                deterministic_scheduling(self.seed),
                self.log.written_to(),
                mock.patch.object(secrets, "randbits", self.chance.getrandbits),
            ):
                trio.run(self._live, clock=MockClock(autojump_threshold=0))
        except BaseException as error:
            first = broken_by(error)
            first.add_note("\n".join([f"seed {self.seed}", *self.trace]))
            raise first from None
        return Report(self._seconds, self._crashes, self._calls, len(self.ledger.accepted))

    def now(self) -> float:
        """The server's clock."""
        return EPOCH + trio.current_time()

    def say(self, who: str, what: str) -> None:
        """Write a line of the trace."""
        self.trace.append(f"{trio.current_time():12.3f} {who:8} {what}")

    async def _live(self) -> None:
        async with trio.open_nursery() as machine:
            self.network = Network(
                machine,
                self.chance,
                delays=self.delays,
                now=self.now,
                look=self._look,
                settings={"appendonly": "yes" if self.keeps == "all" else "no"},
                say=self.say,
            )
            if self.keeps == "the last second but one":
                machine.start_soon(self._write_each_second)
            async with trio.open_nursery() as trouble:
                if self.mood:
                    trouble.start_soon(self._make_trouble, machine)
                async with trio.open_nursery() as slots:
                    for _ in range(self.slots):
                        slots.start_soon(self._have_nodes)
                trouble.cancel_scope.cancel()
            await self._make_peace()
            machine.cancel_scope.cancel()
        self._seconds = trio.current_time()

    def _look(self) -> None:
        self._calls += 1
        self.ledger.look(self.network.server.data)
        self.schedules.look(self.network.server.data)
        self.deliveries.look(self.network.server.data)
        self.limits.look(self.network.server.data, self.ledger.records())
        if self.requests.are_made:
            self.requests.look(self._answers(), self.ledger.by_mark(self.network.server.data), self.ledger.is_known)

    def _answers(self) -> dict[RequestKey, Answer]:
        data = self.network.server.data
        tag = int(data.get(f"{KEY}:head", {}).get("tag", 0))
        return {
            to_key(kind, request.encode("latin-1").decode()): to_answer(
                msgspec.msgpack.decode(packed.encode("latin-1"), type=StoredAnswer), tag
            )
            for kind in RequestKind
            for request, packed in data.get(f"{KEY}:answers:{kind}", {}).items()
        }

    def _write(self) -> None:
        self.network.server.write()
        self.ledger.wrote()

    async def _write_each_second(self) -> None:
        while True:
            self._write()
            await trio.sleep(1)

    # Nodes

    def _make_node(self) -> SimulatedNode:
        return SimulatedNode(
            f"n{next(self._names)}",
            self.network,
            self.ledger,
            chance=self.chance,
            lease_seconds=self.lease_seconds,
            history_records_max=self.history_records_max,
            overrun_seconds_max=self.overrun_seconds_max,
            work_seconds=self.work_seconds,
            say=self.say,
            log=self.log,
            kills=self._kills,
            deliveries=self.deliveries,
            limit_keys=self.limits.limit_keys if self.limits.are_used else no_limit_keys,
        )

    def _kills(self, serial: int) -> bool:
        return self.killer_every > 0 and serial % self.killer_every == 0

    async def _have_nodes(self) -> None:
        for _ in range(self.chance.randint(1, 3)):
            await trio.sleep(self.chance.choice([0, 0.1, 2, 20]) if self.focus is None else 0)
            node = self._make_node()
            if self.mood and self.focus is None and self.chance.random() < 0.3:
                node.calls_to_live = int(self.chance.expovariate(1 / 60)) + 1
            self.nodes.append(node)
            try:
                await node.live(self._use)
            except* (UnusableStoreError, StoreUnavailableError) as errors:
                demand(not node.has_started, "a node that has started goes on", errors)
                self.say(node.name, f"ends: {first_of(errors)}")
            self.nodes.remove(node)

    async def _use(self, node: SimulatedNode) -> None:
        await self.schedules.declare(node)
        callers = Callers(node, self.chance, self.say, lambda: next(self._marks), requests=self.requests, pace=BRISK)
        if self.limits.are_used:
            async with trio.open_nursery() as below:
                below.start_soon(self.limits.change, node)
                await self._call(callers)
                below.cancel_scope.cancel()
        else:
            await self._call(callers)
        if self.mood and self.chance.random() < 0.2:
            node.die()
        await self._stop(node, self.chance.choice([0, 1, 30]))

    async def _call(self, callers: Callers) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(2):
                nursery.start_soon(callers.call, f"caller {number + 1}", self.chance.randint(3, 30))

    async def _stop(self, node: SimulatedNode, seconds: float) -> None:
        self.say(node.name, "drains")
        node.executor.drain()
        with trio.move_on_after(seconds):
            await node.executor.stopped.wait()
        node.executor.hard_stop()
        await node.executor.stopped.wait()

    # Trouble and peace

    async def _make_trouble(self, machine: trio.Nursery) -> None:
        while True:
            await trio.sleep(self.chance.expovariate(1 / self.peace_seconds))
            if not self.nodes:
                continue
            node, seconds = self.chance.choice(self.nodes), self._trouble_seconds()
            match self.chance.choice(self.mood):
                case "stall":
                    self.say("server", f"stalls for {min(seconds, 5):g} s")
                    self.network.stall(min(seconds, 5))
                case "crash":
                    self._crash(min(seconds, 5))
                case "damage":
                    self._damage()
                case trouble:
                    await self._make_trouble_for(node, trouble, seconds, machine)

    async def _make_trouble_for(
        self, node: SimulatedNode, trouble: Trouble, seconds: float, machine: trio.Nursery
    ) -> None:
        match trouble:
            case "break":
                self._break(node)
            case "breaks":
                for _ in range(self.chance.randint(2, 4)):
                    self._break(node)
                    await trio.sleep(self.chance.uniform(1.5, 3))
            case "cut":
                self.say("network", f"cuts off {node.name} for {seconds:g} s")
                self.network.cut(node, seconds)
            case "pause":
                machine.start_soon(node.pause, seconds)
            case "descriptors":
                machine.start_soon(node.run_out_of_descriptors, seconds)

    def _break(self, node: SimulatedNode) -> None:
        self.say("network", f"breaks the connection of {node.name}")
        self.network.break_connections(node)

    def _trouble_seconds(self) -> float:
        if self.focus is None:
            return self.chance.choice(TROUBLE_SECONDS)
        return self.lease_seconds * self.chance.uniform(*self.focus.leases)

    def _crash(self, seconds: float) -> None:
        self.say("server", f"dies, for {seconds:g} s")
        self._crashes += 1
        if self.keeps == "all":
            self._write()
        nodes = set(self.network.server.data.get(f"{KEY}:nodes", {}))
        self.network.crash(seconds)
        self.ledger.forgot(self.network.server.data, nodes)
        self.requests.forgive(self._answers().keys())
        self.schedules.forgot(self.network.server.data)
        self.deliveries.forgot(self.network.server.data, self.now())
        self.limits.forgot(self.network.server.data, self.ledger.records())

    def _damage(self) -> None:
        """Have the server lose an entry, or a whole key, of what is derived from the records."""
        data = self.network.server.data
        key = self.chance.choice(DERIVED)
        entries: dict[str, object] = data.get(f"{KEY}:{key}", {})
        if not entries:
            return
        lost = sorted(entries) if self.chance.random() < 0.3 else [self.chance.choice(sorted(entries))]
        self.say("server", f"loses {', '.join(lost)} of {key}")
        self.network.server.data[f"{KEY}:{key}"] = {one: entries[one] for one in entries if one not in lost}
        self.ledger.damaged(data)

    async def _make_peace(self) -> None:
        await trio.sleep(60)  # what was cut off comes back
        self.say("world", "makes peace")
        self.network.delays = [0.0005]
        with trio.move_on_after(PEACE_SECONDS_MAX) as peace:
            node = self._make_node()
            await node.live(self._come_to_the_end)
            for _ in range(LIVES_MAX):
                if node.dead:
                    node = self._make_node()
                    await node.live(self._come_to_the_end)
            demand(not node.dead, "what kills its nodes is abandoned", LIVES_MAX)
        demand(not peace.cancelled_caught, "peace brings everything to its end", PEACE_SECONDS_MAX)
        self.ledger.all_done()
        self.deliveries.all_done(self.network.server.data)

    async def _come_to_the_end(self, node: SimulatedNode) -> None:
        if "damage" in self.mood:
            await trio.sleep(1)
            self._damage()  # which no node that joins later mends
        if self.limits.are_used:
            await self.limits.settle(node)
        while True:
            await trio.sleep(5)
            store = node.executor.statistics().store
            if not (store.pending or store.scheduled or store.running or store.deliveries):
                break
        await self._stop(node, 60)
