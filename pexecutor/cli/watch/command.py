"""``watch``: a server's work as it goes on, in a terminal.

It looks once a second, and draws when there is news or the terminal has another size. It polls where it could have read
an event stream: a screen a second is all that anybody can read, three bounded replies make it whole each time, so there
is nothing to catch up with after a lost connection, and every version of a server has them.
"""

from __future__ import annotations

import sys
import time
from typing import Final

import click
import trio

from ..client_command import ClientCommand, Session

INTERVAL_SECONDS: Final = 1.0


@click.command(cls=ClientCommand)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=INTERVAL_SECONDS,
    show_default=True,
    help="Seconds from one look to the next.",
)
@click.pass_obj
def watch(session: Session, interval: float) -> int:
    """Watch the work as it goes on.

    Shows the pool, the queue, what runs and what has ended, until q is pressed. With --json, prints the statistics,
    one document a line.
    """
    if session.as_json:
        while True:
            session.report.details(session.client.readiness())
            time.sleep(interval)
    if not sys.stdout.isatty():
        raise click.UsageError("`watch` draws in a terminal; for anything else there are `watch --json` and `list`")
    # Imported here, as what draws is much to load, and no other command needs it.
    from .screen import watch_screen

    return trio.run(watch_screen, session.client, interval)
