"""The store contract for limits and pauses: the nouns, and the steps in which a store changes them.

A *limit* bounds how many tasks run at the same time. A store knows only its name and its number. A *limit key* is a
limit with the value for which it counts, for example the limit ``api`` of the account ``acme``. This text is a part of
the contract in ``pexecutor.stores``, and a store can be written from it.

**Keys.** When a store accepts a task, it calls ``Watcher.limit_keys`` with the task, and keeps the answer with the
record (``Rare.limit_keys``): the keys in ascending order, without repetition, at most ``LIMIT_KEYS_MAX``. When
``latest`` replaces the content of a waiting task or follower, the keys of the new content replace the old ones.
Everything else that changes a record keeps its keys, and so do a restart and a move. Besides the keys of its record,
every task has the key of its handler, ``handler_key``. It is not stored.

**Slots.** A running task uses one slot of each of its keys. Nothing else uses a slot: the slots in use of a key are the
running records that have the key, at every instant, over all nodes. So every step that ends, retries, releases,
abandons or takes away a running task also frees its slots, and after a restart the running records decide.

**Numbers.** A limit key can have a *number*, at least 1: at most so many of its slots are in use when a task starts.
All keys of one limit have the same number. A key without a number bounds nothing. ``set_numbers`` replaces the numbers
of all limits, and the numbers of the handlers that the call names (``None``: no number). The numbers of other handlers
stay, so a node that does not know a handler does not lift its number. The numbers are durable when ``set_numbers``
returns, and count from then on: a higher one lets waiting tasks start, a lower one lets running tasks end. On a shared
store the last call decides for all nodes.

**Pauses.** ``pause`` pauses one handler, or everything (``None``). ``resume`` ends that pause, and no other one. While
everything or its handler is paused, no task starts; submits and running tasks go on. A pause is durable when ``pause``
returns, holds on all nodes, and survives a restart and a move. Pausing something that is paused changes nothing, not
even ``since`` and ``by``; so does resuming something that is not paused. Both return all pauses, and whether they
changed anything. Neither costs more because many tasks wait.

**Bound.** A store keeps at most ``LIMIT_SETTINGS_MAX`` settings: a number for each limit and for each handler that has
one, a pause for each handler that is paused, and the pause of everything. ``set_numbers`` and ``pause`` raise
``TooManyLimitsError`` and change nothing if there would be more settings than the bound, and more than before. A move
takes all settings along.

**Claim.** A pending task is *startable* on a node if neither everything nor its handler is paused, the node knows its
handler, and each of its keys has a free slot or no number. A claim starts the startable tasks in start order: the
highest priority first, then in acceptance order. It takes all slots of a task in the step that starts the task, or
none. So a limit is never exceeded, also if several nodes claim at the same time.

* A task that is not startable stays pending at its place, and holds back no task but those that wait for the same slot.
* Of the tasks with equal keys and priority, the one that was accepted first starts first.
* A node knows the handlers in ``Watcher.handlers``; ``None`` stands for any handler. A node of a shared store reports
  them to the other nodes. A node whose handlers have changed calls ``watch`` again.
* ``claim`` returns once a task becomes startable: because a task ended, a number grew, a pause ended, or the node knows
  another handler. In a shared store this includes the changes through other nodes.

**Lanes.** The cost of a claim does not grow with the number of tasks that are not startable. For this, pending tasks
wait in *lanes*: one for each set of a handler and limit keys, in start order. A claim looks at the first tasks of
lanes alone. A lane whose first task lacks a free slot of some key waits for that key, and is looked at again when the
key has one. A step looks in vain at no more than ``LANES_A_STEP_MAX`` lanes; the next claim goes on from there.
Lanes and slots are indexes: they derive from records, and are not a part of the stored form.

**Why.** ``why`` returns the reasons for which a task does not run, in the order of ``Reason``, each of which alone
would delay its start. A running or finished task has none. ``why`` reads in one step, and scans no tasks. It raises
``UnknownTaskError`` and ``ExpiredTaskError``, as ``get`` does.

* ``StoreTrouble``: changes cannot be made durable at present.
* ``NodeDraining``, ``NoSuchHandler`` and ``PoolBusy``: every live node drains, does not know the handler, or has no
  idle worker. They follow from what the nodes report (``Watcher.describe`` and ``Watcher.handlers``); a node without a
  pool (``pool_size`` 0) does not count as busy.
* ``Follows``: the task follows the task of this id. ``Due``: the task is not due.
* ``Paused``: one for everything, then one for the handler. ``AtLimit``: one for each key without a free slot, the
  handler's key first, then in the order of the keys; with the ids of at most ``HOLDERS_SHOWN_MAX`` tasks that use
  the slots.
* ``Ahead``: for a pending task, the number of tasks that start before this one, unless it is 0. Tasks of handlers that
  are paused, unknown or at their number do not count. Tasks with keys count whether or not their keys have a free slot.

**Missing handlers.** ``handlers_missing_from`` returns how many tasks in flight need each handler that is not among the
given ones; ``arriving`` has tasks that count, too. It is empty unless such tasks make the store unusable when it is
opened, as they never do in a shared store. The method neither awaits nor changes anything.

**State.** ``state`` returns the numbers, the pauses and the slots in use, as of one instant. ``blocked_by`` computes
from it which pauses and limits block a task. ``StoreStatistics.limits`` is the latest state that the node
knows.

**Lifetime and damage.** A durable store restores numbers and pauses before a task starts. A stored number or pause that
is not valid is set aside and counted, like a task. A cancelled call leaves all of a step or nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Annotated, Final, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from ..errors import TooManyLimitsError
from ..limits.defaults import LIMIT_SETTINGS_MAX
from ..limits.keys import LimitKey
from ..task import NAME_BYTES_MAX, Record, Task

LIMIT_KEYS_MAX: Final = 10
"""How many limit keys a task can have."""

LANES_A_STEP_MAX: Final = 64
"""How many lanes a claim looks at in vain before it returns what it has found."""

HOLDERS_SHOWN_MAX: Final = 10
"""How many ids of the tasks that use the slots of a key ``why`` returns."""

HANDLER_LIMIT: Final = ""
"""The limit of the keys of handlers; declared limits have a name."""

Number = Annotated[int, Meta(ge=1)]
Text = Annotated[str, Meta(max_length=NAME_BYTES_MAX)]


def no_limit_keys(_: Task) -> tuple[LimitKey, ...]:
    """Return no limit keys, for a node without limits."""
    return ()


def handler_key(handler: str) -> LimitKey:
    """Return the key that every task of a handler has."""
    return LimitKey(HANDLER_LIMIT, handler)


def keys_of(record: Record) -> tuple[LimitKey, ...]:
    """Return all limit keys of a task: that of its handler, and those that were kept at its acceptance."""
    own = (handler_key(record.task.handler),)
    return own if record.rare is None else own + record.rare.limit_keys


class LimitNumbers(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many tasks may run at the same time.

    Parameters:
        limits: the number for each key of a limit, by the name of the limit.
        handlers: the number for each handler.
    """

    limits: dict[Text, Number] = {}
    handlers: dict[Text, Number] = {}

    def of(self, key: LimitKey) -> int | None:
        """Return the number of a key, or ``None`` if it has none."""
        return self.handlers.get(key.value) if key.limit == HANDLER_LIMIT else self.limits.get(key.limit)

    def __bool__(self) -> bool:
        return bool(self.limits or self.handlers)

    def replaced_by(self, limits: Mapping[str, int], handlers: Mapping[str, int | None]) -> LimitNumbers:
        """Return the numbers after ``set_numbers``."""
        named = {**self.handlers, **handlers}
        return LimitNumbers(dict(limits), {name: number for name, number in named.items() if number is not None})


