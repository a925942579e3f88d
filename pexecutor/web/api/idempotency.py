"""``Idempotency-Key``: a submit that is repeated with its key submits nothing a second time.

The header is that of the IETF draft "The Idempotency-Key HTTP Header Field": a string of RFC 8941 in quotes
(draft-ietf-httpapi-idempotency-key-header). Many clients omit the quotes, so a key without quotes is the same key.

The store remembers the answer in the step that accepts the first task (see ``stores/answers.py``). So a request that
was accepted has its answer also after a crash, and one that accepted nothing is decided anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Final

import msgspec
import structlog

from ...access import ANONYMOUS
from ...core.executor import Executor
from ...errors import ExpiredTaskError
from ...stores.answers import Answer, RequestKey, RequestKind, ShortVerdict
from ...task import FULL, Pending, Record, State, Task, Verdict
from .errors import BadRequestError, KeyReusedError, KeyUnderWayError
from .reply import Reply, json_reply, refusal_reply
from .request import IncomingRequest
from .wire import BatchReply, TaskDetail, TaskVerdict, VerdictsListed, detail, timestamp

HEADER: Final = "Idempotency-Key"

KEY_HEADER: Final = HEADER.lower().encode()
"""The name of the header, as requests have it."""

_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE: Final = re.compile(r"[!#-~][!-~]*")

_log = structlog.get_logger()


def sent_key(request: IncomingRequest) -> RequestKey | None:
    """Return the key of a submit, which belongs to the caller's token; ``None`` if the request has none.

    Raises:
        BadRequestError: the header is invalid, or there are several.
    """
    sent = request.header_values(KEY_HEADER)
    if not sent:
        return None
    try:
        [value] = sent
        caller = ANONYMOUS if request.identity is None else request.identity
        return RequestKey(RequestKind.TOKEN, caller.name, _unquoted(value))
    except ValueError:
        raise BadRequestError(
            f"invalid {HEADER}: send it once, with 1 to 255 visible ASCII characters, for example a UUID"
        ) from None


def refuse_key(request: IncomingRequest) -> None:
    """Refuse a key on a stream, whose tasks are accepted bit by bit.

    Raises:
        BadRequestError: the request has a key.
    """
    if request.header_values(KEY_HEADER):
        raise BadRequestError(f"a stream cannot have an {HEADER}: send a list, or remove the header")


def _unquoted(value: str) -> str:
    if (quoted := _QUOTED.fullmatch(value)) is not None:
        return re.sub(r'\\(["\\])', r"\1", quoted[1])
    if _BARE.fullmatch(value) is None:
        raise ValueError("neither a string in quotes nor visible characters without quotes")
    return value


class KeyedSubmits:
    """Submits with a key to one executor.

    Parameters:
        executor: the executor that takes the tasks.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        # Owned by _only_one(): the keys of requests whose tasks are being submitted.
        self._under_way: set[RequestKey] = set()

    async def submit(
        self, key: RequestKey, digest: bytes, tasks: Sequence[Task], *, atomic: bool, wait_for_room_seconds: float
    ) -> Sequence[Verdict] | Answer:
        """Submit the tasks of a request, or return the answer that was given to the same request before.

        Raises:
            KeyUnderWayError: a request with this key is being answered.
            KeyReusedError: the answer was given to another request.
        """
        with self._only_one(key):
            verdicts = await self._executor.requests.submit(
                key, digest, tasks, atomic=atomic, wait_for_room_seconds=wait_for_room_seconds
            )
        if isinstance(verdicts, Answer):
            if verdicts.digest != digest:
                raise KeyReusedError(
                    f"this {HEADER} belongs to a request with another body or query: use a new key for a new request"
                )
            accepted = [verdict.id for verdict in verdicts.verdicts if verdict.verdict == "accepted"]
            _log.info("submit repeated", id=accepted[0], accepted=len(accepted))
        return verdicts

    @contextmanager
    def _only_one(self, key: RequestKey) -> Iterator[None]:
        if key in self._under_way:
            raise KeyUnderWayError(
                f"a request with this {HEADER} is under way: wait for its reply, or repeat the request later",
                {"Retry-After": "1"},
            )
        self._under_way.add(key)
        try:
            yield
        finally:
            self._under_way.discard(key)

    # A remembered answer, with the records as they are now

    async def record_of(self, verdict: ShortVerdict) -> Record | None:
        """Return the record of the task that was accepted, or that held the name; ``None`` if it is no longer kept."""
        assert verdict.id is not None, "a task or its holder was accepted"
        try:
            return await self._executor.get(verdict.id)
        except ExpiredTaskError:
            return None

    async def batch_reply(self, tasks: Sequence[Task], answer: Answer, listed: VerdictsListed) -> Reply:
        """Return the reply to a repeated list."""
        verdicts = answer.verdicts
        kinds = [verdict.verdict for verdict in verdicts]
        full = kinds.count("full")
        reply = BatchReply(len(kinds), kinds.count("accepted"), kinds.count("duplicate"), full)
        for index, (task, verdict) in enumerate(zip(tasks, verdicts, strict=True)):
            if listed == "all" or (listed == "refused" and verdict.verdict != "accepted"):
                reply.tasks.append(await self._task_verdict(index, task.name, verdict))
        if full:
            return refusal_reply([FULL] * full, self._executor.retry_after_seconds, msgspec.to_builtins(reply))
        return json_reply(reply)

    async def _task_verdict(self, index: int, name: str, verdict: ShortVerdict) -> TaskVerdict:
        if verdict.id is None:
            return TaskVerdict(index, name, verdict.verdict)
        record = await self.record_of(verdict)
        if record is None:
            return TaskVerdict(index, name, verdict.verdict, verdict.id, State.FINISHED)
        return TaskVerdict(index, name, verdict.verdict, record.id, record.state, timestamp(record.since))


def digest_of(body: bytes, *, atomic: bool, listed: VerdictsListed) -> bytes:
    """Return the digest of a submit: of its body, and of the options on which the reply depends.

    The two waits are left out, because a client may wait longer when it repeats a request.
    """
    return sha256(b"%d %b\n%b" % (atomic, listed.encode(), body)).digest()


def expired(task: Task, verdict: ShortVerdict, answer: Answer) -> TaskDetail:
    """Return what is known of an accepted task whose record is no longer kept: it has ended, and how is unknown."""
    shown = detail(Pending(verdict.serial, task, answer.at, ()))
    shown.state = State.FINISHED
    return shown
