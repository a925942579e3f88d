"""One table that gives a refused request of the Python client the error that says who acts next."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..errors import FieldError, InvalidScheduleError, InvalidTaskError, PexecutorError, RefusedError
from .errors import (
    DrainingError,
    DuplicateError,
    NotAllowedError,
    NotAuthenticatedError,
    NotFoundError,
    QueueFullError,
)
from .more_records import ServerStatus, StatusReply
from .requests import ApiRequest

_OF_STATUS: Final = {
    401: NotAuthenticatedError,
    403: NotAllowedError,
    404: NotFoundError,
    410: NotFoundError,
}
_OF_VERDICT: Final = {"full": QueueFullError, "draining": DrainingError}

UNDER_WAY_STATUS: Final = 409


def named_error(request: ApiRequest, error: PexecutorError) -> PexecutorError:
    """Return the error to raise for a refused request; an error that is no refusal is returned unchanged."""
    if not isinstance(error, RefusedError):
        return error
    if error.status == 400 and (faults := _faults(error.problem)):
        if request.subject == "schedule":
            return InvalidScheduleError(faults[0].field or "", faults[0].detail)
        return InvalidTaskError(faults)
    if (kind := _kind(request, error)) is None:
        return error
    return kind(error.status, error.problem, error.retry_after)


def _kind(request: ApiRequest, error: RefusedError) -> type[RefusedError] | None:
    if request.subject in ("submit", "batch"):
        if "holder" in error.problem:
            return DuplicateError
        if (kind := _OF_VERDICT.get(verdict_of(error))) is not None:
            return kind
    return _OF_STATUS.get(error.status)


def verdict_of(error: RefusedError) -> str:
    """Return the verdict for which a submit was refused: ``full``, ``draining`` or ``""`` for neither."""
    if isinstance(verdict := error.problem.get("verdict"), str):
        return verdict
    counted = error.problem.get("Tasks")
    verdicts = {each.get("verdict") for each in counted if isinstance(each, dict)} if isinstance(counted, list) else ()
    return next((verdict for verdict in ("draining", "full") if verdict in verdicts), "")


def is_under_way(error: RefusedError) -> bool:
    """Return whether a submit was refused because the first request with its key is being answered."""
    return error.status == UNDER_WAY_STATUS and "holder" not in error.problem and error.retry_after is not None


def _faults(problem: Any) -> list[FieldError]:
    try:
        return msgspec.convert(problem.get("errors", []), list[FieldError])
    except msgspec.ValidationError:
        return []


def status_in(error: RefusedError) -> ServerStatus:
    """Return the state of a server that does not accept tasks; raise the error if its reply has none."""
    try:
        return msgspec.convert(error.problem, StatusReply).statistics
    except msgspec.ValidationError:
        raise error from None
