"""The commands ``db``: check, export, back up and vacuum the file of the tasks. Only ``vacuum`` changes the file.

Each command imports SQLite when it runs, because other commands import this module, too, and do not need it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

from ..config import database_file, load_config
from ..errors import counted
from .streams import notify

if TYPE_CHECKING:
    from ..stores.sqlite import inspection


@click.group()
def db() -> None:
    """Check, export, back up or shrink the file of the tasks."""


def _of_file(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that locate the file; the command receives the path of the file."""

    @wraps(command)
    def with_path(file: Path | None, data_dir: str | None, **others: Any) -> None:
        config = load_config(file=file, environment=os.environ, flags={"data_dir": data_dir})
        command(database_file(config), **others)

    with_config = click.option("--config", "file", type=click.Path(path_type=Path), help="A TOML file of settings.")
    with_data_dir = click.option("--data-dir", metavar="DIRECTORY", help="Directory of the tasks' file.")
    return with_config(with_data_dir(with_path))


@db.command()
@_of_file
def check(path: Path) -> None:
    """Check the file for damage. Exit status 1 if it is damaged."""
    from ..stores.sqlite import inspection

    findings = inspection.check(path)
    set_aside = f", {counted(findings.set_aside, 'invalid row')} set aside" if findings.set_aside else ""
    beside = [f", {number} {kind}" for kind, number in findings.beside.items() if kind != "answers"]
    click.echo(f"{path}: {findings.in_flight} in flight, {findings.history} finished{''.join(beside)}{set_aside}")
    _fail_with(findings, "the file is damaged: `pexecutor db export` saves the tasks that can be read")


@db.command()
@click.argument("output", type=click.Path(allow_dash=True), default="-")
@click.option(
    "--kind",
    type=click.Choice(["tasks", "schedules", "answers"]),
    default="tasks",
    show_default=True,
    help="What to write: answers are the remembered answers to requests with a key.",
)
@_of_file
def export(path: Path, output: str, kind: str) -> None:
    """Write the tasks in flight to OUTPUT, one JSON line per task, as they were submitted. `-` prints them."""
    if kind == "tasks":
        _export_tasks(path, output)
    else:
        _export_beside(path, output, kind)


def _export_beside(path: Path, output: str, kind: str) -> None:
    """Write the schedules, each as its definition with its name, or the remembered answers."""
    from ..stores.sqlite import inspection

    lines = inspection.save_schedules(path) if kind == "schedules" else inspection.save_answers(path)
    with _opened(output) as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in lines)
        file.flush()
    notify(f"{kind}: {len(lines)}")


def _export_tasks(path: Path, output: str) -> None:
    from ..stores.sqlite import inspection

    findings = inspection.Findings()
    records = inspection.save(path, findings)
    first = next(records, None)  # an invalid file raises here, before the output is touched
    with _opened(output) as file:
        for record in chain([] if first is None else [first], records):
            file.write(msgspec.json.encode(record.task) + b"\n")
        file.flush()  # so that a full disk fails here, before the summary is printed
    notify(f"tasks in flight: {findings.in_flight}")
    _fail_with(findings, "some tasks may be missing")


@contextmanager
def _opened(output: str) -> Iterator[IO[bytes]]:
    """Open a file, or standard output for ``-``. Only the owner can read a new file, as params may be secrets."""
    if output == "-":
        with click.open_file(output, "wb") as stdout:
            yield stdout
        return
    from ..stores.sqlite.file_lock import PRIVATE

    try:
        file = open(output, "wb", opener=lambda name, flags: os.open(name, flags, PRIVATE))  # noqa: SIM115
    except OSError as error:
        raise click.FileError(output, error.strerror) from error
    with file:
        yield file


@db.command()
@click.argument("copy", type=click.Path(path_type=Path))
@_of_file
def backup(path: Path, copy: Path) -> None:
    """Copy a snapshot of the file to COPY. A server may use the file meanwhile."""
    from ..stores.sqlite import inspection

    inspection.back_up(path, copy)


@db.command()
@_of_file
def vacuum(path: Path) -> None:
    """Shrink the file to the size of its tasks. No server may use the file meanwhile."""
    from ..stores.sqlite import inspection

    before, after = inspection.vacuum(path)
    click.echo(f"{path}: {before:,} bytes before, {after:,} bytes now")


def _fail_with(findings: inspection.Findings, message: str) -> None:
    if findings.faults:
        for fault in findings.faults:
            notify(fault)
        raise click.ClickException(message)
