"""A reader of ``/events`` on its own connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from .conftest import Served
from .raw import RawClient, RawReply, connected, request


class Message(msgspec.Struct):
    """One message. A block that contains only the reader's position has no event."""

    id: int = 0
    event: str = ""
    data: Any = None


class EventReader:
    """Reads an open stream."""

    def __init__(self, client: RawClient, head: RawReply) -> None:
        self.head = head
        self.comments = 0
        self.place = 0
        self.client = client
        self._received = b""

    async def next(self, *, seconds_max: float = 5) -> Message:
        """Return the next message.

        Raises:
            EOFError: the stream has ended.
        """
        with trio.fail_after(seconds_max):
            while not (message := await self.block()).event:
                pass
            return message

    async def tasks(self, number: int) -> list[tuple[str, str]]:
        """Return the names and states of the next messages."""
        messages = [await self.next() for _ in range(number)]
        return [(message.data["name"], message.data["state"]) for message in messages]

    async def block(self) -> Message:
        """Return the lines before the next empty line."""
        while b"\n\n" not in self._received:
            if not (chunk := await self.client.chunk()):
                raise EOFError("the stream has ended")
            self._received += chunk
        block, _, self._received = self._received.partition(b"\n\n")
        message = Message()
        for line in block.decode().split("\n"):
            name, _, value = line.partition(": ")
            match name:
                case "":
                    self.comments += 1
                case "id":
                    message.id = self.place = int(value)
                case "event":
                    message.event = value
                case "data":
                    message.data = msgspec.json.decode(value)
        return message


@asynccontextmanager
async def reading(served: Served, path: str = "/events", *, last: str | None = None) -> AsyncIterator[EventReader]:
    """Open a stream and wait for its first block."""
    async with connected(served.port) as client:
        await client.send(request(f"GET {path}", *([] if last is None else [f"Last-Event-ID: {last}"])))
        with trio.fail_after(5):
            reader = EventReader(client, await client.head())
            assert reader.head.status_code == 200, await client.chunk()
            await reader.block()
        yield reader
