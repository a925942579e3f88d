"""The documentation of the routes for limits and pauses."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...errors import (
    ExpiredTaskError,
    PexecutorError,
    StoreUnavailableError,
    TooManyLimitsError,
    UnknownHandlerError,
    UnknownTaskError,
)
from ...limits.keys import LimitKey
from ...stores.limits import Ahead, AtLimit, TaskPause
from ..api.limit_wire import PausesView, ReasonView, pauses_view, reason_view
from ..api.route import Doc, DocumentedReply, Media
from ..api.wire import EXAMPLE_AT, EXAMPLE_ID
from .openapi import problem_media
from .schemas import ref

_PAUSES: Final = pauses_view([TaskPause(None, EXAMPLE_AT, "ops"), TaskPause("backup", EXAMPLE_AT - 60, "ops")])
_REASONS: Final = [
    reason_view(AtLimit(LimitKey("api", "acme"), 5, (EXAMPLE_ID,))),
    reason_view(Ahead(12, exact=False)),
]


def _builtins(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


_SHOWN: Final = DocumentedReply(
    "All pauses after the request.", (Media("application/json", ref(PausesView), {"pauses": _builtins(_PAUSES)}),)
)


_TOO_MANY: Final = DocumentedReply("The store keeps no more limits and pauses.", (problem_media(),))


def _doc(name: str, summary: str, description: str, *errors: type[PexecutorError]) -> Doc:
    shown = {200: _SHOWN, 429: _TOO_MANY} if TooManyLimitsError in errors else {200: _SHOWN}
    return Doc("Server", name, summary, shown, (*errors, StoreUnavailableError), description=description)


_GOES_ON: Final = (
    "Submits are accepted, and running tasks go on. The pause survives a restart, and holds on all servers that share"
    " the store. Pausing what is paused changes nothing."
)
_OTHERS: Final = "Resuming what is not paused changes nothing. Other pauses stay."

PAUSE: Final = _doc("pause", "Start no more tasks.", _GOES_ON, TooManyLimitsError)
RESUME: Final = _doc("resume", "End the pause of everything.", _OTHERS)
PAUSE_HANDLER: Final = _doc(
    "pause_handler", "Start no more tasks of a handler.", _GOES_ON, UnknownHandlerError, TooManyLimitsError
)
RESUME_HANDLER: Final = _doc("resume_handler", "End the pause of a handler.", _OTHERS, UnknownHandlerError)

WHY: Final = Doc(
    "Tasks",
    "why_task",
    "Show why a task does not run.",
    {
        200: DocumentedReply(
            "The reasons, each of which alone would delay the start; none for a running or finished task.",
            (
                Media(
                    "application/json",
                    {"type": "array", "items": ref(ReasonView)},
                    {"reasons": _builtins(_REASONS)},
                ),
            ),
        )
    },
    (UnknownTaskError, ExpiredTaskError),
)
