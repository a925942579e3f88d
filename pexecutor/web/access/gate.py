"""The gate: decides for each request whether the caller may make it.

``serving/answering.py`` calls the gate once for each request, before the route's answer. So the gate protects the app
on every server that serves it. It checks, in this order:

1. Is the host of the request a name of this server? (See ``origin.py``.)
2. Does the request come from a page of another site? Such a page may only read open routes.
3. Who is the caller, and does the caller have the scope that the route needs? The row of the route has the scope
   (``routes.py``). A path without a route is answered 404 to every caller.

A token identifies the caller. It comes in ``Authorization``, or through a session's cookie. If no token is configured,
callers over the loopback may do everything. Other callers may do nothing then, unless ``allow_anonymous`` is set.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final, NamedTuple

import structlog

from ...access import ANONYMOUS, Identity, Tokens
from ...config import Config
from ...errors import ConfigError
from ..api.errors import (
    BadCredentialsError,
    BadRequestError,
    MisdirectedError,
    OtherSiteError,
    TooManyAttemptsError,
    TooSmallScopeError,
    UnauthenticatedError,
)
from ..api.request import IncomingRequest, link_to
from ..api.route import Need
from .admissions import Admissions
from .login_throttle import FailedAttempts
from .origin import Authority, ServerNames, is_loopback, parse_authority
from .session_store import Sessions

SESSION_COOKIE: Final = "pexecutor_session"
"""The name of the session's cookie without a base path."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)
_REALM: Final = 'Bearer realm="pexecutor"'

_log = structlog.get_logger()


class AccessRules(NamedTuple):
    """The rules of a gate, which change together.

    Parameters:
        tokens: the tokens.
        server_names: the names of this server.
        allow_anonymous: whether callers without a token may come from other machines, if no token is configured.
    """

    tokens: Tokens
    server_names: ServerNames
    allow_anonymous: bool


def access_rules(config: Config) -> AccessRules:
    """Return the rules that the settings declare.

    Raises:
        ConfigError: a token or a host cannot be used, or the settings contradict each other.
    """
    rules = AccessRules(Tokens(config.tokens), ServerNames(config.host, config.allowed_hosts), config.allow_anonymous)
    if rules.tokens and config.allow_anonymous:
        raise ConfigError("allow_anonymous and tokens contradict each other: leave one of them out")
    return rules


