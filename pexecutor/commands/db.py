"""``pexecutor db``: check, export and back up the file that tasks are kept in. None of them changes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from ..config import database_file, load_config
from ..stores import inspection
from .streams import notify


@click.group()
def db() -> None:
    """The file that tasks are kept in: check it, save its tasks, copy it."""


def _of_file(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which file; the command is called with its path."""

    @wraps(command)
    def with_path(file: Path | None, data_dir: str | None, **others: Any) -> None:
        config = load_config(file=file, environment=os.environ, flags={"data_dir": data_dir})
        command(database_file(config), **others)

    with_config = click.option("--config", "file", type=click.Path(path_type=Path), help="A TOML file of settings.")
    with_data_dir = click.option("--data-dir", metavar="DIRECTORY", help="Where tasks are kept.")
    return with_config(with_data_dir(with_path))


@db.command()
@_of_file
def check(path: Path) -> None:
    """Tell whether the file is whole. Exit status 1 when it is not."""
    findings = inspection.check(path)
    click.echo(f"{path}: {findings.in_flight} in flight, {findings.history} finished")
    _fail_with(findings, "it is damaged: `pexecutor db export` saves the tasks that can be read")


@db.command()
@click.argument("output", type=click.File("wb"), default="-")
@_of_file
def export(path: Path, output: IO[bytes]) -> None:
    """Write the tasks in flight to OUTPUT, or print them: one a line, as they were submitted."""
    findings = inspection.Findings()
    for record in inspection.save(path, findings):
        output.write(msgspec.json.encode(record.task) + b"\n")
    output.flush()  # before the notice, and it fails here
    notify(f"tasks in flight: {findings.in_flight}")
    _fail_with(findings, "some tasks may be missing")


@db.command()
@click.argument("copy", type=click.Path(path_type=Path))
@_of_file
def backup(path: Path, copy: Path) -> None:
    """Copy the file to COPY as it is at one instant, also while a server uses it."""
    inspection.back_up(path, copy)


def _fail_with(findings: inspection.Findings, message: str) -> None:
    if findings.faults:
        for fault in findings.faults:
            notify(fault)
        raise click.ClickException(message)
