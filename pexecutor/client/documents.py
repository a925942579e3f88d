"""``DocumentClient``: the HTTP API of a server as method calls that return its JSON. The command line uses it.

A reply is kept unchanged, so that JSON output is exactly the API's JSON. It is also parsed into plain objects: unknown
members of a newer server stay in them, and members that an older server lacks are absent.

A call is one request. It returns the reply, or raises an error whose name says who acts next. It never repeats a
request: a command decides that with its own deadline, and tells the user about it.

Requests, connections and errors are those of the public client (``aio/client.py``), which returns typed objects.

Road not taken: using the server's types. They import the web framework, and they fit only one version of the API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec

from ..errors import RefusedError
from ..limits.defaults import PAGE_RECORDS_MAX
from ..limits.times import CLIENT_REPLY_SECONDS_MAX
from . import requests
from .address import address_of, token_of
from .decoding import Document, document, documents
from .line_splitter import lines_of
from .log_stream import NODE_HEADER, REASON_HEADER, LogStream
from .shapes import (
    BulkCountsShape,
    CountsShape,
    HandlerShape,
    PausesShape,
    ReadinessShape,
    ReasonShape,
    RecordShape,
    ReloadedShape,
    ScheduleShape,
)
from .sync.http import HttpLink
from .transport import DirectTransport


class DocumentClient:
    """A client of one server. Use it as a context manager.

    Parameters:
        url: the URL of the server, with the path prefix of its routes if there is one.
        token: the bearer token, or ``None``.
        reply_seconds_max: how long a reply may take, in addition to a requested wait.

    Raises:
        ConfigError: the URL or the token is invalid.
    """

    def __init__(
        self, url: str, token: str | None = None, *, reply_seconds_max: float = CLIENT_REPLY_SECONDS_MAX
    ) -> None:
        address = address_of(url)
        self.url: str = address.shown
        self._http = HttpLink(
            address,
            token_of(token),
            reply_seconds_max=reply_seconds_max,
            transport=DirectTransport() if address.is_plain else None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    # Submit

    def submit(self, task: Mapping[str, Any], *, wait_for_room_seconds: float = 0.0) -> Document:
        """Submit one task, and return its record.

        Raises:
            RefusedError: the task was refused; 409 if its name is held, 429 if the queue is full.
        """
        return self._document(requests.submit(task, wait_for_room_seconds=wait_for_room_seconds), RecordShape)

    def submit_lines(self, chunks: Iterator[bytes]) -> Document:
        """Submit a stream of NDJSON as fast as the server accepts it, and return the counts.

        Raises:
            RefusedError: the server ended the stream early; the problem details hold the counts so far.
        """
        return self._document(requests.submit_lines(chunks), CountsShape)

    # Read

    def show(self, task_id: str, *, wait_seconds: float = 0.0) -> Document:
        """Return the full record of a task; with ``wait_seconds``, wait that long for the outcome first."""
        return self._document(requests.show(task_id, wait_seconds=wait_seconds), RecordShape)

    @contextmanager
    def log(self, task_id: str, *, attempt: int | None = None, follow: bool = False) -> Iterator[LogStream]:
        """Open the log of an attempt, to read it line by line.

        Parameters:
            task_id: the id of the task.
            attempt: the number of the attempt; by default the last one.
            follow: whether to read on until the attempt ends.
        """
        try:
            with closing(self._http.open(requests.log(task_id, attempt=attempt, follow=follow))) as reply:
                node, reason = reply.headers.get(NODE_HEADER), reply.headers.get(REASON_HEADER)
                yield LogStream(lines_of(reply.iter_bytes()), node, reason)
        except httpx2.RequestError as error:
            raise self._http.lost(error) from error

    def why(self, task_id: str) -> list[Document]:
        """Return the reasons for which a task does not run."""
        return documents(self._http.send(requests.why(task_id)).content, ReasonShape)

    def pages(self, *, records_max: int | None = None, **criteria: str | list[str]) -> Iterator[list[Document]]:
        """Yield listed records, one page at a time. A page may be empty although others follow.

        Parameters:
            records_max: the maximum number of records; ``None`` for all.
            criteria: only tasks that meet these criteria, by the names of the query parameters.
        """
        yield from self._pages(requests.page(criteria, _page_limit(records_max)), RecordShape, records_max)

    def _pages(
        self, request: requests.ApiRequest | None, kind: type[msgspec.Struct], documents_max: int | None
    ) -> Iterator[list[Document]]:
        left = documents_max
        while request is not None and left != 0:
            reply = self._http.send(request)
            page = documents(reply.content, kind)
            yield page
            left = None if left is None else max(0, left - len(page))
            request = requests.next_page(request, reply, _page_limit(left))

    def handlers(self) -> list[Document]:
        """Return the handlers of the server, with the JSON Schema of their params."""
        return documents(self._http.send(requests.handlers()).content, HandlerShape)

    def readiness(self) -> Document:
        """Return the reply of ``/readyz`` with its ``statistics``, also from a server that accepts no tasks."""
        try:
            return self._document(requests.readiness(), ReadinessShape)
        except RefusedError as error:
            if "statistics" not in error.problem:
                raise
            return document(msgspec.json.encode(error.problem), ReadinessShape)

    # Act

    def cancel(self, task_id: str) -> Document:
        """Cancel a task, and return its record: finished, or still running."""
        return self._document(requests.cancel(task_id), RecordShape)

    def change(self, task_id: str, changes: Mapping[str, Any]) -> Document:
        """Change the priority or the time of a waiting task, and return its record."""
        return self._document(requests.change(task_id, changes), RecordShape)

    def act_on_many(self, request: Mapping[str, Any]) -> Document:
        """Cancel, retry or change all tasks that a filter matches, and return the counts.

        The reply may take long: it comes after the last step.
        """
        return self._document(requests.bulk(request), BulkCountsShape)

    def drain(self) -> Document:
        """Begin the drain of the server, and return its readiness."""
        return self._document(requests.drain(), ReadinessShape)

    def reload(self) -> Document:
        """Make the server read its settings again, and return what has changed.

        Raises:
            RefusedError: the settings are invalid, and nothing has changed; the message says where.
        """
        return self._document(requests.reload(), ReloadedShape)

    def pause(self, handler: str | None = None) -> Document:
        """Start no more tasks of a handler, or none at all, and return all pauses."""
        return self._document(requests.pause(handler), PausesShape)

    def resume(self, handler: str | None = None) -> Document:
        """End the pause of a handler, or that of everything, and return the pauses that are left."""
        return self._document(requests.resume(handler), PausesShape)

    # Schedules

    def schedules(self, *, schedules_max: int | None = None) -> Iterator[list[Document]]:
        """Yield the schedules by name, one page at a time; all of them without ``schedules_max``."""
        yield from self._pages(requests.schedules(_page_limit(schedules_max)), ScheduleShape, schedules_max)

    def schedule(self, name: str) -> Document:
        """Return a schedule."""
        return self._document(requests.schedule(name), ScheduleShape)

    def put_schedule(self, name: str, schedule: Mapping[str, Any]) -> Document:
        """Store a schedule, in the place of one with the same name, and return it."""
        return self._document(requests.put_schedule(name, schedule), ScheduleShape)

    def pause_schedule(self, name: str, *, paused: bool) -> Document:
        """Pause or resume a schedule, and return it."""
        return self._document(requests.pause_schedule(name, paused=paused), ScheduleShape)

    def remove_schedule(self, name: str, *, force: bool = False) -> None:
        """Remove a schedule; with ``force``, even if a settings file declares it."""
        self._http.send(requests.remove_schedule(name, force=force))

    def run_schedule(self, name: str) -> Document:
        """Submit the task of a schedule now, and return its record.

        Raises:
            RefusedError: the task was refused; 409 if its name is held, 429 if the queue is full.
        """
        return self._document(requests.run_schedule(name), RecordShape)

    def _document(self, request: requests.ApiRequest, kind: type[msgspec.Struct]) -> Document:
        return document(self._http.send(request).content, kind)


def _page_limit(documents_left: int | None) -> int:
    return PAGE_RECORDS_MAX if documents_left is None else max(1, min(documents_left, PAGE_RECORDS_MAX))