class Gate:
    """Admits or refuses requests; holds the sessions, the admissions and the counts of failed attempts.

    Parameters:
        config: the tokens, and the names of this server.

    Raises:
        ConfigError: a token or a host cannot be used, or the settings contradict each other.
    """

    def __init__(self, config: Config) -> None:
        self._failures = FailedAttempts()
        self.sessions: Sessions = Sessions()
        self.admissions: Admissions = Admissions()
        self.generation: int = 0
        """The number of the settings. Every change raises it, so an admission of an earlier number is invalid."""
        self._rules: AccessRules
        self.apply(access_rules(config))

    def apply(self, rules: AccessRules) -> None:
        """Take these rules in place of the earlier ones.

        Sessions, streams and waiting requests end if their token is gone, or has another scope now.
        """
        self._rules = rules
        self.generation += 1
        self.sessions.keep(self._is_known)
        self.admissions.keep(self._is_known)

    def _is_known(self, identity: Identity) -> bool:
        return identity in self._rules.tokens if self.has_tokens else identity == ANONYMOUS

    @property
    def has_tokens(self) -> bool:
        """Return whether any token is configured."""
        return len(self._rules.tokens) > 0

    def admit(self, request: IncomingRequest, need: Need | None) -> None:
        """Admit a request and set its ``identity``, or raise the error to answer it with.

        Parameters:
            need: the scope that the route needs; ``None`` refuses every caller.
        """
        side = request.client_side
        if side is not None and side.fault:
            raise BadRequestError(side.fault)
        host = self._host(request)
        if need is None:
            _log.error("a route without an access rule was refused", path=request.path)
            raise TooSmallScopeError("this route has no access rule, so every request is refused; report this as a bug")
        is_safe = request.method in _SAFE
        is_own_page = False
        if not (is_safe and need == "open"):
            is_own_page = self._refuse_other_sites(request, host, is_safe=is_safe)
        if need == "signed":
            return  # Authorization may hold the secret of a hook, which is no token and must not count as a wrong one
        try:
            identity, by_cookie = self._identify(request)
        except (BadCredentialsError, UnauthenticatedError, TooSmallScopeError, TooManyAttemptsError):
            if need != "open":
                raise
            return  # an open route serves unknown callers, without an identity
        # A browser sends the cookie with requests of any page, so a change needs proof that a page of ours sent it.
        if by_cookie and not is_safe and not is_own_page:
            raise OtherSiteError(
                "a change with a session cookie needs the header Origin, or Sec-Fetch-Site: same-origin"
            )
        if need != "open" and not identity.may(need):
            challenge = {"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{need}"'}
            raise TooSmallScopeError(
                f"this request needs a token with the scope {need}; yours has the scope {identity.scope}", challenge
            )
        request.identity = identity

    # Is the request for this server, and from one of its pages?

    def _host(self, request: IncomingRequest) -> Authority | None:
        """Return the host of the request, or ``None`` if an HTTP/1.0 request has none; no browser sends HTTP/1.0."""
        hosts = request.hosts
        if not hosts and request.http_version != "1.0":
            raise BadRequestError("missing Host header")
        host = None
        for text in hosts:
            host = parse_authority(text)
            if host is None:
                raise BadRequestError("invalid Host header: send a name or an address, with or without a port")
            if not self._rules.server_names.include(host, request.local_address):
                raise MisdirectedError(
                    f"unknown host {host.name}: use the server's address, or add the name to allowed_hosts"
                )
        return host

    def _refuse_other_sites(self, request: IncomingRequest, host: Authority | None, *, is_safe: bool) -> bool:
        """Return whether a browser reports that a page of this server sent the request.

        Raises:
            OtherSiteError: the browser reports a page of another site.
        """
        origins, sites = request.header_values(b"origin"), request.header_values(b"sec-fetch-site")
        is_link = is_safe and request.header_values(b"sec-fetch-dest") == ["document"]
        if sites not in ([], ["same-origin"], ["none"]) and not is_link:
            raise OtherSiteError("requests from pages of other sites are not allowed here (Sec-Fetch-Site)")
        if origins and not (
            len(origins) == 1 and self._rules.server_names.include_origin(origins[0], host, request.scheme)
        ):
            raise OtherSiteError(
                "requests from pages of other origins are not allowed here (Origin);"
                " if the page belongs to this server, add its host to allowed_hosts"
            )
        return bool(origins) or sites == ["same-origin"]

    # Who is the caller?

    def _identify(self, request: IncomingRequest) -> tuple[Identity, bool]:
        """Return the caller, and whether a session's cookie identified the caller."""
        if not self.has_tokens:
            return self._anonymous(request), False
        match request.header_values(b"authorization"):
            case []:
                pass
            case [credentials]:
                # Another scheme is for a proxy, such as Basic: it neither identifies nor refuses the caller.
                if credentials.lower().startswith("bearer"):
                    bearer = _BEARER.fullmatch(credentials)
                    return self.identify_token("" if bearer is None else bearer[1], peer_of(request)), False
            case _:
                challenge = {"WWW-Authenticate": f'{_REALM}, error="invalid_request"'}
                raise BadCredentialsError("repeated Authorization header: send one", challenge)
        session_id = session_of(request)
        identity = None if session_id is None else self.sessions.find(session_id)
        if identity is None:
            raise UnauthenticatedError(
                "this request needs a token: send it as Authorization: Bearer TOKEN", {"WWW-Authenticate": _REALM}
            )
        return identity, True

    def _anonymous(self, request: IncomingRequest) -> Identity:
        local, side = request.local_address, request.client_side
        is_local = (local is None or is_loopback(local)) and (side is None or not side.is_remote)
        if self._rules.allow_anonymous or is_local:
            return ANONYMOUS
        raise TooSmallScopeError(
            "no token is configured, so only requests over the loopback address are allowed:"
            " configure a token, or set allow_anonymous"
        )

    def identify_token(self, token: str, peer: str) -> Identity:
        """Return the identity that a token belongs to.

        Raises:
            UnauthenticatedError: the token is unknown.
            TooManyAttemptsError: the token is unknown, and this peer has sent too many unknown tokens.
        """
        identity = self._rules.tokens.identify(token)
        if identity is not None:
            return identity
        wait_seconds = self._failures.count(peer)
        if wait_seconds:
            headers = {"Retry-After": str(wait_seconds)}
            raise TooManyAttemptsError("too many attempts with unknown tokens: wait, then try again", headers)
        _log.warning("refused a token", peer=peer)
        challenge = {"WWW-Authenticate": f'{_REALM}, error="invalid_token"'}
        raise UnauthenticatedError("unknown token: use a token that this server is configured with", challenge)


def peer_of(request: IncomingRequest) -> str:
    """Return the client's address, by which failed attempts are counted."""
    return request.client_address or "local"


def session_cookie(request: IncomingRequest) -> str:
    """Return the name of the session's cookie.

    A browser sends the cookie of a server at ``/`` to the servers below it, too, so each base path has its own name.
    """
    prefix = link_to(request, "")
    return f"{SESSION_COOKIE}_{sha256(prefix.encode()).hexdigest()[:8]}" if prefix else SESSION_COOKIE


def session_of(request: IncomingRequest) -> str | None:
    """Return the session's id that a browser has sent, or ``None``.

    If a browser has sent several ids, another site has set one of the cookies, so none is trusted.
    """
    wanted = session_cookie(request)
    cookies = [pair.strip().partition("=") for line in request.header_values(b"cookie") for pair in line.split(";")]
    ids = [value for name, _, value in cookies if name == wanted]
    return ids[0] if len(ids) == 1 else None
