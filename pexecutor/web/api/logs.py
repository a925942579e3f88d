"""``GET /tasks/{id}/log``: the whole output of an attempt, as text or as lines of JSON.

A node that has the files of the attempt sends them. Otherwise the ends of the streams in the record are sent, and on a
shared store a header names the node that has the files. Another header says why the log is not whole, if that is known.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ...config import Config
from ...core.executor import Executor
from ...errors import counted
from ...logs.ranges import parse_range, resolve
from ...logs.reading import Missing, ReadableLog, end_of
from ...task import Finished, Record, Running
from .errors import UnknownAttemptError, UnsatisfiableRangeError
from .log_lines import NDJSON_TYPE, LineEncoder, LogEncoder, TextEncoder
from .log_source import LogFollower, LogSource
from .reply import Reply
from .request import IncomingRequest
from .stream_places import StreamPlaces

TEXT_TYPE: Final = "text/plain; charset=utf-8"
NODE_HEADER: Final = "Pexecutor-Log-Node"
REASON_HEADER: Final = "Pexecutor-Log-Reason"
HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",  # a program may print HTML
    "Vary": "Accept",
}


class LogQuery(msgspec.Struct):
    """The attempt whose log is sent.

    Parameters:
        attempt: the number of the attempt, from 1; by default the last one.
        follow: whether to send what is still to be printed, until the attempt ends.
    """

    attempt: Annotated[int, Meta(ge=1)] | None = None
    follow: bool = False


class LogAnswers:
    """Answers with logs."""

    def __init__(self, executor: Executor, config: Config) -> None:
        self._executor = executor
        self._source = LogSource(executor)
        self._places = StreamPlaces(config.event_streams_max, "followed log", "stop following one")

    async def show(self, request: IncomingRequest) -> Reply:
        """Send the log of an attempt, or follow it."""
        query: LogQuery = request.query
        record = await self._executor.get(request.parameters["id"])
        attempt = _attempt(record, query)
        as_lines = any(NDJSON_TYPE in value.lower() for value in request.header_values(b"accept"))
        log, reason = await self._source.open(record, attempt)
        headers = HEADERS | self._node_header(record, attempt) | ({REASON_HEADER: reason} if reason else {})
        reply = Reply(b"", headers=headers, content_type=NDJSON_TYPE if as_lines else TEXT_TYPE)
        if request.method != "GET":
            return reply
        encoder = LineEncoder() if as_lines else TextEncoder()
        if query.follow:
            with ExitStack() as entered:
                entered.enter_context(self._places.reserved())
                follower = LogFollower(self._source, record, attempt, request.input)
                return reply._replace(content=_followed(follower, encoder), until_sent=entered.pop_all())
        return reply._replace(content=_sent(log, encoder)) if as_lines else await _text_reply(request, reply, log)

    def _node_header(self, record: Record, attempt: int) -> dict[str, str]:
        node = self._source.output(record, attempt).log_node
        return {} if not node or self._source.find(record, attempt) is not None else {NODE_HEADER: node}


def _attempt(record: Record, query: LogQuery) -> int:
    """Return the number of the attempt that a query means.

    Raises:
        UnknownAttemptError: the task has no such attempt.
    """
    ended = len(record.attempts)
    last = ended if isinstance(record, Finished) else ended + 1
    if query.attempt is not None:
        if query.attempt > last:
            raise UnknownAttemptError(f"the task {record.id} has no attempt {query.attempt}: it has had {ended}")
        return query.attempt
    return last if isinstance(record, Running) or query.follow else max(ended, 1)


async def _sent(log: ReadableLog, encoder: LogEncoder) -> AsyncIterator[bytes]:
    """Yield a whole log as it is sent."""
    await log.gap()  # a log of an earlier process knows its length only then
    at, end = 0, log.total
    while (part := await log.read(at, end)) is not None:
        at = end_of(part)
        if data := encoder.encode(part):
            yield data
    if data := encoder.flush(ended=True):
        yield data


async def _followed(follower: LogFollower, encoder: LogEncoder) -> AsyncIterator[bytes]:
    """Yield a followed log as it is sent."""
    yield b""  # the head of the reply is sent with the first part, and there may be no output for a long time
    while (part := await follower.receive()) is not None:
        if data := encoder.encode(part) if part else encoder.flush(ended=False) or encoder.heartbeat:
            yield data
    if data := encoder.flush(ended=True):
        yield data


async def _text_reply(request: IncomingRequest, reply: Reply, log: ReadableLog) -> Reply:
    """Return a reply with the bytes as they were printed, or with the requested range of them."""
    gap = await log.gap()
    headers = {**reply.headers, "Accept-Ranges": "bytes"}
    requested = parse_range(request.header_values(b"range"))
    if requested is None:
        return reply._replace(content=_sent(log, TextEncoder()), headers=headers)
    total = log.total
    if (found := resolve(requested, total, gap)) is None:
        raise UnsatisfiableRangeError(
            f"the range begins behind the end of the output, which has {counted(total, 'byte')}:"
            " request an earlier range",
            {"Content-Range": f"bytes */{total}"},
        )
    begin, end = found
    headers["Content-Range"] = f"bytes {begin}-{end - 1}/{total}"
    return reply._replace(content=_up_to_a_gap(log, begin, end), status=206, headers=headers)


async def _up_to_a_gap(log: ReadableLog, begin: int, end: int) -> AsyncIterator[bytes]:
    """Yield a range of bytes that are kept. If some of them are deleted meanwhile, the reply ends early."""
    at = begin
    while (part := await log.read(at, end)) is not None:
        if isinstance(part, Missing):
            return
        at = end_of(part)
        yield b"".join([chunk.data for chunk in part])
