"""Sign in with a token, and sign out: for browsers, which cannot keep a token safely."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import structlog
from werkzeug.http import dump_cookie

from ...config import Config
from ..api.errors import BadRequestError, NothingToSignInToError
from ..api.reply import Reply, json_reply
from ..api.request import IncomingRequest, link_to, read_json_body
from .gate import Gate, peer_of, session_cookie, session_of
from .session_store import SESSION_SECONDS_MAX

SIGN_IN_BYTES_MAX: Final = 4096

_log = structlog.get_logger()


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request to sign in."""

    token: str


class SessionAnswers:
    """Answers about the browser's session."""

    def __init__(self, gate: Gate, config: Config) -> None:
        self._gate = gate
        self._config = config

    async def sign_in(self, request: IncomingRequest) -> Reply:
        """Begin a session; end the session that this browser has had."""
        token = await self._token(request)
        if not self._gate.has_tokens:
            raise NothingToSignInToError("no token is configured: use the API without signing in")
        identity = self._gate.identify_token(token, peer_of(request))
        self._end_session(request)
        reply = _with_cookie(request, self._gate.sessions.begin(identity), max_age=SESSION_SECONDS_MAX)
        _log.info("signed in", by=identity.name, peer=peer_of(request))
        return reply

    async def show_session(self, request: IncomingRequest) -> Reply:
        """Show the caller's name and scope."""
        assert request.identity is not None, "the route needs a scope"
        return json_reply({"name": request.identity.name, "scope": request.identity.scope})

    async def sign_out(self, request: IncomingRequest) -> Reply:
        """End the session, if there is one."""
        self._end_session(request)
        return _with_cookie(request, "", max_age=0, expires=0)

    def _end_session(self, request: IncomingRequest) -> None:
        session_id = session_of(request)
        if session_id is not None:
            self._gate.sessions.end(session_id)

    async def _token(self, request: IncomingRequest) -> str:
        seconds_max = self._config.request_timeout_seconds
        body = await read_json_body(request, bytes_max=SIGN_IN_BYTES_MAX, seconds_max=seconds_max)
        try:
            return msgspec.json.decode(body, type=SignIn).token
        except (ValueError, RecursionError) as error:
            raise BadRequestError('invalid body: send {"token": "..."}, without other fields') from error


def _is_over_tls(request: IncomingRequest) -> bool:
    """Return whether the browser uses TLS, to this server or to a proxy; the gate has checked the origin."""
    return request.scheme == "https" or any(origin.startswith("https:") for origin in request.header_values(b"origin"))


def _with_cookie(request: IncomingRequest, session_id: str, **lifetime: Any) -> Reply:
    """Return a reply without a body that sets the session's cookie."""
    path = link_to(request, "") or "/"
    cookie = dump_cookie(
        session_cookie(request),
        session_id,
        path=path,
        secure=_is_over_tls(request),
        httponly=True,
        samesite="Strict",
        **lifetime,
    )
    return Reply(b"", 204, {"Set-Cookie": cookie}, content_type="")
