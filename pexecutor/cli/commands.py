"""All commands but ``serve``. Most are a client's, and talk with a server over the same API as everybody else.

A client's command is a plain function on a ``Session`` (see ``command.py``). It shows what it was told (``report.py``),
returns its exit status, and leaves errors to the one table from errors to exit statuses (``exits.py``). For people it
draws, in colour; into a pipe it writes fields with tabs between; with ``--json`` what the API said, as it came.

Only ``click`` is imported to know the commands. The HTTP client and what draws are imported when a command runs.
"""

from __future__ import annotations

import click

from .act import cancel, drain
from .conformance import conformance
from .db import db
from .logs import logs
from .move import move
from .read import handlers, list_tasks, show
from .submit import submit
from .token import token
from .watch.command import watch

COMMANDS: tuple[click.Command, ...] = (
    submit,
    list_tasks,
    show,
    logs,
    cancel,
    watch,
    drain,
    handlers,
    db,
    conformance,
    move,
    token,
)

__all__ = ["COMMANDS"]
