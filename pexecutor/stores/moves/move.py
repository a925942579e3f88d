"""Moving the tasks of one store to another: with their names held at every instant, and to one place only.

A move has three steps, and each is made as a whole or not at all:

1. The source is *sealed*: a mark in it names the target. From here on nobody serves it.
2. The target *adopts* every task, and the mark that this move has arrived; until that is there, nobody serves it.
3. The source lets go of its tasks, and its mark says where they are.

So a task can run in the source before the first step and in the target after the second, and nowhere in between. When
the process dies, the same command goes on: the source knows of the move, and whether the target has its mark tells
which steps are left. Before the second step is made it can be undone.

Ids stay what they are when the target has given out none of its own: it goes on with the tag and the numbers of the
source. Road not taken: a store that knows the ids of several tags would have to look each one up.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec

from ...errors import UnusableStoreError
from ...task import Finished, Following, Record, Running, make_serial
from ..sqlite.database import StoreIdentity
from .marks import Mark, Role, check_not_sealed

NAMES_SHOWN_MAX: Final = 3

More = Callable[[], Awaitable[Sequence[Record]]]
"""Gives some more records with each call, in order of acceptance; none at the end."""


class Side(Protocol):
    """A store that nobody serves, while tasks are moved out of it or into it.

    Each method raises ``UnusableStoreError`` when it cannot be done, and then nothing of it is.
    """

    @property
    def shown(self) -> str:
        """What it is called."""

    async def identity(self) -> StoreIdentity:
        """Its tag, and how many tasks it has accepted; 0 also when it is not there yet."""

    async def marks(self) -> list[Mark]:
        """What earlier moves have left in it."""

    async def read(self, after: int) -> Sequence[Record]:
        """Some of its records, in order of acceptance: the first ones behind this serial; none at the end."""

    async def recover(self) -> None:
        """Do about tasks that ran when their process died what a start would do."""

    async def seal(self, mark: Mark) -> None:
        """Leave this mark, durably."""

    async def unseal(self, mark: Mark) -> None:
        """Take back a mark, and what has come here with it."""

    async def adopt(self, mark: Mark, identity: StoreIdentity, more: More) -> None:
        """Take over tasks, all of them or none, and leave the mark in the same step.

        What an earlier try of the same move has left here goes first, and so does the mark of one that went away.
        """

    async def let_go(self, mark: Mark) -> None:
        """Drop the tasks in flight, and with them the finished ones if they went along, and leave the mark."""


class Terms(msgspec.Struct, frozen=True):
    """How a move is to be made.

    Parameters:
        queue_size: how many tasks may wait in the target.
        history: whether finished tasks go along.
        recover: whether to do about tasks that ran when their process died what a start would do.
        new_ids: whether tasks may get new ids.
    """

    queue_size: int = 1000
    history: bool = False
    recover: bool = False
    new_ids: bool = False


class Moved(msgspec.Struct, frozen=True):
    """What was moved, or would be.

    Parameters:
        source, target: the stores.
        in_flight: how many tasks, by state.
        history: finished tasks that were moved.
        history_left: finished tasks that stay in the source, where nobody can read them.
        ids_kept: whether each has the id that it had.
    """

    source: str
    target: str
    in_flight: dict[str, int]
    history: int
    history_left: int
    ids_kept: bool


async def move(source: Side, target: Side, terms: Terms, *, dry_run: bool = False) -> Moved:
    """Move the tasks of a store; or with ``dry_run`` see whether they could be, and change nothing.

    Raises:
        UnusableStoreError: they cannot be; says what to do first.
    """
    begun = await _begun(source, target)
    if begun is not None:
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
        UnusableStoreError: there is none, or it has arrived.
    """
    begun = await _begun(source, target)
    if begun is None:
        raise UnusableStoreError(f"{source.shown} is not being moved: there is nothing to undo")
    if await _has_arrived(begun, target):
        raise UnusableStoreError(
            f"the tasks are in {target.shown} already: complete the move with the same command without --undo"
        )
    await target.unseal(msgspec.structs.replace(begun, role=Role.ARRIVING, other=source.shown))
    await source.unseal(begun)


# What is there


class _Found:
    """What a store holds."""

    def __init__(self) -> None:
        self.in_flight: Counter[str] = Counter()  # how many, by state
        self.history = 0
        self.running: list[str] = []
        self.held: set[str] = set()

    def count(self, record: Record) -> None:
        """Count a record in."""
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
    return found


