"""The one table that maps errors to replies.

No route catches an error, except the stream of tasks, which adds its counts to the reply.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from werkzeug.exceptions import HTTPException

from ...errors import (
    AlreadyFinishedError,
    AlreadyStartedError,
    ConfigError,
    ExpiredTaskError,
    FieldError,
    InvalidCursorError,
    InvalidScheduleError,
    InvalidTaskError,
    NotServingError,
    OwnedScheduleError,
    PexecutorError,
    StoreUnavailableError,
    TooManyLimitsError,
    TooManySchedulesError,
    UnknownHandlerError,
    UnknownScheduleError,
    UnknownTaskError,
)
from .reply import Reply, problem_reply

_log = structlog.get_logger()


class BadRequestError(PexecutorError):
    """The caller sent an invalid request; the message says what to change."""


class TooLargeError(PexecutorError):
    """The caller sent a body, a list or a line that is over the limit."""


class RefusalWithHeadersError(PexecutorError):
    """The caller sent a request that is refused with additional headers.

    Parameters:
        detail: what is wrong, and what to do.
        headers: the additional headers of the reply.
    """

    def __init__(self, detail: str, headers: dict[str, str] | None = None) -> None:
        self.headers = headers
        super().__init__(detail)


class UnsupportedMediaTypeError(RefusalWithHeadersError):
    """The caller sent a body of a type that the route does not accept."""


class KeyUnderWayError(RefusalWithHeadersError):
    """The caller repeated a request with an Idempotency-Key before the first one was answered."""


class KeyReusedError(PexecutorError):
    """The caller sent another request with an Idempotency-Key that it has used before."""


class UnknownHookError(PexecutorError):
    """The caller sent a delivery to a hook that does not exist."""


class UnknownAttemptError(PexecutorError):
    """The caller asked for the log of an attempt that the task has not made."""


class UnsatisfiableRangeError(RefusalWithHeadersError):
    """The caller asked for a range of a log that has no bytes there."""


class RequestTimeoutError(PexecutorError):
    """The caller did not send the body in time."""


class TooManyStreamsError(PexecutorError):
    """The caller asked for an event stream, and the limit on open streams is reached."""


class AccessError(RefusalWithHeadersError):
    """The caller sent a request that the gate refuses."""


class BadCredentialsError(AccessError):
    """The caller sent more than one Authorization header."""


class UnauthenticatedError(AccessError):
    """The caller sent no token, or an unknown one."""


class BadSignatureError(AccessError):
    """The caller sent a delivery that no holder of the hook's secret has signed, or that is too old."""


class TooSmallScopeError(AccessError):
    """The caller lacks the scope that the request needs."""


class OtherSiteError(AccessError):
    """The caller is a browser that shows a page of another site."""


class MisdirectedError(AccessError):
    """The caller sent a Host that is not a name of this server."""


class NothingToSignInToError(PexecutorError):
    """The caller tried to sign in, and no token is configured."""


class TooManyAttemptsError(AccessError):
    """The caller sent too many unknown tokens, and has to wait."""


STATUS_OF: Final[dict[type[PexecutorError], int]] = {
    BadRequestError: 400,
    InvalidTaskError: 400,
    InvalidScheduleError: 400,
    InvalidCursorError: 400,
    BadCredentialsError: 400,
    UnauthenticatedError: 401,
    BadSignatureError: 401,
    TooSmallScopeError: 403,
    OtherSiteError: 403,
    UnknownTaskError: 404,
    UnknownHandlerError: 404,
    UnknownHookError: 404,
    UnknownAttemptError: 404,
    UnknownScheduleError: 404,
    RequestTimeoutError: 408,
    AlreadyFinishedError: 409,
    AlreadyStartedError: 409,
    OwnedScheduleError: 409,
    KeyUnderWayError: 409,
    NothingToSignInToError: 409,
    ExpiredTaskError: 410,
    TooLargeError: 413,
    UnsupportedMediaTypeError: 415,
    UnsatisfiableRangeError: 416,
    MisdirectedError: 421,
    KeyReusedError: 422,
    ConfigError: 422,
    TooManyAttemptsError: 429,
    TooManyLimitsError: 429,
    TooManySchedulesError: 429,
    NotServingError: 503,
    StoreUnavailableError: 503,
    TooManyStreamsError: 503,
}

_HTTP_DETAIL: Final = {
    404: "unknown path; see {prefix}/docs for the paths of this server",
    405: "this path does not support this method; see the Allow header for the methods it supports",
}


def problem_of(error: Exception, extensions: dict[str, Any] | None = None, *, prefix: str = "") -> Reply:
    """Return the reply to an error. An unexpected error is logged, and the reply reveals nothing about it.

    Parameters:
        extensions: further members of its problem details.
        prefix: what the client writes before each path of this server.
    """
    match error:
        case PexecutorError():
            return _refusal(error, extensions)
        case HTTPException(code=int(status)):
            headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
            detail = _HTTP_DETAIL.get(status, "the server cannot answer this request")
            return problem_reply(status, detail.format(prefix=prefix), headers=headers)
        case ExceptionGroup():
            return problem_of(error.exceptions[0], extensions, prefix=prefix)
        case _:
            _log.error("a request failed", exc_info=error)
            return problem_reply(500, "internal server error; the server's log has the cause")


def _refusal(error: PexecutorError, extensions: dict[str, Any] | None) -> Reply:
    status = STATUS_OF[type(error)]
    if isinstance(error, InvalidTaskError):
        extensions = {"errors": error.errors, **(extensions or {})}
    if isinstance(error, InvalidScheduleError):
        extensions = {"errors": [FieldError(0, error.field, str(error))]}
    headers = {"Retry-After": "1"} if status == 503 else None
    if isinstance(error, RefusalWithHeadersError):
        headers = error.headers
    return problem_reply(status, str(error), headers=headers, extensions=extensions)
