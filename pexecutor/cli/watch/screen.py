"""The screen of ``watch``: who looks, who draws, and what ends it.

Looks are taken in a thread, so whatever the server does, a key ends this at once. What is shown, and whether it is
still true, is owned by ``Screen``: looks set it, ``draw`` alone reads it.
"""

from __future__ import annotations

import signal
from typing import Final

import trio
from rich.console import Console
from rich.live import Live

from ...client.client import Client
from ...errors import PexecutorError, UnreachableError
from .drawing import draw
from .keyboard import keys_unbuffered, quit_pressed
from .snapshot import Snapshot, take_snapshot

SIGNALLED: Final = 128
"""What a shell adds to the number of the signal that ended a program."""

_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def watch_screen(client: Client, seconds: float) -> int:
    """Watch until a key or a signal ends it; the exit status.

    Parameters:
        client: the server.
        seconds: from one look to the next.

    Raises:
        PexecutorError: there was nothing to see at first, or the server refuses to show it.
    """
    first = await _take(client)
    with keys_unbuffered(), Live(console=_console(), screen=True, auto_refresh=False) as live:
        async with trio.open_nursery() as nursery:
            screen = Screen(live, client.url, first, nursery.cancel_scope)
            await nursery.start(screen.obey_signals)  # before the first drawing: its size may change at once
            nursery.start_soon(screen.look, client, seconds)
            await quit_pressed()
            nursery.cancel_scope.cancel()
    if screen.error is not None:
        raise screen.error
    return screen.status


async def _take(client: Client) -> Snapshot:
    return await trio.to_thread.run_sync(take_snapshot, client, abandon_on_cancel=True)


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


class Screen:
    """What is shown, and how it ended.

    Parameters:
        live: where it is drawn.
        url: whose work this is.
        snapshot: the first.
        watching: cancelled when it is to end.
    """

    def __init__(self, live: Live, url: str, snapshot: Snapshot, watching: trio.CancelScope) -> None:
        self._live = live
        self._url = url
        self._snapshot = snapshot
        self._lost: str | None = None
        self._watching = watching
        self.error: PexecutorError | None = None
        self.status: int = 0

    def draw(self) -> None:
        """Draw it, in the terminal's present size."""
        picture = draw(self._snapshot, url=self._url, lost=self._lost, lines=self._live.console.height)
        self._live.update(picture, refresh=True)

    async def look(self, client: Client, seconds: float) -> None:
        """Look again and again; an error that will not pass ends it all."""
        while True:
            self.draw()
            await trio.sleep(seconds)
            try:
                self._snapshot, self._lost = await _take(client), None
            except UnreachableError as error:
                self._lost = str(error)
            except PexecutorError as error:
                self.error = error
                self._watching.cancel()

    async def obey_signals(self, task_status: trio.TaskStatus[None]) -> None:
        """Draw it anew when the terminal has another size; end when told to."""
        with trio.open_signal_receiver(*_ENDS, signal.SIGWINCH) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGWINCH:
                    self.draw()
                else:
                    self.status = 0 if number == signal.SIGINT else SIGNALLED + number
                    self._watching.cancel()