async def _begun(source: Side, target: Side) -> Mark | None:
    """The move that the source knows of."""
    if source.shown == target.shown:
        raise UnusableStoreError(f"{source.shown} cannot be moved to itself")
    for mark in await source.marks():
        match mark.role:
            case Role.LEAVING if mark.other != target.shown:
                raise UnusableStoreError(
                    f"{source.shown} is being moved to {mark.other}: complete that first, or take it back with --undo"
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
    )


# What stands against it


def _check_source(source: Side, found: _Found, terms: Terms) -> None:
    if found.running and not terms.recover:
        raise UnusableStoreError(
            f"{_some(found.running)} in {source.shown} ran when the server died: start it once and stop it, "
            "or add --recover, which does about them what a start would do"
        )


def _check_ids(moved: Moved, terms: Terms) -> None:
    if not (moved.ids_kept or terms.new_ids):
        raise UnusableStoreError(
            f"{moved.target} has given out ids of its own, so that the tasks would get new ones: "
            "name a new store, or add --new-ids"
        )


async def _check_target(source: Side, target: Side, found: _Found, terms: Terms) -> None:
    for mark in await target.marks():
        if mark.role is Role.LEAVING or (mark.role is Role.ARRIVING and mark.other != source.shown):
            check_not_sealed([mark], target.shown)
        if mark.role is Role.ARRIVING:
            return  # what is there is this move's own, and goes first
    there = await _survey(target)
    if there.held:
        both = sorted(there.held & found.held)
        shown = f"and the name {both[0]!r} is held in both" if both else f"{_some(sorted(there.held))}"
        raise UnusableStoreError(f"{target.shown} has tasks in flight, {shown}: name a store that has none")
    waiting = sum(found.in_flight.values())
    if waiting > terms.queue_size:
        raise UnusableStoreError(
            f"{waiting} tasks wait in {source.shown} and the queue of {target.shown} has {terms.queue_size} places: "
            f"give it more, and say so with --queue-size {waiting}"
        )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:NAMES_SHOWN_MAX])) + (", ..." if len(names) > NAMES_SHOWN_MAX else "")
    return f"{len(names)} tasks ({shown})" if len(names) > 1 else f"a task ({shown})"


# What goes over


async def _hand_over(source: Side, target: Side, begun: Mark, *, ids_kept: bool) -> None:
    here, there = await source.identity(), await target.identity()
    mark = msgspec.structs.replace(begun, role=Role.ARRIVED, other=source.shown)
    if ids_kept:
        identity = StoreIdentity(here.tag, max(here.acceptances, there.acceptances))
        await target.adopt(mark, identity, reader(source, history=begun.history))
    else:
        renumbering = _Renumbering(there)
        await renumbering.read(reader(source, history=begun.history))
        await target.adopt(mark, renumbering.identity, renumbering.of(reader(source, history=begun.history)))


def reader(side: Side, *, history: bool) -> More:
    """What reads a store once, in order of acceptance; finished tasks with ``history`` only."""
    last = 0

    async def more() -> list[Record]:
        nonlocal last
        while some := await side.read(after=last):
            last = some[-1].serial
            if wanted := [record for record in some if history or not isinstance(record, Finished)]:
                return wanted
        return []

    return more


class _Renumbering:
    """New serials in the old order; ``identity`` is that of the target, behind the last of them."""

    def __init__(self, identity: StoreIdentity) -> None:
        self.identity = identity
        self._serials: dict[int, int] = {}

    async def read(self, more: More) -> None:
        """Give every record its number."""
        while some := await more():
            for record in some:
                self.identity = self.identity._replace(acceptances=self.identity.acceptances + 1)
                self._serials[record.serial] = make_serial(*self.identity)

    def of(self, more: More) -> More:
        """The same records with their new serials."""

        async def renumbered() -> list[Record]:
            return [self._with_new_serials(record) for record in await more()]

        return renumbered

    def _with_new_serials(self, record: Record) -> Record:
        serial = self._serials[record.serial]
        if isinstance(record, Following):
            return msgspec.structs.replace(record, serial=serial, follows=self._serials[record.follows])
        return msgspec.structs.replace(record, serial=serial)
