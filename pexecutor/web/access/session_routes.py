"""Sign in with a token, and sign out: for browsers, which cannot keep a token safely."""

from __future__ import annotations

from typing import Final

import msgspec
import structlog
from quart import Response
from quart_trio import QuartTrio

from ...config import Config
from ..api.errors import BadRequestError, NothingToSignInToError
from ..api.reply import json_response
from ..api.request import read_json_body
from ..serving.quart_app import StreamedRequest, current_request
from .gate import SESSION_COOKIE, Gate, peer_of, session_of
from .session_store import SESSION_SECONDS_MAX

SIGN_IN_BYTES_MAX: Final = 4096

_log = structlog.get_logger()


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request to sign in."""

    token: str


class SessionRoutes:
    """Routes of the browser's session."""

    def __init__(self, gate: Gate, config: Config) -> None:
        self._gate = gate
        self._config = config

    def add_to(self, app: QuartTrio) -> None:
        """Register the routes."""
        app.add_url_rule("/session", view_func=self.sign_in, methods=["POST"])
        app.add_url_rule("/session", view_func=self.show_session, methods=["GET"])
        app.add_url_rule("/session", view_func=self.sign_out, methods=["DELETE"])

    async def sign_in(self) -> Response:
        """Begin a session; end the session that this browser has had."""
        request = current_request()
        token = await self._token(request)
        if not self._gate.has_tokens:
            raise NothingToSignInToError("no token is configured: use the API without signing in")
        identity = self._gate.identify_token(token, peer_of(request))
        self._end_session(request)
        reply = _no_content()
        reply.set_cookie(
            SESSION_COOKIE,
            self._gate.sessions.begin(identity),
            max_age=SESSION_SECONDS_MAX,
            secure=_is_over_tls(request),
            httponly=True,
            samesite="Strict",
        )
        _log.info("signed in", by=identity.name, peer=peer_of(request))
        return reply

    async def show_session(self) -> Response:
        """Show the caller's name and scope."""
        return json_response(current_request().identity)

    async def sign_out(self) -> Response:
        """End the session, if there is one."""
        request = current_request()
        self._end_session(request)
        reply = _no_content()
        reply.delete_cookie(SESSION_COOKIE, secure=_is_over_tls(request), httponly=True, samesite="Strict")
        return reply

    def _end_session(self, request: StreamedRequest) -> None:
        session_id = session_of(request)
        if session_id is not None:
            self._gate.sessions.end(session_id)

    async def _token(self, request: StreamedRequest) -> str:
        seconds_max = self._config.request_timeout_seconds
        body = await read_json_body(request, bytes_max=SIGN_IN_BYTES_MAX, seconds_max=seconds_max)
        try:
            return msgspec.json.decode(body, type=SignIn).token
        except (ValueError, RecursionError) as error:
            raise BadRequestError('invalid body: send {"token": "..."}, without other fields') from error


def _is_over_tls(request: StreamedRequest) -> bool:
    """Return whether the browser uses TLS, to this server or to a proxy; the gate has checked the origin."""
    return request.scheme == "https" or any(origin.startswith("https:") for origin in request.header_values(b"origin"))


def _no_content() -> Response:
    reply = Response(b"", 204)
    del reply.headers["Content-Type"], reply.headers["Content-Length"]
    return reply
