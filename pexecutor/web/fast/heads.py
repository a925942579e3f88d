"""A cache of request heads, so that a repeated head need not be parsed and checked again.

A client sends the same bytes as the head of each submit, except that Content-Length differs now and then. A head that
was parsed and admitted by the gate is remembered by its bytes. A submit with the same head skips the parser and the
gate.

The result is the same, because neither of them depends on anything else:

* The parser is between two requests, so its result depends only on the next bytes. Where a body with a declared length
  ends depends only on the head.
* The gate's decision depends only on the head, on the server's address, on whether the client is a trusted proxy, and
  on the gate's settings, unless the head has a session: a session can end. The gate raises its generation number with
  every change of its settings, and a head is known only in the generation in which it was admitted. Refused heads are
  not remembered.

A head with a part that is specific to its request (an id, a trace) is not remembered either. A head with a token is
looked up by a keyed hash of the whole head before any byte is compared, so the time reveals nothing about the token.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ...access import Identity
from ..access.proxies import Front
from ..serving.quart_app import REQUEST_ID_HEADER
from .request import Ends, Request

HEADS_REMEMBERED_MAX: Final = 256
HEAD_BYTES_REMEMBERED_MAX: Final = 1024

_END: Final = b"\r\n\r\n"
_OWN: Final = frozenset({b"cookie", b"traceparent", REQUEST_ID_HEADER})
"""Heads with one of these headers are not remembered."""


class KnownHead(msgspec.Struct, frozen=True, gc=False):
    """The result for a remembered head.

    Parameters:
        identity: the caller.
        body_bytes: the length of the body.
        tasks_link: the link to the tasks, with which links to records begin.
    """

    identity: Identity | None
    body_bytes: int
    tasks_link: str


class KnownHeads:
    """The heads of admitted submits; if there are too many, the oldest is forgotten."""

    def __init__(self) -> None:
        # Owned by remember(). Keyed by the gate's generation, the server's address, the way in which requests
        # of the client are read, and the bytes of the head.
        self._known: dict[tuple[int, tuple[str, int] | None, Front | None, bytes], KnownHead] = {}

    def find(self, data: bytes, ends: Ends, generation: int) -> tuple[KnownHead, bytes] | None:
        """Return a known head and its body if the data is exactly that, else ``None``.

        The parser must be between two requests.

        Parameters:
            generation: the gate's generation now.
        """
        head, _, body = data.partition(_END)
        known = self._known.get((generation, ends.server, ends.front, head))
        return None if known is None or known.body_bytes != len(body) else (known, body)

    def remember(self, data: bytes, request: Request, generation: int, tasks_link: str) -> None:
        """Remember the head of an admitted submit.

        Parameters:
            data: the whole request; the parser must have been between two requests before it.
            generation: the gate's generation in which the submit was admitted.
            tasks_link: the link to the tasks in replies to this client.
        """
        head, _, body = data.partition(_END)
        if len(head) > HEAD_BYTES_REMEMBERED_MAX or request.content_length != len(body):
            return
        if _OWN.isdisjoint(request.headers):
            known = KnownHead(request.identity, len(body), tasks_link)
            self._known[generation, request.ends.server, request.ends.front, head] = known
            if len(self._known) > HEADS_REMEMBERED_MAX:
                del self._known[next(iter(self._known))]
