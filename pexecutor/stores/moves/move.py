"""Moving the tasks, schedules and deliveries of one store to another, to one place only, with all names held meanwhile.

A move has three atomic steps:

1. The source is *sealed*: a mark in it names the target. From now on the source cannot be served.
2. The target *adopts* every task, and the mark that this move has arrived. Until then the target cannot be served.
3. The source drops its tasks, and its mark says where they are.

So a task can run in the source before step 1, in the target after step 2, and nowhere in between. If the process dies,
the same command continues the move: the source knows the move, and the target's mark tells which steps are left. Before
step 2 the move can be undone.

Ids are kept if the target has not given out any ids: then it continues with the tag and the numbers of the source. Road
not taken: a store that knows the ids of several tags would have to look up each id.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from ...errors import UnusableStoreError, counted
from ...limits.defaults import QUEUE_SIZE
from ...task import Finished, Following, Record, Running
from ..answers import KeyedAnswer
from ..deliveries import Delivery
from ..local.limit_settings import LimitChange
from ..schedules import Schedule
from ..sqlite.database import StoreIdentity
from .marks import Mark, Role, check_not_sealed
from .renumbering import More, Renumbering

NAMES_SHOWN_MAX: Final = 3


class Side(Protocol):
    """A store that is not served, while tasks are moved out of it or into it.

    If a step fails, its method raises ``UnusableStoreError`` and changes nothing.
    """

    @property
    def shown(self) -> str:
        """The store, as messages show it."""

    async def identity(self) -> StoreIdentity:
        """Return the store's tag, and how many tasks it has accepted; 0 also if it does not exist yet."""

    async def marks(self) -> list[Mark]:
        """Return the marks of earlier moves."""

    async def read(self, after: int) -> Sequence[Record]:
        """Return the next records after this serial, in order of acceptance; an empty list at the end."""

    async def schedules(self) -> Sequence[Schedule]:
        """Return every schedule."""

    async def recover(self) -> None:
        """Recover tasks that ran when their process died, as the start of a server would."""

    async def seal(self, mark: Mark) -> None:
        """Leave a mark, durably."""

    async def unseal(self, mark: Mark) -> None:
        """Remove a mark, and what has arrived with it."""

    async def answers(self) -> Sequence[KeyedAnswer]:
        """Return the remembered answers, the oldest first."""

    async def deliveries(self) -> Sequence[Delivery]:
        """Return every delivery."""

    async def limits(self) -> Sequence[LimitChange]:
        """Return the numbers of limits and the pauses, with their keys."""

    async def adopt(
        self,
        mark: Mark,
        identity: StoreIdentity,
        more: More,
        *,
        schedules: Sequence[Schedule] = (),
        answers: Sequence[KeyedAnswer] = (),
        deliveries: Sequence[Delivery] = (),
        limits: Sequence[LimitChange] = (),
    ) -> None:
        """Take over all tasks and what is kept beside them, or nothing, and leave the mark in one step.

        First remove what an earlier try of this move has left here, and the mark of a move that left here.
        """

    async def let_go(self, mark: Mark) -> None:
        """Drop what was moved: what is kept beside tasks, tasks in flight, maybe finished ones; leave the mark."""


class Terms(msgspec.Struct, frozen=True):
    """The options of a move.

    Parameters:
        queue_size: how many tasks may wait in the target.
        history: whether to move finished tasks too.
        recover: whether to recover tasks that ran when their process died, as the start of a server would.
        new_ids: whether tasks may get new ids.
    """

    queue_size: int = QUEUE_SIZE
    history: bool = False
    recover: bool = False
    new_ids: bool = False


