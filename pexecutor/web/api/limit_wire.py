"""The JSON of limits and pauses, and of the reasons for which a task does not run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...core.statistics import Statistics
from ...errors import counted
from ...handlers.catalogue import HandlerView
from ...limits.keys import LimitKey
from ...observe.events import TasksPaused, TasksResumed
from ...observe.histogram import Histogram
from ...observe.timeline import Percentiles
from ...stores import StoreStatistics
from ...stores.limits import (
    HANDLER_LIMIT,
    NO_LIMITS,
    Ahead,
    AtLimit,
    Due,
    Follows,
    LimitState,
    NodeDraining,
    NoSuchHandler,
    Paused,
    PoolBusy,
    Reason,
    StoreTrouble,
    TaskPause,
    blocked_by,
)
from ...task import Outcome, Pending, Record
from .wire import TaskId, TaskView, Timestamp, timestamp

ReasonWord = Literal[
    "store_trouble", "draining", "no_such_handler", "follows", "due", "paused", "limit", "ahead", "pool_busy"
]
What = Literal["everything", "handler"]


class PauseView(msgspec.Struct):
    """A pause: while it lasts, no task of the handler starts, or none at all.

    Parameters:
        what: whether ``everything`` is paused or one ``handler``.
        handler: the name of the paused handler; absent for everything.
        since: when the pause began.
        by: the name of the token that asked for it; ``anonymous`` without tokens.
    """

    what: What
    handler: str | UnsetType = UNSET
    since: Timestamp | UnsetType = UNSET
    by: str | UnsetType = UNSET


class PausesView(msgspec.Struct):
    """All pauses of the store.

    Parameters:
        pauses: the pause of everything first, then those of handlers, by name.
    """

    pauses: list[PauseView]


class LimitUse(msgspec.Struct):
    """A limit, and the slots that running tasks use of it.

    Parameters:
        which: the table of the settings that declares the limit: ``limits.NAME`` or ``handlers.NAME``.
        concurrency: how many tasks may run at the same time; for a limit with ``per``, for each value.
        slots_in_use: how many slots are in use, of all values together.
        keys_full: for how many values no slot is free.
    """

    which: str
    concurrency: int
    slots_in_use: Annotated[int, Meta(ge=0)]
    keys_full: Annotated[int, Meta(ge=0)]


class LimitsView(msgspec.Struct):
    """The limits and pauses of the store, as this server knows them.

    Parameters:
        limits: the limits, by name.
        pauses: the pauses.
    """

    limits: list[LimitUse]
    pauses: list[PauseView]


class HandlerState(HandlerView):
    """A handler, with the limits and pauses that apply to its tasks, and their outcomes and run times.

    Parameters:
        limits: the limits that bound its tasks; that of the handler itself first.
        pauses: the pauses that keep its tasks from starting.
        outcomes: how many of its tasks have ended, by outcome.
        run_seconds: how long its attempts have run on this server since the start, in seconds, estimated from the
            buckets of the metric ``pexecutor_attempt_seconds``; absent before the first end.
    """

    limits: list[LimitUse] = msgspec.field(default_factory=list)
    pauses: list[PauseView] = msgspec.field(default_factory=list)
    outcomes: dict[Outcome, int] = msgspec.field(default_factory=dict)
    run_seconds: Percentiles | UnsetType = UNSET


class ReasonView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A reason for which a task does not run. Fields that the reason does not have are absent.

    Parameters:
        reason: the reason.
        detail: the reason as a sentence.
        handler: the handler that is paused, or that no server has.
        id: the id of the task that this task follows.
        until: when the task becomes due.
        what: whether everything or one handler is paused.
        since: when the pause began.
        by: who asked for the pause.
        which: the table of the settings that declares the limit: ``limits.NAME`` or ``handlers.NAME``.
        key: the value of the parameter by which the limit counts; absent if it does not count by one.
        concurrency: how many tasks the limit lets run at the same time.
        ids: the ids of tasks that use the slots of the limit, at most ten.
        tasks: how many tasks start before this one.
        estimate: true if some of these tasks have limits of their own, and may have to wait longer than this task.
    """

    reason: ReasonWord
    detail: str
    handler: str | UnsetType = UNSET
    id: TaskId | UnsetType = UNSET
    until: Timestamp | UnsetType = UNSET
    what: What | UnsetType = UNSET
    since: Timestamp | UnsetType = UNSET
    by: str | UnsetType = UNSET
    which: str | UnsetType = UNSET
    key: str | UnsetType = UNSET
    concurrency: int | UnsetType = UNSET
    ids: tuple[TaskId, ...] | UnsetType = UNSET
    tasks: int | UnsetType = UNSET
    estimate: bool | UnsetType = UNSET


_PLAIN: Final[dict[type, tuple[ReasonWord, str]]] = {
    NodeDraining: ("draining", "every server is stopping and starts no more tasks"),
    PoolBusy: ("pool_busy", "every worker runs a task"),
}


