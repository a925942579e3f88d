"""Ask for a confirmation on a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable

import click

from .streams import STDERR, STDIN, notify


def is_confirmed(question: Callable[[], str], *, yes: bool) -> bool:
    """Return whether a person agrees. Nothing is asked without a terminal, or with ``yes``.

    Parameters:
        question: returns the question to ask on standard error. An empty answer means no.
        yes: whether the person has already agreed, with ``--yes``.
    """
    if yes or not (os.isatty(STDIN) and os.isatty(STDERR)):
        return True
    try:
        return click.confirm(question(), err=True)
    except click.Abort:
        notify("")  # the cursor is behind the question
        raise
