"""Heads that have come before: what has been found out about one of them need not be found out again.

A client sends the same head with each submit, to the byte, but for a length that differs now and then. What was read by
the parser and let in by the gate is remembered by its bytes; a submit with the same ones is neither parsed nor asked.

That comes to the same, since both go by nothing else:

* The parser stood between two requests, so what it makes of the next bytes is known by them alone; and where a body
  ends whose length was told, by its head alone.
* The gate goes by the head and by our end of the connection, as long as no session is in it: only those end. What it
  refuses is not remembered.

A head with something that is its request's own (an id, a trace) is not remembered either. One with a token is found
by a keyed hash of all of it, before any byte is compared, so the time that it takes tells nothing of the token.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ...access import Identity
from ..serving.quart_app import REQUEST_ID_HEADER
from .request import Ends, Request

HEADS_REMEMBERED_MAX: Final = 256
HEAD_BYTES_REMEMBERED_MAX: Final = 1024

_END: Final = b"\r\n\r\n"
_OWN: Final = frozenset({b"cookie", b"traceparent", REQUEST_ID_HEADER})
"""Headers that make a head one that is looked at each time."""


class KnownHead(msgspec.Struct, frozen=True, gc=False):
    """What a head has come to.

    Parameters:
        identity: who asks.
        body_bytes: how long the body is.
    """

    identity: Identity | None
    body_bytes: int


class KnownHeads:
    """Remembers the heads of submits that were let in; the oldest goes first."""

    def __init__(self) -> None:
        # Owned by remember(): by our end of the connection, and the bytes.
        self._known: dict[tuple[tuple[str, int] | None, bytes], KnownHead] = {}

    def find(self, data: bytes, ends: Ends) -> tuple[KnownHead, bytes] | None:
        """A known head and the body behind it, if that is what has come; the parser stands between two requests."""
        head, _, body = data.partition(_END)
        known = self._known.get((ends.server, head))
        return None if known is None or known.body_bytes != len(body) else (known, body)

    def remember(self, data: bytes, request: Request) -> None:
        """Remember the head of a submit that was let in.

        Parameters:
            data: all that has come of it; the parser stood between two requests before.
        """
        head, _, body = data.partition(_END)
        if len(head) > HEAD_BYTES_REMEMBERED_MAX or request.content_length != len(body):
            return
        if _OWN.isdisjoint(request.headers):
            self._known[request.ends.server, head] = KnownHead(request.identity, len(body))
            if len(self._known) > HEADS_REMEMBERED_MAX:
                del self._known[next(iter(self._known))]