def reason_view(reason: Reason) -> ReasonView:
    """Return a reason as it is shown on the wire."""
    match reason:
        case StoreTrouble(trouble):
            return ReasonView(reason="store_trouble", detail=trouble)
        case NoSuchHandler(handler):
            detail = f"no server has the handler {handler!r}"
            return ReasonView(reason="no_such_handler", detail=detail, handler=handler)
        case Follows(task_id):
            return ReasonView(reason="follows", detail=f"the task follows {task_id}, which has not ended", id=task_id)
        case Due(until):
            return ReasonView(reason="due", detail=f"the task is due at {timestamp(until)}", until=timestamp(until))
        case Paused(pause):
            return _paused(pause)
        case AtLimit():
            return _at_limit(reason)
        case Ahead(tasks, exact):
            before = counted(tasks, "task starts", "tasks start")
            estimate = UNSET if exact else True
            return ReasonView(reason="ahead", detail=f"{before} before this task", tasks=tasks, estimate=estimate)
        case NodeDraining() | PoolBusy():
            word, detail = _PLAIN[type(reason)]
            return ReasonView(reason=word, detail=detail)


def _paused(pause: TaskPause) -> ReasonView:
    shown = pause_view(pause)
    subject = "everything is" if pause.handler is None else f"the handler {pause.handler!r} is"
    detail = f"{subject} paused since {shown.since} by {pause.by}"
    return ReasonView(
        reason="paused", detail=detail, what=shown.what, handler=shown.handler, since=shown.since, by=shown.by
    )


def _at_limit(reason: AtLimit) -> ReasonView:
    which, value = which_of(reason.key), reason.key.value
    named = reason.key.limit != HANDLER_LIMIT and value
    detail = f"the limit {which} of {reason.number} is reached" + (f" for {value!r}" if named else "")
    return ReasonView(
        reason="limit",
        detail=detail,
        which=which,
        key=value if named else UNSET,
        concurrency=reason.number,
        ids=reason.ids or UNSET,
    )


def which_of(key: LimitKey) -> str:
    """Return the table of the settings that declares the limit of a key."""
    return f"handlers.{key.value}" if key.limit == HANDLER_LIMIT else f"limits.{key.limit}"


def pause_view(pause: TaskPause | TasksPaused) -> PauseView:
    """Return a pause as it is shown on the wire."""
    what: What = "everything" if pause.handler is None else "handler"
    handler = UNSET if pause.handler is None else pause.handler
    return PauseView(what, handler, timestamp(pause.since), pause.by)


def resumed_view(resumed: TasksResumed) -> PauseView:
    """Return the event that a pause has ended as it is shown on the wire; it has no ``since``."""
    if resumed.handler is None:
        return PauseView("everything", by=resumed.by)
    return PauseView("handler", resumed.handler, by=resumed.by)


def pauses_view(pauses: Iterable[TaskPause]) -> PausesView:
    """Return all pauses as they are shown on the wire."""
    return PausesView(list(map(pause_view, pauses)))


def limits_view(state: LimitState) -> LimitsView:
    """Return limits and pauses as they are shown on the wire."""
    return LimitsView(limit_uses(state), list(map(pause_view, state.pauses)))


def limit_uses(state: LimitState) -> list[LimitUse]:
    """Return the slots in use of all limits, those of handlers first."""
    numbers = state.numbers
    keys = [LimitKey(HANDLER_LIMIT, handler) for handler in sorted(numbers.handlers)]
    keys += [LimitKey(limit) for limit in sorted(numbers.limits)]
    uses = {which_of(key): LimitUse(which_of(key), numbers.of(key) or 0, 0, 0) for key in keys}
    for key, slots in state.slots.items():
        if (use := uses.get(which_of(key))) is not None:
            use.slots_in_use += slots
            use.keys_full += slots >= use.concurrency
    return list(uses.values())


def handler_states(
    handlers: Sequence[HandlerView],
    limits_of: Mapping[str, tuple[str, ...]],
    store: StoreStatistics,
    run_times: Mapping[tuple[str, Outcome], Histogram],
) -> Iterator[HandlerState]:
    """Yield the views of handlers with their limits, pauses, outcomes and run times.

    Parameters:
        handlers: the handlers.
        limits_of: the names of the limits that bound the tasks of a handler.
        store: the limits with their slots in use, the pauses, and the outcomes.
        run_times: the durations of attempts, by handler and outcome.
    """
    state = store.limits
    uses = {use.which: use for use in limit_uses(state)}
    for handler in handlers:
        tables = [f"handlers.{handler.name}", *(f"limits.{name}" for name in limits_of.get(handler.name, ()))]
        pauses = [pause_view(pause) for pause in state.pauses if pause.handler in (None, handler.name)]
        shown: dict[str, Any] = {name: getattr(handler, name) for name in handler.__struct_fields__}
        yield HandlerState(
            **shown,
            limits=[uses[each] for each in tables if each in uses],
            pauses=pauses,
            outcomes=store.finished_by_handler.get(handler.name, {}),
            run_seconds=_percentiles([times for (name, _), times in run_times.items() if name == handler.name]),
        )


def _percentiles(histograms: Sequence[Histogram]) -> Percentiles | UnsetType:
    if not histograms:
        return UNSET
    total = reduce(add, histograms)
    return Percentiles(round(total.quantile(0.5), 4), round(total.quantile(0.95), 4))


def with_blocks(shown: TaskView, record: Record, state: LimitState) -> TaskView:
    """Return the view of a record, with the pauses and limits that block it if it is pending."""
    if state is not NO_LIMITS and isinstance(record, Pending) and (blocks := blocked_by(record, state)):
        shown.blocked_by = [reason_view(block).detail for block in blocks]
    return shown


def statistics_view(statistics: Statistics) -> Statistics:
    """Return statistics whose limits can be encoded: JSON has no objects with keys of several parts."""
    store = msgspec.structs.replace(statistics.store, limits=limits_view(statistics.store.limits))
    return msgspec.structs.replace(statistics, store=store)
