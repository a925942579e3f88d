"""``logs``: what a task's run has printed, and what it prints while it goes on.

It asks for the record again and again. That works with every version and through every proxy, it needs no second way
for a connection that comes back, and the record has the end of the output anyway. What it costs: what an attempt that
is tried again printed after the last look is gone, and of more than the server keeps between two looks, the beginning.
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
"""The beginning of a character of UTF-8 whose other bytes are still to come."""


@click.command(cls=ClientCommand)
@click.argument("task", shell_complete=complete_task)
@click.option("-f", "--follow", is_flag=True, help="Go on until the task has its outcome.")
@click.pass_obj
def logs(session: Session, task: str, follow: bool) -> None:
    """Print what a task has printed.

    TASK is an id; or a name, for the task in flight that has it, or else the one that ended last. What is printed is of
    its last attempt, as far as it is kept.
    """
    task_id = find_latest(session.client, task)
    output: _Output = JsonOutput() if session.as_json else TextOutput()
    while True:
        document = persist(lambda: session.client.show(task_id), until=time.monotonic() + LOST_SECONDS_MAX)
        output.tell(document)
        if not follow or document.value["state"] == "finished":
            return
        time.sleep(LOOK_SECONDS)


class _Output(Protocol):
    def tell(self, document: Document) -> None: ...


class _Record(msgspec.Struct):
    output: msgspec.Raw = msgspec.Raw(b"")


class JsonOutput:
    """The output as the API has it, each time that there is news of it."""

    def __init__(self) -> None:
        self._told = b""

    def tell(self, document: Document) -> None:
        """Print it, if it is another one."""
        output = bytes(msgspec.json.decode(document.raw, type=_Record).output)
        if output != self._told:
            echo_json(output)
        self._told = output


class TextOutput:
    """The output as it was printed, and each time what is new of it."""

    def __init__(self) -> None:
        self._attempt = 0
        self._streams = {name: Stream() for name in STREAMS}

    def tell(self, document: Document) -> None:
        """Print the news."""
        record = document.value
        ended = record["state"] == "finished"
        attempt = len(record["attempts"]) + (not ended)
        if attempt != self._attempt:
            self.__init__()  # type: ignore[misc]
            self._attempt = attempt
        self._tell(record.get("output", {}), ended=ended)

    def _tell(self, output: dict[str, Any], *, ended: bool) -> None:
        for name, stream in self._streams.items():
            news, missed = stream.news(_kept(output, name), output.get(f"{name}_bytes", 0), ended=ended)
            if missed:
                notify(f"pexecutor: {missed} bytes of {name} are not kept")
            if news:
                click.echo(news, nl=False, err=name == "stderr")


def _kept(output: dict[str, Any], name: str) -> bytes:
    """The end of a stream, as far as the server keeps it; an older server has only its text."""
    if encoded := output.get(f"{name}_base64"):
        return base64.b64decode(encoded)
    text: str = output.get(name, "")
    return text.encode()


class Stream:
    """How much of one stream was printed."""

    def __init__(self) -> None:
        self._printed = 0

    def news(self, kept: bytes, seen: int, *, ended: bool) -> tuple[bytes, int]:
        """Return what has come since the last time, and how many bytes before that are lost.

        Parameters:
            kept: the end of the stream, as far as it is kept.
            seen: how many bytes the stream has in all.
            ended: whether no more will come; until then a character that is cut off at the end is held back.
        """
        begin = max(0, seen - len(kept))
        if not ended and (unfinished := _UNFINISHED_CHARACTER.search(kept[-3:])) is not None:
            kept = kept[: -len(unfinished[0])]
        lost = max(0, begin - self._printed)
        new = kept[max(0, self._printed - begin) :]
        self._printed = max(self._printed, begin + len(kept))
        return new, lost
