"""The one table from errors to replies. No route catches anything, but for a stream that adds its counts."""

from __future__ import annotations

from typing import Any, Final

import structlog
from quart import Response
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from ...errors import (
    AlreadyFinishedError,
    AlreadyStartedError,
    ExpiredTaskError,
    InvalidCursorError,
    InvalidTaskError,
    PexecutorError,
    StoreUnavailableError,
    UnknownTaskError,
)
from .reply import Reply, problem_reply

_log = structlog.get_logger()


class BadRequestError(PexecutorError):
    """The caller sent a request that makes no sense; the message says what to change."""


class TooLargeError(PexecutorError):
    """The caller sent more than is taken at once."""


class RefusalWithHeadersError(PexecutorError):
    """The caller sent a request whose refusal has headers of its own.

    Parameters:
        detail: one sentence on why, and what to do.
        headers: what the reply has to say to programs.
    """

    def __init__(self, detail: str, headers: dict[str, str] | None = None) -> None:
        self.headers = headers
        super().__init__(detail)


class UnsupportedMediaTypeError(RefusalWithHeadersError):
    """The caller sent a body of a kind that is not taken here."""


class RequestTimeoutError(PexecutorError):
    """The caller did not send the body in time."""


class TooManyStreamsError(PexecutorError):
    """As many event streams are open as there may be."""


class AccessError(RefusalWithHeadersError):
    """The caller may not do this, or not like this."""


class BadCredentialsError(AccessError):
    """The caller showed a token in a way that has no one meaning."""


class NotAuthenticatedError(AccessError):
    """The caller has shown no token, or none that opens anything."""


class NotAllowedError(AccessError):
    """The caller is known, and this is not for them."""


class OtherSiteError(AccessError):
    """The caller is a browser with a page that is not ours."""


class MisdirectedError(AccessError):
    """The caller asks for a host that we are not."""


class NothingToSignInToError(PexecutorError):
    """The caller wants to sign in, and no token is configured."""


class TooManyAttemptsError(AccessError):
    """The caller has failed too often, and has to wait."""


STATUS_OF: Final[dict[type[PexecutorError], int]] = {
    BadRequestError: 400,
    InvalidTaskError: 400,
    InvalidCursorError: 400,
    BadCredentialsError: 400,
    NotAuthenticatedError: 401,
    NotAllowedError: 403,
    OtherSiteError: 403,
    UnknownTaskError: 404,
    RequestTimeoutError: 408,
    AlreadyFinishedError: 409,
    AlreadyStartedError: 409,
    NothingToSignInToError: 409,
    ExpiredTaskError: 410,
    TooLargeError: 413,
    UnsupportedMediaTypeError: 415,
    MisdirectedError: 421,
    TooManyAttemptsError: 429,
    StoreUnavailableError: 503,
    TooManyStreamsError: 503,
}

_HTTP_DETAIL: Final = {
    404: "there is nothing at this path",
    405: "this path does not take this method; see the Allow header for those it takes",
}


def register_errors(app: QuartTrio) -> None:
    """Make every error of this app a problem reply."""
    app.register_error_handler(PexecutorError, _from_error)
    app.register_error_handler(HTTPException, _from_http_exception)
    app.register_error_handler(Exception, _from_bug)


def problem_of(error: PexecutorError, extensions: dict[str, Any] | None = None) -> Reply:
    """The reply to an error, with further members."""
    status = STATUS_OF[type(error)]
    if isinstance(error, InvalidTaskError):
        extensions = {"errors": error.errors, **(extensions or {})}
    headers = {"Retry-After": "1"} if status == 503 else None
    if isinstance(error, RefusalWithHeadersError):
        headers = error.headers
    return problem_reply(status, str(error), headers=headers, extensions=extensions)


def problem_of_bug(error: Exception) -> Reply:
    """The reply to what was not raised on purpose; it tells the client nothing, and the log everything."""
    _log.error("a request failed", exc_info=error)
    return problem_reply(500, "the request failed on the server's side; its log says why")


async def _from_error(error: PexecutorError) -> Response:
    return problem_of(error).as_response()


async def _from_http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    detail = _HTTP_DETAIL.get(status, "the request cannot be served")
    return problem_reply(status, detail, headers=headers).as_response()


async def _from_bug(error: Exception) -> Response:
    return problem_of_bug(error).as_response()
