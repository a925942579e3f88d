"""A submit without an end in sight: tasks as NDJSON, one a line, in constant memory.

Lines are taken in slices. While the queue is full nothing more is read, so the client is slowed down to the pace of
the pool, however long its stream is. The reply comes at the end and is a batch reply.

Since lines are taken as they come, a fault half-way cannot undo the ones before it: the reply to it is the error
together with the counts so far, and nothing behind the faulty line was taken.
"""

from __future__ import annotations

import math
from codecs import BOM_UTF8
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from typing import Final, NamedTuple

import msgspec
import structlog
import trio

from ...config import Config
from ...core.executor import Executor
from ...errors import FieldError, InvalidTaskError, PexecutorError
from ...handlers import Complaint
from ...task import Draining, Task, Verdict
from .decode import decode_lines, decode_task
from .errors import RequestTimeoutError, TooLargeError, problem_of
from .reply import Reply, json_reply, refusal_reply
from .request import Asked, refuse_coding, with_trace
from .wire import BatchReply, VerdictsListed, add_verdicts, counts

LINE_BYTES_MAX: Final = 128 * 1024
VERDICTS_LISTED_MAX: Final = 1000
"""How many single verdicts the reply to a stream lists; those behind are only counted."""

_log = structlog.get_logger()


async def submit(request: Asked, executor: Executor, config: Config, listed: VerdictsListed) -> Reply:
    """Take a stream of tasks, waiting for room as long as it needs."""
    refuse_coding(request)
    reply = BatchReply()
    taking = _Taking(request, executor, reply, listed)
    try:
        async with aclosing(_whole_lines(request, config.request_timeout_seconds)) as slices:
            async for lines in slices:
                await taking.take(lines)
    except _DrainingError as draining:
        return refusal_reply(draining.verdicts, executor.retry_after_seconds, msgspec.to_builtins(reply))
    except PexecutorError as error:
        return problem_of(error, msgspec.to_builtins(reply))
    finally:
        if reply.submitted_tasks:
            _log.info("submitted", **counts(reply))
    return json_reply(reply)


class _DrainingError(Exception):
    """The server stops, and has refused some tasks; the verdicts are those of their slice."""

    def __init__(self, verdicts: list[Verdict]) -> None:
        super().__init__()
        self.verdicts = verdicts


class _Taking(NamedTuple):
    """Submits a stream's tasks, and counts what becomes of them into its reply."""

    asked: Asked
    executor: Executor
    reply: BatchReply
    listed: VerdictsListed

    async def take(self, lines: bytes) -> None:
        """Submit the tasks of some lines; when one is faulty, those before it, and then its error is raised."""
        tasks = decode_lines(lines)
        if tasks is not None:
            with suppress(InvalidTaskError):  # of none that was taken; which one it is will be seen
                await self._submit(tasks)
                return
        for tasks in _one_by_one(lines, self.reply.requested_task, self.executor.fault):
            await self._submit(tasks)

    async def _submit(self, tasks: list[Task]) -> None:
        tasks = with_trace(self.asked, tasks)
        verdicts = self.executor.submit_nowait(tasks)
        if verdicts is None:
            verdicts = await self.executor.submit(tasks, wait_for_room_seconds=math.inf)
        add_verdicts(self.reply, tasks, verdicts, self.listed, listed_max=VERDICTS_LISTED_MAX)
        if Draining in set(map(type, verdicts)):
            raise _DrainingError(verdicts)


async def _whole_lines(request: Asked, seconds_max: float) -> AsyncGenerator[bytes, None]:
    """The body, cut after a line's end wherever a chunk brings one."""
    rest = b""
    while (chunk := await _next_chunk(request, seconds_max)) is not None:
        lines, newline, rest = (rest + chunk).rpartition(b"\n")
        if len(rest) > LINE_BYTES_MAX or _holds_too_long_a_line(lines):
            raise TooLargeError(f"a line has more than the {LINE_BYTES_MAX} bytes that are taken")
        if newline:
            yield lines
    if rest.strip():
        yield rest


def _holds_too_long_a_line(lines: bytes) -> bool:
    return len(lines) > LINE_BYTES_MAX and max(map(len, lines.split(b"\n"))) > LINE_BYTES_MAX


async def _next_chunk(request: Asked, seconds_max: float) -> bytes | None:
    with trio.move_on_after(seconds_max):
        try:
            return await request.chunks.receive()
        except trio.EndOfChannel:
            return None
    raise RequestTimeoutError(f"nothing of the body came for {seconds_max:g} s")


def _one_by_one(lines: bytes, first_index: int, fault_of: Callable[[Task], Complaint | None]) -> Iterator[list[Task]]:
    """The tasks of some lines; when one is faulty, first those before it, then its error."""
    tasks: list[Task] = []
    for line in lines.split(b"\n"):
        try:
            if not (plain := line.removeprefix(BOM_UTF8)).strip():
                continue
            index = first_index + len(tasks)
            task = decode_task(plain, index=index)
            if (fault := fault_of(task)) is not None:
                raise InvalidTaskError([FieldError(index, *fault)])
        except PexecutorError:
            yield tasks
            raise
        tasks.append(task)
    yield tasks
