"""The names and numbers that the nodes and the functions on the server share. ``prelude.py`` writes them as Lua.

Change a value here, never in a ``.lua`` file. A name that Lua has and Python has not is defined in Lua.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, get_args

import msgspec

from ...limits.defaults import CRASHES_MAX, LIMIT_SETTINGS_MAX, STEP_RECORDS_MAX
from ...limits.times import LEASE_SECONDS
from ...task import (
    PRIORITY_MAX,
    TIME_MAX,
    Accepted,
    Duplicate,
    Full,
    OnConflict,
    OnCrash,
    Outcome,
    State,
    Task,
    make_serial,
)
from ...values import ERROR_BYTES_MAX, MIDDLE_OMITTED
from ..answers import VERDICT_BYTES
from ..deliveries import DELIVERIES_MAX, EndNotice, SkipNotice
from ..endings import ABANDONED, CRASHED_ONCE, CRASHED_TIMES, SUPERSEDED
from ..limits import HOLDERS_SHOWN_MAX, LANES_A_STEP_MAX
from ..moves.marks import SEALED, Role
from ..schedules import OCCURRENCES_MAX, Owner, SkipReason

LAYOUT: Final = "6"
"""The layout of the keys of a queue."""

NO_RUN_AT: Final = -1
NO_RETRY: Final = -1
NOTHING_DUE: Final = -1
"""Stands for ``None`` among the times that the functions get and return."""
NO_ROOM: Final = 0
"""The answer for a task that found no room; no task has this number."""
NO_CLAIM: Final = 0
"""Stands for no claim in the place of a claim's number."""
FIRED: Final = ""
"""The reason of an occurrence that was not skipped."""
NO_TASK: Final = ""
"""Stands for no task in an occurrence."""

CHANGES_MAX: Final = STEP_RECORDS_MAX
"""How many records and deliveries one step changes, if it can be cut into several steps."""

PAGE_EXAMINED_MAX: Final = 1000
"""How many records one call of a page examines at most: 5 to 15 ms of the server, depending on how many match."""

PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""How many bytes of records a page examines or returns before it ends: about 10 ms of the server."""

STEP_BYTES_MAX: Final = 4 * 1024 * 1024
"""How many bytes of records one step of many changes returns before it ends."""


class Stored:
    """The state of a stored record. Listings show a following task as scheduled."""

    # Not an enum: records are matched against these names often, and members of an enum are slow to look up.
    SCHEDULED: Final = State.SCHEDULED.value
    FOLLOWING: Final = "following"
    PENDING: Final = State.PENDING.value
    RUNNING: Final = State.RUNNING.value
    FINISHED: Final = State.FINISHED.value


class Part:
    """A part of a record that may be unreadable."""

    TASK: Final = "task"
    ATTEMPTS: Final = "attempts"
    ENDING: Final = "ending"


class Message:
    """The first word of a message to all nodes of a queue."""

    WORK: Final = "work"
    """Tasks can be claimed."""
    ROOM: Final = "room"
    """The queue has room again."""
    ENDED: Final = "ended"
    """Followed by the ids of tasks that have ended."""
    CANCEL: Final = "cancel"
    """Followed by a node and the id of a task that it has to cancel."""


class RefusalCode:
    """The first word of an error reply."""

    SEALED: Final = "SEALED"
    """A move or a conversion of the queue is under way."""
    OTHER: Final = "OTHER"
    """This is not the queue that the node has joined."""
    MENDING: Final = "MENDING"
    """The names are being restored; nothing can be accepted meanwhile."""


class TooMany(StrEnum):
    """The bound that a schedule would exceed."""

    SCHEDULES = "too_many_schedules"
    BYTES = "too_many_bytes"


Held = tuple[int, int]
"""A task's number and the token of its claim. The token tells apart two claims of one task."""

HELD: Final = ("number", "token")
"""The names of the places in a ``Held``."""


def _constants(of: type) -> dict[str, str]:
    return {name.lower(): value for name, value in vars(of).items() if name.isupper()}


WORDS: Final[dict[str, dict[str, str]]] = {
    "STATE": _constants(Stored),
    "OUTCOME": {outcome.value: outcome.value for outcome in Outcome},
    "ON_CONFLICT": {word: word for word in get_args(OnConflict)},
    "ON_CRASH": {word: word for word in get_args(OnCrash)},
    "VERDICT": {one.verdict: one.verdict for one in (Accepted, Duplicate, Full)},
    "PART": _constants(Part),
    "ROLE": {role.value: role.value for role in Role},
    "MESSAGE": _constants(Message),
    "REFUSAL": _constants(RefusalCode),
    "OWNER": {word: word for word in get_args(Owner)},
    "SKIP": {word: word for word in get_args(SkipReason)},
    "NOTICE": {tag: tag for tag in (str(one.__struct_config__.tag) for one in (EndNotice, SkipNotice))},
    "TOO_MANY": {bound.name.lower(): bound.value for bound in TooMany},
}
"""The words that Lua may not write itself, by table and name."""

TEXTS: Final[dict[str, str]] = {
    "superseded": SUPERSEDED.error or "",
    "abandoned": ABANDONED.error or "",
    "crashed_once": CRASHED_ONCE,
    "crashed_times": CRASHED_TIMES,
    "task_lost": "the submitted task can no longer be read: see `damaged` in the store",
    "ending_lost": "the ending of this task can no longer be read: see `damaged` in the store",
    "middle_omitted": MIDDLE_OMITTED,
    "fired": FIRED,
    "no_task": NO_TASK,
    "handler": next(field.default for field in msgspec.structs.fields(Task) if field.name == "handler"),
} | {f"sealed_{role.value}": text.format(name="this queue", other="%s") for role, text in SEALED.items()}
"""The texts that nodes, or other stores, have too."""

NUMBERS: Final[dict[str, dict[str, float]]] = {
    "LIMIT": {
        "priority_max": PRIORITY_MAX,
        "task_number_end": make_serial(1, 0),
        "time_end": TIME_MAX + 1,
        "error_bytes_max": ERROR_BYTES_MAX,
        "crashes_max": CRASHES_MAX,
        "lease_seconds": LEASE_SECONDS,
        "verdict_bytes": VERDICT_BYTES,
        "occurrences_max": OCCURRENCES_MAX,
        "changes_max": CHANGES_MAX,
        "page_examined_max": PAGE_EXAMINED_MAX,
        "page_bytes_max": PAGE_BYTES_MAX,
        "step_bytes_max": STEP_BYTES_MAX,
        "deliveries_max": DELIVERIES_MAX,
        "lanes_a_step_max": LANES_A_STEP_MAX,
        "holders_shown_max": HOLDERS_SHOWN_MAX,
        "limit_settings_max": LIMIT_SETTINGS_MAX,
    },
    "NONE": {"retry": NO_RETRY, "due": NOTHING_DUE, "room": NO_ROOM, "claim": NO_CLAIM},
}
