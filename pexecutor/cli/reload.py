"""The command ``reload``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from .client_command import ClientCommand, Session
from .record_text import one_line

_VERBS: Final = ("added", "changed", "removed")


@click.command(cls=ClientCommand)
@click.pass_obj
def reload(session: Session) -> None:
    """Make the server read its settings file again.

    Prints the settings that have changed, and those that need a restart. If the file is invalid, nothing changes. Check
    a file with `pexecutor serve --check --config FILE`.
    """
    document = session.client.reload()
    if session.as_json:
        session.report.details(document)
        return
    for line in _lines(document.value):
        click.echo("\t".join(map(one_line, line)))


def _lines(reloaded: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for change in reloaded["changed"]:
        entries = [f"{verb} {' '.join(change[verb])}" for verb in _VERBS if change.get(verb)]
        yield "changed", change["setting"], *([", ".join(entries)] if entries else [])
    for setting in reloaded["restart_needed"]:
        yield "restart needed", setting
    if not (reloaded["changed"] or reloaded["restart_needed"]):
        yield ("unchanged",)
