"""Changes of schedules: declare one, pause it, remove it, and fire it on request.

Each change reads the schedule, decides, and writes the result in the place of the generation that it has read. If
another caller has changed the schedule meanwhile, it begins anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

import msgspec

from ..errors import OwnedScheduleError, StoreUnavailableError, UnknownScheduleError
from ..stores.schedules import Definition, Firing, Owner, Schedule, ScheduleStep, ScheduleStore
from ..task import Task
from .params import task_at
from .times import check_times, next_time

T = TypeVar("T")

_ANY_TASK: Final = Task("any")

TRIES_MAX: Final = 20
"""How often a change begins anew because another caller was faster."""


class Declared(NamedTuple):
    """A declared schedule, and whether it is new, or differs from the one that was stored before."""

    schedule: Schedule
    is_new: bool
    is_changed: bool


async def declare(
    store: ScheduleStore, name: str, definition: Definition, *, owner: Owner = "api", paused: bool | None = None
) -> Declared:
    """Store a schedule. A definition equal to the stored one changes nothing.

    If ``every`` has no ``start_at``, the schedule keeps its ``start_at``; a new one begins now.

    Parameters:
        store: the schedules of a store.
        name: the name of the schedule.
        definition: what it does, and when.
        owner: who declares it; what a settings file has declared cannot be changed through the API.
        paused: whether its times are skipped; ``None`` leaves that as it is.

    Raises:
        InvalidScheduleError: the times are invalid; the error names the field.
        OwnedScheduleError: a settings file has declared the schedule, and the owner is the API.
        TooManySchedulesError: the store keeps no more schedules.
        StoreUnavailableError: the store could not make the schedule durable.
    """

    async def change() -> Declared | None:
        old, now = await _find(store, name), await store.now()
        wanted = with_start(definition, old, now)
        check_times(name, wanted, now)
        if old is None:
            new = Schedule(name, wanted, 0, next_time(name, wanted, now), owner, bool(paused))
        else:
            if old.owner == "file" and owner == "api":
                raise OwnedScheduleError(name)
            # A time that was missed is made up for if only the task has changed.
            upcoming = old.next if _times_of(wanted) == _times_of(old.definition) else next_time(name, wanted, now)
            paused_now = old.paused if paused is None else paused
            new = msgspec.structs.replace(old, definition=wanted, next=upcoming, owner=owner, paused=paused_now)
            if new == old:
                return Declared(old, is_new=False, is_changed=False)
        stored = await store.put(new)
        return None if stored is None else Declared(stored, is_new=old is None, is_changed=True)

    return await _until_done(name, change)


async def pause(store: ScheduleStore, name: str, paused: bool) -> Schedule:
    """Skip the times of a schedule from now on, or no longer; return the schedule.

    Raises:
        UnknownScheduleError: there is no such schedule.
        StoreUnavailableError: the store could not make the change durable.
    """

    async def change() -> Schedule | None:
        old = await store.get(name)
        return old if old.paused == paused else await store.put(msgspec.structs.replace(old, paused=paused))

    return await _until_done(name, change)


async def remove(store: ScheduleStore, name: str, *, owner: Owner = "api") -> None:
    """Remove a schedule; its tasks stay.

    Raises:
        UnknownScheduleError: there is no such schedule.
        OwnedScheduleError: a settings file has declared the schedule, and the owner is the API.
        StoreUnavailableError: the store could not make the change durable.
    """

    async def change() -> bool | None:
        old = await store.get(name)
        if old.owner == "file" and owner == "api":
            raise OwnedScheduleError(name)
        return await store.remove(name, old.generation) or None

    await _until_done(name, change)


async def fire_on_request(
    store: ScheduleStore, name: str, prepare: Callable[[Definition, float], Task] = task_at
) -> Firing:
    """Submit the task of a schedule now; return its verdict. The times of the schedule stay as they are.

    Parameters:
        store: the schedules of a store.
        name: the name of the schedule.
        prepare: returns the task to submit of a definition and a time; its exceptions are raised to the caller.

    Raises:
        UnknownScheduleError: there is no such schedule.
        StoreUnavailableError: the store could not make the task durable.
    """

    async def change() -> Firing | None:
        schedule, now = await store.get(name), await store.now()
        at = int(now * 1000) / 1000
        step = ScheduleStep(name, schedule.generation, None, at, None)
        return await store.fire(step, prepare(schedule.definition, at))

    return await _until_done(name, change)


async def _find(store: ScheduleStore, name: str) -> Schedule | None:
    try:
        return await store.get(name)
    except UnknownScheduleError:
        return None


def _times_of(definition: Definition) -> Definition:
    """Return a definition that is equal for all definitions with the same times."""
    return msgspec.structs.replace(definition, task=_ANY_TASK, catch_up="one", late_max=None)


def with_start(definition: Definition, old: Schedule | None, now: float) -> Definition:
    """Return a definition with a ``start_at`` if it needs one: that of the stored schedule, or now."""
    if definition.every is None or definition.start_at is not None:
        return definition
    start = None if old is None else old.definition.start_at
    if start is None:
        start = datetime.fromtimestamp(int(now * 1000) / 1000, UTC)
    return msgspec.structs.replace(definition, start_at=start)


async def _until_done(name: str, change: Callable[[], Awaitable[T | None]]) -> T:
    for _ in range(TRIES_MAX):
        done = await change()
        if done is not None:
            return done
    raise StoreUnavailableError(f"the schedule {name!r} is being changed by others: try again")
