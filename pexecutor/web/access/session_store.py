"""The sessions of signed-in browsers, in memory: they end with the process.

A session stands for a token, but its id is not the token. So a stolen cookie is useless after some hours, and useless
on other servers. Each token has a bounded number of sessions. When one more begins, the oldest session of the same
token ends, so a caller who signs in cannot end the sessions of other tokens.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import trio

from ...access import Identity

SESSIONS_PER_TOKEN_MAX: Final = 100
SESSION_SECONDS_MAX: Final = 12 * 60 * 60
SESSION_RANDOM_BYTES: Final = 32


class Sessions:
    """The sessions that have not expired.

    Parameters:
        now: a clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = trio.current_time) -> None:
        self._now = now
        # Keyed by the hash of the id, so that the time of a lookup reveals nothing about an id. Oldest first.
        self._sessions: dict[bytes, tuple[float, Identity]] = {}

    def begin(self, identity: Identity) -> str:
        """Begin a session, and return its id."""
        self._end_expired()
        own = [key for key, (_, who) in self._sessions.items() if who.name == identity.name]
        if len(own) >= SESSIONS_PER_TOKEN_MAX:
            del self._sessions[own[0]]
        session_id = secrets.token_urlsafe(SESSION_RANDOM_BYTES)
        self._sessions[_key(session_id)] = self._now() + SESSION_SECONDS_MAX, identity
        return session_id

    def find(self, session_id: str) -> Identity | None:
        """Return the identity of a session, or ``None`` if the session is unknown or has expired."""
        self._end_expired()
        found = self._sessions.get(_key(session_id))
        return None if found is None else found[1]

    def end(self, session_id: str) -> None:
        """End a session, if it exists."""
        self._sessions.pop(_key(session_id), None)

    def keep(self, is_known: Callable[[Identity], bool]) -> None:
        """End the sessions whose identity is no longer known."""
        self._sessions = {key: session for key, session in self._sessions.items() if is_known(session[1])}

    def _end_expired(self) -> None:
        while self._sessions and self._sessions[oldest := next(iter(self._sessions))][0] <= self._now():
            del self._sessions[oldest]


def _key(session_id: str) -> bytes:
    return sha256(session_id.encode()).digest()
