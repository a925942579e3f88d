"""The screen of ``watch``: poll the server, draw, and end on a key or a signal.

Polls run in a thread, so a key ends the screen at once even if the server does not reply. ``Screen`` owns the snapshot
and the state of the connection: ``poll`` sets them, and only ``draw`` reads them.
"""

from __future__ import annotations

import signal
from typing import Final

import trio
from rich.console import Console
from rich.live import Live

from ...client.documents import DocumentClient
from ...errors import PexecutorError, UnreachableError
from .drawing import draw
from .keyboard import keys_unbuffered, quit_pressed
from .snapshot import Snapshot, take_snapshot

SIGNALLED: Final = 128
"""The offset that a shell adds to the number of the signal that ended a program."""

_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def watch_screen(client: DocumentClient, seconds: float) -> int:
    """Show the screen until a key or a signal ends it, and return the exit status.

    Parameters:
        client: the client of the server.
        seconds: the time between two polls.

    Raises:
        PexecutorError: the first poll failed, or the server refuses a later poll.
    """
    first = await _take(client)
    with keys_unbuffered(), Live(console=_console(), screen=True, auto_refresh=False) as live:
        async with trio.open_nursery() as nursery:
            screen = Screen(live, client.url, first, nursery.cancel_scope)
            await nursery.start(screen.obey_signals)  # before the first drawing: the terminal may change its size
            nursery.start_soon(screen.poll, client, seconds)
            await quit_pressed()
            nursery.cancel_scope.cancel()
    if screen.error is not None:
        raise screen.error
    return screen.status


async def _take(client: DocumentClient) -> Snapshot:
    return await trio.to_thread.run_sync(take_snapshot, client, abandon_on_cancel=True)


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


class Screen:
    """The state of the screen.

    Parameters:
        live: the display.
        url: the URL of the server.
        snapshot: the first snapshot.
        watching: the scope that is cancelled to end the screen.
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
        """Draw the snapshot in the present size of the terminal."""
        size = self._live.console.size
        picture = draw(self._snapshot, url=self._url, lost=self._lost, lines=size.height, columns=size.width)
        self._live.update(picture, refresh=True)

    async def poll(self, client: DocumentClient, seconds: float) -> None:
        """Poll and draw for ever; a permanent error ends the screen."""
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
        """Redraw when the size of the terminal changes; end on a signal that asks for it."""
        with trio.open_signal_receiver(*_ENDS, signal.SIGWINCH) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGWINCH:
                    self.draw()
                else:
                    self.status = 0 if number == signal.SIGINT else SIGNALLED + number
                    self._watching.cancel()
