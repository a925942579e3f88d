"""The command ``logs``: print the output of a task, and follow it while the task runs.

The command reads the log as lines of JSON, because these have the stream and the place of each piece of output. So it
prints exactly the bytes that the task printed, each stream where it belongs, and after a lost connection it goes on
where it was.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from ..client.log_stream import LogPlace, LogRow, LogStream
from ..errors import counted
from ..limits.defaults import CLIENT_PAUSE_SECONDS
from .client_command import ClientCommand, Session
from .completion import complete_task
from .output import echo_json
from .record_text import one_line
from .retrying import persist
from .streams import notify
from .task_lookup import find_latest

if TYPE_CHECKING:
    from ..client.documents import DocumentClient

LOST_SECONDS_MAX: Final = 60.0

Print = Callable[[LogRow, bytes, bytes], None]
"""Prints a row: the row, its bytes that were not printed before, and the row as JSON."""


@click.command(cls=ClientCommand)
@click.argument("task", shell_complete=complete_task)
@click.option("-f", "--follow", is_flag=True, help="Follow the output until the task has its outcome.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="The attempt, from 1. [default: the last one]")
@click.option("--timestamps", is_flag=True, help="Print the time and the stream before each line.")
@click.pass_obj
def logs(session: Session, task: str, follow: bool, attempt: int | None, timestamps: bool) -> None:
    """Print the output of a task's last attempt, as far as the server keeps it.

    TASK is an id or a name. A name means the task in flight with that name, or else the last finished one.
    """
    client = session.client
    task_id = find_latest(client, task)
    show = print_json if session.as_json else Stamped().print if timestamps else print_bytes
    if not follow:
        persist(lambda: AttemptReader(client, task_id, attempt, show).read(follow=False), until=_deadline())
    elif attempt is not None:
        follow_attempt(client, task_id, attempt, show)
    else:
        follow_task(client, task_id, show)


def follow_task(client: DocumentClient, task_id: str, show: Print) -> None:
    """Print the output of the present attempt and of all later ones."""
    record = _record(client, task_id)
    attempt = len(record["attempts"]) + (record["state"] != "finished")
    while attempt:
        record = follow_attempt(client, task_id, attempt, show)
        ended = record["state"] == "finished" and attempt >= len(record["attempts"])
        attempt = 0 if ended else attempt + 1


def follow_attempt(client: DocumentClient, task_id: str, attempt: int, show: Print) -> dict[str, Any]:
    """Print the output of an attempt until it ends, and return the record of the task then."""
    reader = AttemptReader(client, task_id, attempt, show)
    while True:
        persist(lambda: reader.read(follow=True), until=_deadline())
        record = _record(client, task_id)
        if record["state"] == "finished" or len(record["attempts"]) >= attempt:
            return record
        time.sleep(CLIENT_PAUSE_SECONDS)  # the log ended before the attempt, as at the stop of a server


def _record(client: DocumentClient, task_id: str) -> dict[str, Any]:
    return persist(lambda: client.show(task_id), until=_deadline()).value


def _deadline() -> float:
    return time.monotonic() + LOST_SECONDS_MAX


class AttemptReader:
    """Reads the log of an attempt, as often as needed, and prints each byte once.

    Parameters:
        client: the client of the server.
        task_id, attempt: the attempt; ``None`` for the last one.
        show: prints a row.
    """

    def __init__(self, client: DocumentClient, task_id: str, attempt: int | None, show: Print) -> None:
        self._client = client
        self._task_id = task_id
        self._attempt = attempt
        self._show = show
        self._place = LogPlace()
        self._remarked = False

    def read(self, *, follow: bool) -> None:
        """Print what was not printed yet."""
        with self._client.log(self._task_id, attempt=self._attempt, follow=follow) as log:
            if not self._remarked and (remark := _remark(log)):
                self._remarked = True
                notify(f"pexecutor: {remark}")
            for line in log.lines:
                self._print(line)

    def _print(self, line: bytes) -> None:
        if (taken := self._place.take(line)) is not None:
            self._show(*taken, line)


def _remark(log: LogStream) -> str | None:
    """Return why a log is not whole; ``None`` if it is, or if the server does not say why."""
    if log.node is not None:
        return f"this is the end of the output; the node {one_line(log.node)} has all of it"
    return None if log.reason is None else one_line(log.reason)


def print_bytes(row: LogRow, data: bytes, _: bytes) -> None:
    """Print bytes as they are, on the stream on which they were printed; report a gap on standard error."""
    if row.missing_bytes:
        _flush()
        notify(f"pexecutor: {counted(row.missing_bytes, 'byte')} of the output not kept")
    else:
        _write(data, to_stderr=row.stream == "stderr")


def print_json(_row: LogRow, _data: bytes, line: bytes) -> None:
    """Print a row as the API's JSON."""
    echo_json(line)


class Stamped:
    """Prints the time and the stream before each line, and everything on standard output."""

    def __init__(self) -> None:
        self._open_stream: str | None = None  # the stream of the line that has not ended

    def print(self, row: LogRow, data: bytes, _: bytes) -> None:
        """Print a row."""
        at = row.time or "-"
        if self._open_stream not in (None, row.stream) or (row.missing_bytes and self._open_stream is not None):
            _write(b"\n")
            self._open_stream = None
        if row.missing_bytes:
            _write(f"- gap {row.missing_bytes} bytes were not kept\n".encode())
            return
        head = b"" if self._open_stream is not None else f"{at} {row.stream} ".encode()
        _write(head + data)
        self._open_stream = None if data.endswith(b"\n") else row.stream


def _write(data: bytes, *, to_stderr: bool = False) -> None:
    stream = sys.stderr if to_stderr else sys.stdout
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()


def _flush() -> None:
    sys.stdout.flush()