class TaskPause(msgspec.Struct, frozen=True):
    """A pause of the tasks of one handler, or of everything.

    Parameters:
        handler: the handler; ``None`` for everything.
        since: when it began, in seconds since 1970.
        by: who asked for it, in words that can be shown.
    """

    handler: Text | None
    since: float
    by: Text


class PauseChange(NamedTuple):
    """The answer of ``pause`` and ``resume``.

    Parameters:
        changed: whether the call has changed anything.
        pauses: all pauses after the call: that of everything first, the others by handler.
    """

    changed: bool
    pauses: tuple[TaskPause, ...]


class LimitState(msgspec.Struct, frozen=True):
    """The numbers, the pauses, and the slots in use, as of one instant.

    Parameters:
        numbers: the numbers of limits and handlers.
        pauses: all pauses: that of everything first, the others by handler.
        slots: the number of slots in use, for each key that has a number and a running task.
    """

    numbers: LimitNumbers = LimitNumbers()
    pauses: tuple[TaskPause, ...] = ()
    slots: dict[LimitKey, int] = {}

    def is_full(self, key: LimitKey) -> bool:
        """Return whether a key has no free slot."""
        number = self.numbers.of(key)
        return number is not None and self.slots.get(key, 0) >= number


NO_LIMITS: Final = LimitState()


