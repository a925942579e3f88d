"""Submit a stream of tasks of any length: NDJSON, one task a line, in constant memory.

Lines are submitted in slices. While the queue is full, nothing more is read, so the client is slowed down to the pace
of the pool. One batch reply is sent at the end of the stream.

Lines are submitted as they arrive, so a faulty line cannot undo the submits before it. The reply is then the error with
the counts so far. Nothing after the faulty line is submitted.
"""

from __future__ import annotations

import math
from codecs import BOM_UTF8
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, nullcontext, suppress
from typing import Final, NamedTuple

import msgspec
import structlog
import trio

from ...config import Config
from ...core.executor import Executor
from ...errors import FieldError, InvalidTaskError, PexecutorError
from ...task import Draining, Task, Verdict
from .decode import decode_lines, decode_task
from .errors import RequestTimeoutError, TooLargeError, problem_of
from .reply import Reply, json_reply, refusal_reply
from .request import IncomingRequest, refuse_coding, with_trace
from .wire import BatchReply, VerdictsListed, add_verdicts, counts

LINE_BYTES_MAX: Final = 128 * 1024
VERDICTS_LISTED_MAX: Final = 1000
"""How many verdicts the reply to a stream lists; the later ones are only counted."""

_log = structlog.get_logger()


async def submit(request: IncomingRequest, executor: Executor, config: Config, listed: VerdictsListed) -> Reply:
    """Submit a stream of tasks; wait for room without a time limit."""
    refuse_coding(request)
    reply = BatchReply()
    submitter = _StreamSubmitter(request, executor, reply, listed)
    # The admission ends in here if the caller's token is removed, so that the reply has the counts.
    admitted = nullcontext() if request.admission is None else request.admission.until_revoked()
    try:
        with admitted:
            async with aclosing(_whole_lines(request, config.request_timeout_seconds)) as slices:
                async for lines in slices:
                    await submitter.submit_lines(lines)
    except _DrainingError as draining:
        return refusal_reply(draining.verdicts, executor.retry_after_seconds, msgspec.to_builtins(reply))
    except PexecutorError as error:
        return problem_of(error, msgspec.to_builtins(reply))
    finally:
        if reply.submitted_tasks:
            _log.info("submitted", **counts(reply))
    return json_reply(reply)


class _DrainingError(Exception):
    """The executor drains and has refused tasks; ``verdicts`` are those of the slice."""

    def __init__(self, verdicts: list[Verdict]) -> None:
        super().__init__()
        self.verdicts = verdicts


class _StreamSubmitter(NamedTuple):
    """Submits the tasks of a stream, and counts their verdicts in the reply."""

    request: IncomingRequest
    executor: Executor
    reply: BatchReply
    listed: VerdictsListed

    async def submit_lines(self, lines: bytes) -> None:
        """Submit the tasks of some lines; if a line is faulty, submit those before it, then raise its error."""
        tasks = decode_lines(lines, self.executor.handlers.defaults)
        if tasks is not None:
            # An invalid task refuses the whole slice, so no task is submitted twice below, where the fault is found.
            with suppress(InvalidTaskError):
                await self._submit(tasks)
                return
        for tasks in _one_by_one(lines, self.reply.requested_task, self.executor):
            await self._submit(tasks)

    async def _submit(self, tasks: list[Task]) -> None:
        tasks = with_trace(self.request, tasks)
        verdicts = self.executor.submit_nowait(tasks)
        if verdicts is None:
            verdicts = await self.executor.submit(tasks, wait_for_room_seconds=math.inf)
        add_verdicts(self.reply, tasks, verdicts, self.listed, listed_max=VERDICTS_LISTED_MAX)
        if Draining in set(map(type, verdicts)):
            raise _DrainingError(verdicts)


async def _whole_lines(request: IncomingRequest, seconds_max: float) -> AsyncGenerator[bytes, None]:
    """Yield the body in slices of whole lines: each chunk up to its last line's end, and at the end the rest."""
    rest = b""
    while (chunk := await _next_chunk(request, seconds_max)) is not None:
        lines, newline, rest = (rest + chunk).rpartition(b"\n")
        if len(rest) > LINE_BYTES_MAX or _holds_too_long_a_line(lines):
            raise TooLargeError(f"a line is over the limit of {LINE_BYTES_MAX} bytes")
        if newline:
            yield lines
    if rest.strip():
        yield rest


def _holds_too_long_a_line(lines: bytes) -> bool:
    return len(lines) > LINE_BYTES_MAX and max(map(len, lines.split(b"\n"))) > LINE_BYTES_MAX


async def _next_chunk(request: IncomingRequest, seconds_max: float) -> bytes | None:
    with trio.move_on_after(seconds_max):
        try:
            return await request.chunks.receive()
        except trio.EndOfChannel:
            return None
    raise RequestTimeoutError(f"no data of the body arrived for {seconds_max:g} s")


def _one_by_one(lines: bytes, first_index: int, executor: Executor) -> Iterator[list[Task]]:
    """Yield the tasks of some lines; if a line is faulty, yield those before it, then raise its error."""
    tasks: list[Task] = []
    for line in lines.split(b"\n"):
        try:
            if not (plain := line.removeprefix(BOM_UTF8)).strip():
                continue
            index = first_index + len(tasks)
            task = decode_task(plain, index=index, defaults=executor.handlers.defaults)
            if (fault := executor.fault(task)) is not None:
                raise InvalidTaskError([FieldError(index, *fault)])
        except PexecutorError:
            yield tasks
            raise
        tasks.append(task)
    yield tasks
