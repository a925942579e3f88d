"""The requests that are being answered, by caller: when a token is removed, the requests of its callers end.

A request with a wait, a stream of tasks, an event stream and a followed log can last for a long time after the gate has
admitted them. Each is registered while it is answered. When the settings change, ``Admissions.keep`` cancels those
whose caller is no longer known.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from ...access import Identity
from ..api.admission import Admission
from ..api.errors import UnauthenticatedError
from ..api.request import CutOffError


class Admissions:
    """The admissions of the requests that are being answered."""

    def __init__(self) -> None:
        # Owned by of(): each request that is being answered for a known caller.
        self._open: set[Admission] = set()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def of(self, identity: Identity) -> Iterator[Admission]:
        """Register a request of this caller inside this context."""
        admission = Admission(identity)
        self._open.add(admission)
        try:
            yield admission
        finally:
            self._open.discard(admission)

    def keep(self, is_known: Callable[[Identity], bool]) -> None:
        """Revoke the admissions of callers that are no longer known."""
        for admission in self._open:
            if not is_known(admission.identity):
                admission.revoke()


class RevocableParts:
    """The parts of a streamed reply. When the admission ends, the reply is cut off, so that it does not look complete.

    Parameters:
        parts: the parts.
        admission: the admission of the request.
    """

    def __init__(self, parts: AsyncIterator[bytes], admission: Admission) -> None:
        self._parts = parts
        self._admission = admission

    def __aiter__(self) -> RevocableParts:
        return self

    async def __anext__(self) -> bytes:
        """Return the next part.

        Raises:
            CutOffError: the admission has ended.
        """
        try:
            with self._admission.until_revoked():
                return await anext(self._parts)
        except UnauthenticatedError as error:
            raise CutOffError from error

    async def aclose(self) -> None:
        """Close the parts. The framework calls this at the end of the reply."""
        if isinstance(self._parts, AsyncGenerator):
            await self._parts.aclose()
