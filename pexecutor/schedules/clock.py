"""``ScheduleClock``: the loop that fires the schedules of a store at their times.

The loop sleeps until the earliest next time by the store's clock, or until a schedule is changed. It looks again at
least every ``LOOK_SECONDS``, as a clock may be set; in a shared store more often, as another node may change a schedule
or die. Every node may run the loop: the store lets only one of them fire an occurrence.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

import msgspec
import trio

from ..errors import InvalidScheduleError, StoreUnavailableError
from ..limits.defaults import LOOK_SECONDS, SHORTEST_SECONDS
from ..observe.notify import notifier, safe_logger
from ..stores import Store
from ..stores.schedules import (
    SCHEDULES_MAX,
    Definition,
    DuePlace,
    DueSchedules,
    Fired,
    Firing,
    Schedule,
    ScheduleStep,
    ScheduleStore,
    Skipped,
    SkipReason,
)
from ..task import DRAINING, Full, Task, Verdict
from .changes import fire_on_request
from .decision import Fire, Skip, WaitUntil, after_clock_change, decide
from .params import task_at

SHARED_LOOK_SECONDS: Final = 1.0
"""The longest sleep in a shared store that has schedules, in seconds."""

SHARED_IDLE_SECONDS: Final = 10.0
"""The longest sleep in a shared store without schedules, in seconds."""

RETRY_SECONDS: Final = 1.0
"""How long to wait for room, or for a store in trouble, before the next try, in seconds."""

SET_BACK_SECONDS: Final = 1.0
"""By how much the store's clock may go back without a check of all next times, in seconds."""

SCHEDULES_A_LOOK: Final = 100
"""How many schedules are read at once."""

STEPS_AT_ONCE: Final = 32
"""How many schedules fire at the same time, so that they share the transactions of a store."""

FULL_MAX: Final = 32
"""The number of occurrences without room after which a look tries no more of them."""

FAULTS: Final = (InvalidScheduleError, ValueError, OverflowError)
"""The errors of times that cannot be computed: the system does not know the zone, or a year is out of range."""

_log: Final = safe_logger(__name__)


