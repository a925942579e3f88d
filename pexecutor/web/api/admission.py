"""The admission of a request that is being answered: it ends when the caller's token is removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from ...access import Identity
from .errors import UnauthenticatedError

REVOKED: Final = "the token of this request was removed while the request was answered: use another token"
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="pexecutor", error="invalid_token"'}


class Admission:
    """The admission of one request, which ends when the caller's token is removed.

    Parameters:
        identity: the caller.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity: Identity = identity
        self.is_revoked: bool = False
        # The innermost context of until_revoked() that is open. Only its body is cancelled, so that it can reply.
        self._scope: trio.CancelScope | None = None

    def revoke(self) -> None:
        """End what waits inside ``until_revoked``."""
        self.is_revoked = True
        if self._scope is not None:
            self._scope.cancel()

    @contextmanager
    def until_revoked(self) -> Iterator[None]:
        """Cancel the body when the admission ends. While an inner context is open, only its body is cancelled.

        Raises:
            UnauthenticatedError: the body was cancelled.
        """
        if self.is_revoked:
            raise _revoked()
        outer, self._scope = self._scope, trio.CancelScope()
        try:
            with self._scope as scope:
                yield
        finally:
            self._scope = outer
        if scope.cancelled_caught:
            raise _revoked()


def _revoked() -> UnauthenticatedError:
    return UnauthenticatedError(REVOKED, _CHALLENGE)
