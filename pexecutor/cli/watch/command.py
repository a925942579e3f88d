"""The command ``watch``: show a server's work in a terminal, live.

It polls the server once a second, and draws after each poll and when the size of the terminal changes. It polls instead
of reading an event stream, because one screen a second is enough to read, because each poll of three bounded replies is
complete, so a lost connection needs no catching up, and because every version of the server supports it.
"""

from __future__ import annotations

import sys
import time
from typing import Final

import click

from ..client_command import ClientCommand, Session

INTERVAL_SECONDS: Final = 1.0


@click.command(cls=ClientCommand)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=INTERVAL_SECONDS,
    show_default=True,
    help="Seconds between two polls.",
)
@click.pass_obj
def watch(session: Session, interval: float) -> int:
    """Show a server's work live in the terminal.

    Shows the pool, the queue, running and finished tasks until q is pressed. With --json, prints the statistics, one
    document per line.
    """
    if session.as_json:
        while True:
            session.report.details(session.client.readiness())
            time.sleep(interval)
    if not sys.stdout.isatty():
        raise click.UsageError("`watch` needs a terminal: use `watch --json` or `list` for other outputs")
    # Imported here, because Trio and the drawing library take long to load and only this command needs them.
    import trio

    from .screen import watch_screen

    return trio.run(watch_screen, session.client, interval)
