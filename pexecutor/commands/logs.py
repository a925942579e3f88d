"""``logs``: what a task's run has printed, and what it prints while it goes on.

It asks for the record again and again. That works with every version and through every proxy, it needs no second way
for a connection that comes back, and the record has the end of the output anyway. What it costs: what an attempt that
is tried again printed after the last look is gone, and of more than the server keeps between two looks, the beginning.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import click
import msgspec

from ..handlers.output import TAIL_BYTES_MAX
from .command import ClientCommand, Session
from .complete import complete_task
from .named import find_latest
from .waiting import persist

if TYPE_CHECKING:
    from ..client import Document

LOOK_SECONDS: Final = 0.5
LOST_SECONDS_MAX: Final = 60.0

STREAMS: Final = ("stdout", "stderr", "log", "body")

_UNFINISHED_CHARACTER: Final = "\N{REPLACEMENT CHARACTER}"


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
            click.echo(output)
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
            text, missed = stream.news(output.get(name, ""), output.get(f"{name}_bytes", 0), ended=ended)
            if missed:
                click.echo(f"pexecutor: {missed} bytes of {name} are not kept", err=True)
            click.echo(text.encode(), nl=False, err=name == "stderr")


class Stream:
    """How much of one stream was told."""

    def __init__(self) -> None:
        self._text = ""
        self._bytes = 0

    def news(self, text: str, seen_bytes: int, *, ended: bool) -> tuple[str, int]:
        """What has come since the last time, and how many bytes of that are lost.

        Parameters:
            text: the end of the stream, as far as it is kept.
            seen_bytes: how long the stream is in all.
            ended: whether no more will come; until then a character that is cut off at the end is held back.
        """
        if not ended:
            text = text.rstrip(_UNFINISHED_CHARACTER)
        if seen_bytes <= TAIL_BYTES_MAX:
            new, lost = text[len(self._text) :], 0
        else:
            kept = text.encode()
            fresh = seen_bytes - self._bytes
            new, lost = kept[-fresh:].decode(errors="ignore") if fresh else "", max(0, fresh - TAIL_BYTES_MAX)
        self._text, self._bytes = text, seen_bytes
        return new, lost
