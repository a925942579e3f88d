"""The list of all commands except ``serve``. Most of them call a server over the public API.

Such a command is a plain function of a ``Session`` (see ``client_command.py``). It prints replies (``output.py``) and
returns its exit status. Errors become exit statuses in one table (``exit_status.py``). Output on a terminal is a
coloured table, output into a pipe is tab-separated fields, and with ``--json`` it is the API's JSON, unchanged.

Importing the commands imports only ``click``. A command imports the HTTP client and the drawing library when it runs.
"""

from __future__ import annotations

import click

from .act import change, drain
from .bulk import cancel, priority, retry
from .conformance import conformance
from .db import db
from .logs import logs
from .move import move
from .pausing import pause, resume, status, why
from .read import handlers, list_tasks, show
from .reload import reload
from .schedule import schedule
from .submit import submit
from .token import token
from .wait import wait
from .watch.command import watch

COMMANDS: tuple[click.Command, ...] = (
    submit,
    list_tasks,
    show,
    why,
    logs,
    cancel,
    retry,
    priority,
    change,
    wait,
    watch,
    status,
    pause,
    resume,
    drain,
    reload,
    handlers,
    schedule,
    db,
    conformance,
    move,
    token,
)

__all__ = ["COMMANDS"]