def too_many_limits() -> TooManyLimitsError:
    """Return the error for one more setting than a store keeps."""
    return TooManyLimitsError(
        f"the store keeps at most {LIMIT_SETTINGS_MAX} limits, numbers of handlers and pauses together: "
        "remove some first"
    )


def in_order(pauses: Iterable[TaskPause]) -> tuple[TaskPause, ...]:
    """Return pauses in the order in which a store returns them."""
    return tuple(sorted(pauses, key=lambda pause: (pause.handler is not None, pause.handler or "")))


class StoreTrouble(msgspec.Struct, frozen=True, tag="store_trouble", tag_field="reason"):
    """The store cannot make changes durable at present; ``trouble`` says why."""

    trouble: str


class NodeDraining(msgspec.Struct, frozen=True, tag="draining", tag_field="reason"):
    """Every live node drains and starts nothing."""


class NoSuchHandler(msgspec.Struct, frozen=True, tag="no_such_handler", tag_field="reason"):
    """No live node knows the handler of the task."""

    handler: str


class Follows(msgspec.Struct, frozen=True, tag="follows", tag_field="reason"):
    """The task waits until the task of this id has ended."""

    id: str


class Due(msgspec.Struct, frozen=True, tag="due", tag_field="reason"):
    """The task is due at ``until``, in seconds since 1970."""

    until: float


class Paused(msgspec.Struct, frozen=True, tag="paused", tag_field="reason"):
    """Everything or the handler is paused."""

    pause: TaskPause


class AtLimit(msgspec.Struct, frozen=True, tag="limit", tag_field="reason", omit_defaults=True):
    """A limit key has no free slot.

    Parameters:
        key: the key.
        number: the number of the key.
        ids: the ids of some tasks that use the slots; only ``why`` gives them.
    """

    key: LimitKey
    number: int
    ids: tuple[str, ...] = ()


class Ahead(msgspec.Struct, frozen=True, tag="ahead", tag_field="reason"):
    """Other tasks start before this one.

    Parameters:
        tasks: how many.
        exact: whether none of them has limit keys; otherwise some of them may have to wait longer than this task.
    """

    tasks: int
    exact: bool


class PoolBusy(msgspec.Struct, frozen=True, tag="pool_busy", tag_field="reason"):
    """No live node has an idle worker."""


Reason = StoreTrouble | NodeDraining | NoSuchHandler | Follows | Due | Paused | AtLimit | Ahead | PoolBusy
"""Why a task does not run. ``why`` returns reasons in this order."""

Block = Paused | AtLimit


class LimitStore(Protocol):
    """The operations on the limits of a store; the docstring of this module says what each one guarantees."""

    async def set_numbers(self, limits: Mapping[str, int], handlers: Mapping[str, int | None]) -> None: ...

    async def pause(self, handler: str | None, by: str) -> PauseChange: ...

    async def resume(self, handler: str | None) -> PauseChange: ...

    async def state(self) -> LimitState: ...

    async def why(self, task_id: str) -> tuple[Reason, ...]: ...

    def handlers_missing_from(self, known: Container[str], arriving: Iterable[Task] = ()) -> dict[str, int]: ...


def blocked_by(record: Record, state: LimitState) -> tuple[Block, ...]:
    """Return the pauses and the limits that would block a task, in the order of ``Reason``."""
    return (*_pauses_of(record, state), *_full_keys_of(record, state))


def _pauses_of(record: Record, state: LimitState) -> Iterator[Paused]:
    for pause in state.pauses:
        if pause.handler in (None, record.task.handler):
            yield Paused(pause)


def _full_keys_of(record: Record, state: LimitState) -> Iterator[AtLimit]:
    for key in keys_of(record):
        if state.is_full(key):
            yield AtLimit(key, state.numbers.of(key) or 0)
