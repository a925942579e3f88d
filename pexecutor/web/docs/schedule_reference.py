"""The documentation of the routes for schedules."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...errors import (
    InvalidScheduleError,
    InvalidTaskError,
    OwnedScheduleError,
    StoreUnavailableError,
    TooManySchedulesError,
    UnknownScheduleError,
)
from ...schedules.declaration import ScheduleDeclaration
from ...schedules.next_times import NextTimes
from ...stores.schedules import Definition, Fired, NextTime, Schedule
from ...task import Task
from ..api.route import Doc, DocumentedReply, Media
from ..api.schedule_wire import ScheduleView, schedule_view
from ..api.schedules import Pause
from ..api.submit import SubmitProblem
from ..api.wire import EXAMPLE_ID
from .openapi import problem_media
from .reference import SUBMIT
from .schemas import ref

GROUP: Final = "Schedules"

_NIGHTLY: Final = Schedule(
    "nightly",
    Definition(Task("report", duration=2000), cron="0 3 * * *", timezone="Europe/Berlin"),
    generation=1,
    next=NextTime(1_795_572_000.0, 1_795_572_000.0),
    occurrences=(Fired(1_795_485_600.0, EXAMPLE_ID),),
)


def _json(kind: type[msgspec.Struct], **examples: Any) -> Media:
    return Media("application/json", ref(kind), examples)


_SHOWN: Final = _json(
    ScheduleView, nightly=msgspec.to_builtins(schedule_view(_NIGHTLY, NextTimes().of(_NIGHTLY)), str_keys=True)
)


def _shown(description: str, *headers: str) -> DocumentedReply:
    return DocumentedReply(description, (_SHOWN,), headers)


PUT_BODY: Final = (
    _json(
        ScheduleDeclaration,
        nightly={"cron": "0 3 * * *", "timezone": "Europe/Berlin", "task": {"name": "report", "duration": 2000}},
        interval={"every": 60000, "task": {"name": "check"}},
    ),
)

PAUSE_BODY: Final = (_json(Pause, pause={"paused": True}),)

LIST: Final = Doc(
    GROUP,
    "list_schedules",
    "List schedules, by name.",
    {
        200: DocumentedReply(
            "A page of schedules; `Link` has the path of the next page.",
            (Media("application/json", {"type": "array", "items": ref(ScheduleView)}),),
            ("Link",),
        )
    },
)

SHOW: Final = Doc(
    GROUP,
    "show_schedule",
    "Show a schedule with its next five times and its last ten occurrences.",
    {200: _shown("The schedule.")},
    (UnknownScheduleError,),
)

PUT: Final = Doc(
    GROUP,
    "put_schedule",
    "Store a schedule, in the place of one with the same name.",
    {
        200: _shown("The schedule has replaced one, or is equal to the stored one and has changed nothing."),
        201: _shown("The schedule is new.", "Location"),
        429: DocumentedReply("The store keeps no more schedules, or no more bytes of them.", (problem_media(),)),
    },
    (InvalidTaskError, InvalidScheduleError, OwnedScheduleError, TooManySchedulesError, StoreUnavailableError),
    body_description="The times of the schedule, and the task that it submits.",
)

CHANGE: Final = Doc(
    GROUP,
    "change_schedule",
    "Pause or resume a schedule.",
    {200: _shown("The changed schedule.")},
    (InvalidTaskError, UnknownScheduleError, StoreUnavailableError),
    body_description="Whether the schedule is paused.",
)

REMOVE: Final = Doc(
    GROUP,
    "remove_schedule",
    "Remove a schedule. No task is touched.",
    {204: DocumentedReply("The schedule is gone.", ())},
    (UnknownScheduleError, OwnedScheduleError, StoreUnavailableError),
)

RUN: Final = Doc(
    GROUP,
    "run_schedule",
    "Submit the task of a schedule now.",
    {
        202: SUBMIT.replies[202],
        409: SUBMIT.replies[409],
        429: DocumentedReply("The queue has no room for the task.", (problem_media(SubmitProblem),), ("Retry-After",)),
    },
    (InvalidScheduleError, UnknownScheduleError, StoreUnavailableError),
    description="The reply is that of a submit. The next times of the schedule stay as they are.",
)
