"""The gate: nothing is answered before it has been asked whether it may be.

It is asked once for each request, before its route is called, by the app itself: so it stands in front of every server
that serves the app. In this order:

1. Is the request for us at all, by its host? (See ``origin.py``.)
2. Does a page of another site ask? Then it gets nothing but what is open, and only to read.
3. Who asks, and may they do this? ``NEEDS`` says what each route needs. A route that is not in it is refused.

What is asked for is known by the route that the framework has found, and not by the path: however a path is written, it
needs what its route needs. A path without a route is answered 404 to everybody.

A token says who asks, in ``Authorization`` or by a session's cookie. Where none is configured, everybody who comes over
the loopback may do everything, and nobody else anything, unless ``allow_anonymous`` says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

import structlog

from ...access import ANONYMOUS, Identity, Scope, Tokens
from ...config import Config
from ...errors import ConfigError
from ..api.errors import (
    BadCredentialsError,
    BadRequestError,
    MisdirectedError,
    NotAllowedError,
    NotAuthenticatedError,
    OtherSiteError,
    TooManyAttemptsError,
)
from ..api.request import Asked
from ..serving.quart_app import StreamedRequest, current_request
from .login_throttle import FailedAttempts
from .origin import Authority, OwnNames, is_loopback, parse_authority
from .session_store import Sessions

Need = Scope | Literal["open"]

NEEDS: Final[dict[str, Need]] = {
    "GET /": "open",
    "GET /dashboard/{}": "open",
    "GET /docs": "read",  # it shows the handlers, as does the next but one
    "GET /docs/style.css": "open",
    "GET /openapi.json": "read",
    "GET /livez": "open",
    "GET /readyz": "open",  # its statistics are for those who may read
    "POST /session": "open",
    "DELETE /session": "open",
    "GET /session": "read",
    "GET /events": "read",
    "GET /handlers": "read",
    "GET /metrics": "read",
    "GET /statistics/history": "read",
    "GET /nodes": "read",
    "GET /tasks": "read",
    "GET /tasks/finished": "read",
    "GET /tasks/pending": "read",
    "GET /tasks/running": "read",
    "GET /tasks/{}": "read",
    "POST /tasks": "submit",
    "PATCH /tasks/{}": "submit",
    "DELETE /tasks/{}": "submit",
    "POST /drain": "admin",
}
"""What each route needs. HEAD needs what GET does; OPTIONS tells which methods there are, and that is no secret."""

SESSION_COOKIE: Final = "pexecutor_session"

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PLACE: Final = re.compile(r"<[^>]*>")
_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)
_REALM: Final = 'Bearer realm="pexecutor"'

_log = structlog.get_logger()


class Gate:
    """Decides about requests, and keeps what it needs for that: sessions, and who failed how often.

    Parameters:
        config: the tokens, and what this server is called.

    Raises:
        ConfigError: a token or a host cannot be used, or the settings contradict each other.
    """

    def __init__(self, config: Config) -> None:
        self._tokens = Tokens(config.tokens)
        self._own = OwnNames(config.host, config.allowed_hosts)
        self._allow_anonymous = config.allow_anonymous
        self._failures = FailedAttempts()
        self.sessions: Sessions = Sessions()
        if self._tokens and config.allow_anonymous:
            raise ConfigError("allow_anonymous and tokens contradict each other: leave one of them out")

    @property
    def has_tokens(self) -> bool:
        """Whether there is anything to sign in with."""
        return len(self._tokens) > 0

    async def check(self) -> None:
        """Let the framework's current request pass, or raise what it is to be answered."""
        request = current_request()
        self.admit(request, lambda: _need(request))
        if request.identity is not None:
            structlog.contextvars.bind_contextvars(by=request.identity.name)

    def admit(self, request: Asked, need_of: Callable[[], Need]) -> None:
        """Let a request pass, and note who it is from, or raise what it is to be answered.

        Parameters:
            need_of: tells what its route needs, once it is known that the request is for us.
        """
        host = self._host(request)
        need = need_of()
        is_safe = request.method in _SAFE
        is_own_page = False
        if not (is_safe and need == "open"):
            is_own_page = self._refuse_other_sites(request, host, is_safe=is_safe)
        try:
            identity, by_cookie = self._identify(request)
        except (BadCredentialsError, NotAuthenticatedError, NotAllowedError, TooManyAttemptsError):
            if need != "open":
                raise
            return
        if by_cookie and not is_safe and not is_own_page:
            raise OtherSiteError("a change by a signed-in browser has to say that it is from a page of this server")
        if need != "open" and not identity.may(need):
            challenge = {"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{need}"'}
            raise NotAllowedError(f"this needs the scope {need}, and yours is {identity.scope}", challenge)
        request.identity = identity

    # Whose request is it

    def _host(self, request: Asked) -> Authority | None:
        """What the request is for. Without a host it is only in HTTP/1.0, which no browser speaks."""
        hosts = request.hosts
        if not hosts and request.http_version != "1.0":
            raise BadRequestError("the request says no host")
        host = None
        for text in hosts:
            host = parse_authority(text)
            if host is None:
                raise BadRequestError("the request's host is none")
            if not self._own.have(host, request.local_address):
                raise MisdirectedError(
                    f"this server is not called {host.name}: use its address, or add the name to its allowed_hosts"
                )
        return host

    def _refuse_other_sites(self, request: Asked, host: Authority | None, *, is_safe: bool) -> bool:
        """Whether a browser says that a page of ours asks; raises when it says that another does."""
        origins, sites = request.header_values(b"origin"), request.header_values(b"sec-fetch-site")
        is_link = is_safe and request.header_values(b"sec-fetch-dest") == ["document"]
        if sites not in ([], ["same-origin"], ["none"]) and not is_link:
            raise OtherSiteError("another site's page may not ask for this")
        if origins and not (len(origins) == 1 and self._own.have_origin(origins[0], host, request.scheme)):
            raise OtherSiteError(
                "a page of another origin may not ask for this; if it is one of this server's, add it to allowed_hosts"
            )
        return bool(origins) or sites == ["same-origin"]

    # Who asks

    def _identify(self, request: Asked) -> tuple[Identity, bool]:
        """Who asks, and whether it is a cookie that says so."""
        if not self.has_tokens:
            return self._anonymous(request), False
        match request.header_values(b"authorization"):
            case []:
                pass
            case [credentials]:
                if credentials.lower().startswith("bearer"):
                    bearer = _BEARER.fullmatch(credentials)
                    return self.identify_token("" if bearer is None else bearer[1], peer_of(request)), False
            case _:
                challenge = {"WWW-Authenticate": f'{_REALM}, error="invalid_request"'}
                raise BadCredentialsError("send one Authorization header", challenge)
        session_id = session_of(request)
        identity = None if session_id is None else self.sessions.find(session_id)
        if identity is None:
            raise NotAuthenticatedError(
                "this needs a token: send it as Authorization: Bearer TOKEN", {"WWW-Authenticate": _REALM}
            )
        return identity, True

    def _anonymous(self, request: Asked) -> Identity:
        local = request.local_address
        if self._allow_anonymous or local is None or is_loopback(local):
            return ANONYMOUS
        raise NotAllowedError(
            "no token is configured, so this is for the loopback address alone: configure one, or set allow_anonymous"
        )

    def identify_token(self, token: str, peer: str) -> Identity:
        """Whose token this is.

        Raises:
            NotAuthenticatedError: it is nobody's.
            TooManyAttemptsError: likewise, and that has happened too often with this peer.
        """
        identity = self._tokens.identify(token)
        if identity is not None:
            return identity
        wait_seconds = self._failures.count(peer)
        if wait_seconds:
            headers = {"Retry-After": str(wait_seconds)}
            raise TooManyAttemptsError("too many tries with tokens that are not known here: wait", headers)
        _log.warning("refused a token", peer=peer)
        challenge = {"WWW-Authenticate": f'{_REALM}, error="invalid_token"'}
        raise NotAuthenticatedError("this token is not known here", challenge)


def _need(request: StreamedRequest) -> Need:
    """What the route of a request needs; what no route is found for needs nothing and gets nothing."""
    rule = request.url_rule
    if rule is None or request.method == "OPTIONS":
        return "open"
    route = f"{'GET' if request.method == 'HEAD' else request.method} {_PLACE.sub('{}', rule.rule)}"
    if route not in NEEDS:
        _log.error("a route that nobody is allowed", route=route)
        raise NotAllowedError("this is for nobody")
    return NEEDS[route]


def peer_of(request: Asked) -> str:
    """The address of the other end, as failures are counted by."""
    return request.peer_address or "local"


def session_of(request: Asked) -> str | None:
    """The session's id that a browser has sent; ``None`` also when it has sent several, as then one is not ours."""
    cookies = [pair.strip().partition("=") for line in request.header_values(b"cookie") for pair in line.split(";")]
    ids = [value for name, _, value in cookies if name == SESSION_COOKIE]
    return ids[0] if len(ids) == 1 else None
