"""The command ``logs``: print the output of a task, and follow it while the task runs.

The command polls the task's record. This works with every version of the server and through every proxy, it handles
lost connections without further code, and the record contains the end of the output anyway. The price: output that a
failed attempt printed after the last poll is lost, and if a task prints more than the server keeps between two polls,
the beginning of it is lost.
"""

from __future__ import annotations

import base64
import re
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import click
import msgspec

from .client_command import ClientCommand, Session
from .completion import complete_task
from .output import echo_json
from .retrying import persist
from .streams import notify
from .task_lookup import find_latest

if TYPE_CHECKING:
    from ..client.client import Document

LOOK_SECONDS: Final = 0.5
LOST_SECONDS_MAX: Final = 60.0

STREAMS: Final = ("stdout", "stderr", "log", "body")

_UNFINISHED_CHARACTER: Final = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
"""The incomplete last character of a text in UTF-8."""


@click.command(cls=ClientCommand)
@click.argument("task", shell_complete=complete_task)
@click.option("-f", "--follow", is_flag=True, help="Follow the output until the task has its outcome.")
@click.pass_obj
def logs(session: Session, task: str, follow: bool) -> None:
    """Print the output of a task's last attempt, as far as the server keeps it.

    TASK is an id or a name. A name means the task in flight with that name, or else the last finished one.
    """
    task_id = find_latest(session.client, task)
    output: _Output = JsonOutput() if session.as_json else TextOutput()
    while True:
        document = persist(lambda: session.client.show(task_id), until=time.monotonic() + LOST_SECONDS_MAX)
        output.show(document)
        if not follow or document.value["state"] == "finished":
            return
        time.sleep(LOOK_SECONDS)


class _Output(Protocol):
    def show(self, document: Document) -> None: ...


class _Record(msgspec.Struct):
    output: msgspec.Raw = msgspec.Raw(b"")


class JsonOutput:
    """Output as the API's JSON, printed each time that it changes."""

    def __init__(self) -> None:
        self._shown = b""

    def show(self, document: Document) -> None:
        """Print the output of a record if it has changed."""
        output = bytes(msgspec.json.decode(document.raw, type=_Record).output)
        if output != self._shown:
            echo_json(output)
        self._shown = output


class TextOutput:
    """Output as text, printed incrementally."""

    def __init__(self) -> None:
        self._attempt = 0
        self._streams = {name: Stream() for name in STREAMS}

    def show(self, document: Document) -> None:
        """Print the new output of a record."""
        record = document.value
        ended = record["state"] == "finished"
        attempt = len(record["attempts"]) + (not ended)
        if attempt != self._attempt:
            self.__init__()  # type: ignore[misc]
            self._attempt = attempt
        self._show(record.get("output", {}), ended=ended)

    def _show(self, output: dict[str, Any], *, ended: bool) -> None:
        for name, stream in self._streams.items():
            news, missed = stream.news(_kept(output, name), output.get(f"{name}_bytes", 0), ended=ended)
            if missed:
                notify(f"pexecutor: {missed} bytes of {name} were not kept by the server")
            if news:
                click.echo(news, nl=False, err=name == "stderr")


def _kept(output: dict[str, Any], name: str) -> bytes:
    """Return the end of a stream that the server keeps, as bytes; an older server sends only its text."""
    if encoded := output.get(f"{name}_base64"):
        return base64.b64decode(encoded)
    text: str = output.get(name, "")
    return text.encode()


class Stream:
    """The position in one stream up to which it was printed."""

    def __init__(self) -> None:
        self._printed = 0

    def news(self, kept: bytes, seen: int, *, ended: bool) -> tuple[bytes, int]:
        """Return the new bytes since the last call, and the number of bytes before them that are lost.

        Parameters:
            kept: the end of the stream that the server keeps.
            seen: the total number of bytes of the stream.
            ended: whether the stream has ended; before that, an incomplete last character is held back.
        """
        begin = max(0, seen - len(kept))
        if not ended and (unfinished := _UNFINISHED_CHARACTER.search(kept[-3:])) is not None:
            kept = kept[: -len(unfinished[0])]
        lost = max(0, begin - self._printed)
        new = kept[max(0, self._printed - begin) :]
        self._printed = max(self._printed, begin + len(kept))
        return new, lost