class Moved(msgspec.Struct, frozen=True):
    """The result of a move, or of its dry run.

    Parameters:
        source, target: the stores.
        in_flight: the number of tasks in flight, by state.
        history: the number of finished tasks that were moved.
        history_left: the number of finished tasks that stay in the source, where they can no longer be read.
        ids_kept: whether all tasks keep their ids.
        schedules: the number of schedules.
        deliveries: the number of deliveries.
    """

    source: str
    target: str
    in_flight: dict[str, int]
    history: int
    history_left: int
    ids_kept: bool
    schedules: int = 0
    deliveries: int = 0


async def move(source: Side, target: Side, terms: Terms, *, dry_run: bool = False) -> Moved:
    """Move the tasks of a store; with ``dry_run``, only check whether that is possible.

    Raises:
        UnusableStoreError: the move is not possible; the message says what to do first.
    """
    begun = await _begun(source, target)
    if begun is not None:  # what is moved was decided when the move began
        terms = msgspec.structs.replace(terms, history=begun.history)
    found = await _survey(source)
    moved = await _plan(source, target, terms, found)
    has_arrived = begun is not None and await _has_arrived(begun, target)
    if not has_arrived:
        _check_source(source, found, terms)
        await _check_target(source, target, found, terms)
        _check_ids(moved, terms)
    if dry_run:
        return moved
    if found.running:
        await source.recover()
        moved = await _plan(source, target, terms, await _survey(source))
    begun = begun or Mark(secrets.token_hex(8), Role.LEAVING, target.shown, terms.history)
    if not has_arrived:
        await source.seal(begun)
        await _hand_over(source, target, begun, ids_kept=moved.ids_kept)
    await source.let_go(msgspec.structs.replace(begun, role=Role.LEFT))
    return moved


async def undo(source: Side, target: Side) -> None:
    """Take back a move that has not arrived, so that the source can be served again.

    Raises:
        UnusableStoreError: no move is under way, or the move has arrived.
    """
    begun = await _begun(source, target)
    if begun is None:
        raise UnusableStoreError(f"{source.shown} is not being moved: there is nothing to undo")
    if await _has_arrived(begun, target):
        raise UnusableStoreError(
            f"the tasks are in {target.shown} already: complete the move with the same command without --undo"
        )
    # The target first: as long as the source has its mark, an interrupted undo can be repeated.
    await target.unseal(msgspec.structs.replace(begun, role=Role.ARRIVING, other=source.shown))
    await source.unseal(begun)


# The state of both stores


class _Found:
    """The contents of a store."""

    def __init__(self) -> None:
        self.in_flight: Counter[str] = Counter()  # how many, by state
        self.history = 0
        self.running: list[str] = []
        self.held: set[str] = set()
        self.schedules: Sequence[Schedule] = ()
        self.deliveries = 0

    def count(self, record: Record) -> None:
        """Count a record."""
        name = record.task.name
        match record:
            case Finished():
                self.history += 1
                return
            case Following():
                self.in_flight["following"] += 1
                return
            case Running():
                self.running.append(name)
        self.in_flight[record.state.value] += 1
        if name in self.held:
            raise UnusableStoreError(f"two tasks claim the name {name!r}: `pexecutor db export` saves the tasks")
        self.held.add(name)


async def _survey(side: Side) -> _Found:
    found = _Found()
    more = reader(side, history=True)
    while some := await more():
        for record in some:
            found.count(record)
    found.schedules = await side.schedules()
    found.deliveries = len(await side.deliveries())
    return found


async def _begun(source: Side, target: Side) -> Mark | None:
    """Return the mark of a move from the source to the target that is under way, or ``None``."""
    if source.shown == target.shown:
        raise UnusableStoreError(f"{source.shown} cannot be moved to itself")
    for mark in await source.marks():
        match mark.role:
            case Role.LEAVING if mark.other != target.shown:
                raise UnusableStoreError(
                    f"{source.shown} is being moved to {mark.other}: complete that move first, or take it back with "
                    "--undo"
                )
            case Role.LEAVING:
                return mark
            case Role.LEFT | Role.ARRIVING:
                check_not_sealed([mark], source.shown)
    return None


