"""``ValkeyAnswers``: the submits with a key of one node. The server remembers the answers (``functions/answers.lua``).

A request is one text on the server: the length of its scope in bytes, a colon, the scope, and the key. So no two
requests share a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import trio

from ...observe.histogram import Histogram
from ...task import Task, Verdict, make_serial
from ..answers import Answer, AnswerBounds, KeyedAnswer, RequestKey, RequestKind, answer_bytes, answer_of, fixed_bytes
from .calls import Calls, Link
from .replies import verdicts_of
from .wire import KeepSeconds, KeptAnswer, OnceReply, RequestArguments, StoredAnswer, to_arguments

_NUMBERS: Final = make_serial(1, 0) - 1
"""The bits of a serial that are the task's number in its queue."""


class ValkeyAnswers:
    """The submits with a key through one node (see ``pexecutor.stores``).

    Parameters:
        bounds: how many answers are remembered, and for how long.
        calls: the calls of the node.
        link: the client for the server.
        queue_size: how many tasks may wait.
        keep_seconds_max: how long finished tasks can be read.
        commits: measures how long submits take to become durable.
    """

    def __init__(
        self,
        bounds: AnswerBounds,
        calls: Calls,
        link: Link,
        queue_size: int,
        keep_seconds_max: KeepSeconds,
        commits: Histogram,
    ) -> None:
        self._bounds = bounds
        self._calls = calls
        self._link = link
        self._queue_size = queue_size
        self._keep_seconds_max = keep_seconds_max
        self._commits = commits

    async def submit(
        self, key: RequestKey, digest: bytes, tasks: Sequence[Task], *, atomic: bool = False
    ) -> list[Verdict] | Answer:
        """Decide about the tasks in one step and remember the answer, or return the remembered one."""
        asked_at = trio.current_time()
        request = RequestArguments(
            key.kind.value, to_request(key), digest.hex(), fixed_bytes(key, digest), *self._bounds
        )
        facts = self._calls.rare_facts(tasks)
        arguments = [to_arguments(task, self._keep_seconds_max, rare) for task, rare in zip(tasks, facts, strict=True)]
        reply = await self._calls.ask("submit_once", self._calls.new_id(), request, arguments, atomic, self._queue_size)
        once: OnceReply = reply.result
        if isinstance(once.answer, StoredAnswer):
            self._calls.report_all(reply.changes, {})
            await self._link.flush()  # the first submit may not have been flushed before its node died
            return to_answer(once.answer, self._calls.tag)
        plain = msgspec.structs.replace(reply, result=once.verdicts)
        verdicts, taken = verdicts_of(tasks, facts, plain, self._calls.tag, self._calls.read)
        self._calls.report_all(reply.changes, taken)
        await self._link.flush()
        self._commits.observe(trio.current_time() - asked_at)
        return verdicts

    async def remembered(self, key: RequestKey) -> Answer | None:
        """Return the remembered answer for a key, or ``None``."""
        answer: StoredAnswer | bool = await self._calls.call(
            "remembered", key.kind.value, to_request(key), self._bounds.seconds_max
        )
        return to_answer(answer, self._calls.tag) if isinstance(answer, StoredAnswer) else None


def to_request(key: RequestKey) -> str:
    """Return the text of a request on the server."""
    return f"{len(key.scope.encode())}:{key.scope}{key.key}"


def to_key(kind: RequestKind, request: str) -> RequestKey:
    """Return the key of a request.

    Raises:
        ValueError: the text is not one that ``to_request`` makes.
    """
    length, _, rest = request.partition(":")
    encoded = rest.encode()
    return RequestKey(kind, encoded[: int(length)].decode(), encoded[int(length) :].decode())


def to_answer(stored: StoredAnswer, tag: int) -> Answer:
    """Return the answer that is stored in a queue with this tag."""
    numbers = [_signed(number, make_serial(tag, abs(number))) for number in stored.numbers]
    return answer_of(bytes.fromhex(stored.digest), stored.at, numbers)


def to_kept(keyed: KeyedAnswer) -> KeptAnswer:
    """Return an answer as it is stored in a queue."""
    key, answer = keyed
    numbers = [_signed(number, abs(number) & _NUMBERS) for number in answer.numbers()]
    return KeptAnswer(to_request(key), StoredAnswer(answer.at, answer.digest.hex(), numbers, answer_bytes(key, answer)))


def _signed(number: int, magnitude: int) -> int:
    if not number:
        return 0
    return magnitude if number > 0 else -magnitude