class ScheduleClock:
    """The firing loop of one node.

    Parameters:
        store: the store with the schedules.
        draining: set once nothing may fire any more; the next start treats the times of a drain as missed.
        knows: returns whether this node has a handler of a name at present.
        took: called with each task that was submitted, and its verdict.
        fill: returns a task with the defaults of its handler, except for the fields that were given.
        skip_targets: returns the targets that are notified if an occurrence that would submit a task is skipped.
        on_fire: called with the name of a schedule at each occurrence that fired.
        on_skip: called with the name of a schedule and each skip; a repeated skip has a ``count`` above 1.
    """

    def __init__(
        self,
        store: Store,
        *,
        draining: trio.Event,
        knows: Callable[[str], bool],
        took: Callable[[Task, Verdict], None],
        fill: Callable[[Task, Collection[str]], Task] = lambda task, _: task,
        skip_targets: Callable[[Task], tuple[str, ...]] = lambda _: (),
        on_fire: Callable[[str], None] = lambda _: None,
        on_skip: Callable[[str, Skipped], None] = lambda *_: None,
    ) -> None:
        self.fired: int = 0
        """How many occurrences this node has fired."""
        self.skipped: Counter[SkipReason] = Counter()
        """How many times this node has skipped an occurrence, by reason."""
        self.schedules: ScheduleStore = store.schedules
        """The schedules of the store. The functions of ``changes.py`` change them."""
        self._store = store
        self._draining = draining
        self._knows = knows
        self._took = took
        self._fill = fill
        self._skip_targets = skip_targets
        self._on_fire = on_fire
        self._on_skip = notifier(on_skip)
        self._changed = trio.Event()
        # Owned by the loop.
        self._seen_at: float | None = None
        """The time of its last turn by the store's clock."""
        self._is_shared = False
        self._missed_before = -math.inf
        self._invalid: set[int] = set()
        """The generations whose times could not be computed, each of which is logged once."""
        # Owned by one look at the due schedules.
        self._full = 0
        self._look_again_at = math.inf

    def wake(self) -> None:
        """Look at the schedules again: one has changed."""
        self._changed.set()

    async def fire_now(self, name: str, prepare: Callable[[Task], Task] = lambda task: task) -> Firing:
        """Submit the task of a schedule on request; return its verdict.

        Parameters:
            name: the name of the schedule.
            prepare: returns the task to submit; its exceptions are raised to the caller.

        Raises:
            UnknownScheduleError: there is no such schedule.
            StoreUnavailableError: the store could not make the task durable.
        """
        schedule = await self.schedules.get(name)
        if self._draining.is_set():
            return Firing(DRAINING, None)
        firing = await fire_on_request(self.schedules, name, lambda definition, at: prepare(self._task(definition, at)))
        self._note(name, schedule.definition.task, firing)
        return firing

    async def run(self) -> None:
        """Fire schedules until a drain begins."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._loop)
            await self._draining.wait()
            nursery.cancel_scope.cancel()  # the store does each step as a whole or not at all

    async def _loop(self) -> None:
        while True:
            self._changed = trio.Event()
            try:
                seconds = await self._turn()
            except StoreUnavailableError:  # the store reports its trouble itself
                seconds = RETRY_SECONDS
            with trio.move_on_after(seconds):
                await self._changed.wait()

    async def _turn(self) -> float:
        """Do what is due; return after how many seconds to look again."""
        now = await self.schedules.now()
        if self._seen_at is None:
            nodes = await self._store.nodes()
            self._is_shared = bool(nodes)
            self._missed_before = -math.inf if len(nodes) > 1 else now
        if self._seen_at is None or now < self._seen_at - SET_BACK_SECONDS:
            await self._correct_next_times()
        self._seen_at = now
        return self._seconds_until(await self._look())

    def _seconds_until(self, due: DueSchedules) -> float:
        next_at = min(self._look_again_at, math.inf if due.next_due_at is None else due.next_due_at)
        longest = LOOK_SECONDS
        if self._is_shared:
            longest = SHARED_IDLE_SECONDS if next_at == math.inf else SHARED_LOOK_SECONDS
        return max(SHORTEST_SECONDS, min(next_at - due.now, longest))

    async def _look(self) -> DueSchedules:
        """Fire or skip the schedules that are due; return the last answer of the store."""
        self._full, self._look_again_at = 0, math.inf
        after: DuePlace | None = None
        while True:
            due = await self.schedules.due(SCHEDULES_A_LOOK, after)
            await self._handle_all(due)
            if len(due.schedules) < SCHEDULES_A_LOOK:
                return due
            last = due.schedules[-1]
            assert last.next is not None, "it is due"
            after = DuePlace(last.next.due_at, last.name)

    async def _handle_all(self, due: DueSchedules) -> None:
        limiter = trio.CapacityLimiter(STEPS_AT_ONCE)
        failed: list[StoreUnavailableError] = []

        async def handle(schedule: Schedule) -> None:
            async with limiter:
                try:
                    await self._handle(schedule, due.now)
                except StoreUnavailableError as error:
                    failed.append(error)

        async with trio.open_nursery() as nursery:
            for schedule in due.schedules:
                nursery.start_soon(handle, schedule)
        if failed:
            raise failed[0]

    async def _handle(self, schedule: Schedule, now: float) -> None:
        knows = self._knows(schedule.definition.task.handler)
        try:
            decision = decide(schedule, now, knows_handler=knows, missed_before=self._missed_before)
        except FAULTS as error:
            self._note_invalid(schedule, error)
            return
        match decision:
            case Fire() if self._full < FULL_MAX:
                await self._fire(schedule, decision, now)
            case Fire():
                self._wait(now + RETRY_SECONDS)
            case Skip():
                await self._skip(schedule, decision)
            case WaitUntil():
                self._wait(decision.until)

    async def _fire(self, schedule: Schedule, decision: Fire, now: float) -> None:
        task = self._task(schedule.definition, decision.step.at)
        firing = await self.schedules.fire(self._with_targets(decision.step, schedule), task)
        if firing is None:
            self._look_once_more()
            return
        if not isinstance(firing.verdict, Full):
            self._note(schedule.name, task, firing)
            return
        self._full += 1
        if isinstance(decision.otherwise, Skip):
            await self._skip(schedule, decision.otherwise)
        else:
            self._wait(min(now + RETRY_SECONDS, decision.otherwise.until))

    def _task(self, definition: Definition, at: float) -> Task:
        """Return the task of an occurrence. Defaults are those of now, as for any task that is accepted now."""
        return self._fill(task_at(definition, at), definition.given)

    def _note(self, name: str, task: Task, firing: Firing) -> None:
        self._took(task, firing.verdict)
        match firing.occurrence:
            case Fired():
                self.fired += 1
                self._on_fire(name)
            case Skipped() as skipped:
                self._note_skip(name, skipped)

    async def _skip(self, schedule: Schedule, decision: Skip) -> None:
        skipped = await self.schedules.skip(self._with_targets(decision.step, schedule), decision.reason)
        if skipped is None:
            self._look_once_more()
        else:
            self._note_skip(schedule.name, skipped)

    def _look_once_more(self) -> None:
        """Look again: another node was faster or has changed the schedule, so this node does not know its next time.

        Otherwise this node could sleep past that time, and no node would fire if the faster node died.
        """
        self.wake()

    def _with_targets(self, step: ScheduleStep, schedule: Schedule) -> ScheduleStep:
        """Return a step with the targets that are notified if it records a new skip."""
        targets = self._skip_targets(schedule.definition.task)
        return msgspec.structs.replace(step, targets=targets) if targets else step

    def _note_skip(self, name: str, skipped: Skipped) -> None:
        self.skipped[skipped.reason] += 1
        self._on_skip(name, skipped)

    def _wait(self, until: float) -> None:
        self._look_again_at = min(self._look_again_at, until)

    def _note_invalid(self, schedule: Schedule, error: Exception) -> None:
        if schedule.generation not in self._invalid:
            if len(self._invalid) >= SCHEDULES_MAX:
                self._invalid.clear()
            self._invalid.add(schedule.generation)
            _log.error("the schedule %r cannot fire: %s", schedule.name, error)

    async def _correct_next_times(self) -> None:
        """Compute next times anew that lie too far ahead, because the clock was set back."""
        after: str | None = None
        while page := await self.schedules.page(SCHEDULES_A_LOOK, after):
            now = await self.schedules.now()
            for schedule in page:
                await trio.lowlevel.checkpoint()  # ten thousand schedules take a second
                try:
                    corrected = after_clock_change(schedule, now)
                except FAULTS as error:
                    self._note_invalid(schedule, error)
                    continue
                if corrected is not None:
                    await self.schedules.put(corrected)
            after = page[-1].name
