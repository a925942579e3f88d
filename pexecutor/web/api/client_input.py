"""The input of one client, for replies that wait: a client that has ended its input may be gone.

``serving/half_closed.py`` says how a client that is gone is found then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class ClientInput:
    """The input of one client; reports when the client has ended its sending side."""

    def __init__(self) -> None:
        self.ended: bool = False
        # Owned by until_input_ends(): the scopes to cancel at the end of the input.
        self._waiting: set[trio.CancelScope] = set()

    def end(self) -> None:
        """Record that the client has ended its sending side, and cancel the scopes that wait for the end."""
        self.ended = True
        for scope in self._waiting:
            scope.cancel()

    @contextmanager
    def until_input_ends(self, seconds_max: float) -> Iterator[None]:
        """Cancel the body after a time, or when the input ends; an input that has ended before does not cancel it."""
        with trio.move_on_after(seconds_max) as scope:
            if not self.ended:
                self._waiting.add(scope)
            try:
                yield
            finally:
                self._waiting.discard(scope)