async def _has_arrived(begun: Mark, target: Side) -> bool:
    return any(mark.move == begun.move and mark.role is Role.ARRIVED for mark in await target.marks())


async def _plan(source: Side, target: Side, terms: Terms, found: _Found) -> Moved:
    here, there = await source.identity(), await target.identity()
    return Moved(
        source.shown,
        target.shown,
        dict(found.in_flight),
        found.history if terms.history else 0,
        0 if terms.history else found.history,
        ids_kept=there.acceptances == 0 or there.tag == here.tag,
        schedules=len(found.schedules),
        deliveries=found.deliveries,
    )


# Checks


def _check_source(source: Side, found: _Found, terms: Terms) -> None:
    if found.running and not terms.recover:
        raise UnusableStoreError(
            f"{_some(found.running)} in {source.shown} ran when the server died: start a server on it once and stop "
            "the server, or add --recover, which recovers the tasks as a start would"
        )


def _check_ids(moved: Moved, terms: Terms) -> None:
    if not (moved.ids_kept or terms.new_ids):
        raise UnusableStoreError(
            f"{moved.target} has given out ids of its own, so the tasks would get new ids: "
            "use a new store, or add --new-ids"
        )


async def _check_target(source: Side, target: Side, found: _Found, terms: Terms) -> None:
    for mark in await target.marks():
        if mark.role is Role.LEAVING or (mark.role is Role.ARRIVING and mark.other != source.shown):
            check_not_sealed([mark], target.shown)
        if mark.role is Role.ARRIVING:
            return  # its tasks came from this move, and are dropped first
    there = await _survey(target)
    if there.held:
        both = sorted(there.held & found.held)
        shown = f"and the name {both[0]!r} is held in both" if both else f"{_some(sorted(there.held))}"
        raise UnusableStoreError(f"{target.shown} has tasks in flight, {shown}: use a store without tasks in flight")
    if found.schedules and there.schedules:
        raise UnusableStoreError(
            f"{target.shown} has schedules of its own, such as {there.schedules[0].name!r}: remove them first, "
            "or use a store without schedules"
        )
    waiting = sum(found.in_flight.values())
    if waiting > terms.queue_size:
        raise UnusableStoreError(
            f"{counted(waiting, 'task waits', 'tasks wait')} in {source.shown}, and the queue of {target.shown} has "
            f"{counted(terms.queue_size, 'place')}: "
            f"give the target a larger queue, and pass --queue-size {waiting}"
        )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:NAMES_SHOWN_MAX])) + (", ..." if len(names) > NAMES_SHOWN_MAX else "")
    return f"{len(names)} tasks ({shown})" if len(names) > 1 else f"a task ({shown})"


# The handover


async def _hand_over(source: Side, target: Side, begun: Mark, *, ids_kept: bool) -> None:
    here, there = await source.identity(), await target.identity()
    mark = msgspec.structs.replace(begun, role=Role.ARRIVED, other=source.shown)
    more, identity = reader(source, history=begun.history), StoreIdentity(here.tag, max(here[1], there[1]))
    schedules, answers, deliveries = await source.schedules(), await source.answers(), await source.deliveries()
    if not ids_kept:
        renumbering = Renumbering(there)
        await renumbering.read(more)
        more = renumbering.of(reader(source, history=begun.history))
        answers, deliveries = renumbering.of_answers(answers), renumbering.of_deliveries(deliveries)
        identity = renumbering.identity
    limits = await source.limits()
    await target.adopt(mark, identity, more, schedules=schedules, answers=answers, deliveries=deliveries, limits=limits)


def reader(side: Side, *, history: bool) -> More:
    """Return a function that reads a store once, in order of acceptance; finished tasks only with ``history``."""
    last = 0

    async def more() -> list[Record]:
        nonlocal last
        while some := await side.read(after=last):
            last = some[-1].serial
            if wanted := [record for record in some if history or not isinstance(record, Finished)]:
                return wanted
        return []

    return more
