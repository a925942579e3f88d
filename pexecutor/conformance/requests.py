"""Requests with a key: a repetition gets the first answer again, and submits nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count

import trio

from ..stores import Store
from ..stores.answers import Answer, AnswerBounds, RequestKey, RequestKind, ShortVerdict, answer_bytes
from ..task import Accepted, Duplicate, State, Task, Verdict
from .asking import accept, at_once, end, listed, listed_names, start, words
from .guarantee import BrokenPromiseError, Need, Place, expect, guarantee
from .names import STEPS_MAX
from .steps import cancelled_at_step

_AGAIN = "If the store remembers an answer for the key, it submits nothing and returns the remembered ``Answer``."
_WHAT = "the digest, the verdict on each task with the id of the accepted task or of the holder, and the time"
_BOTH = "after a crash the store has both or neither"
_REFUSED = "A submit that accepts no task is not remembered, so its repetition is decided anew."
_ONCE = "Of many submits with one key at the same time, through any nodes, at most one accepts tasks"
_BOUNDS = "when there are more, the oldest goes"

DIGEST = b"\x00digest\xff"


def key(name: str, *, scope: str = "deploy", kind: RequestKind = RequestKind.HOOK) -> RequestKey:
    """Return the key of a delivery."""
    return RequestKey(kind, scope, name)


async def _first(store: Store, request: RequestKey, *tasks: Task, atomic: bool = False) -> list[Verdict]:
    """Submit with a key that is not remembered; return the verdicts."""
    verdicts = await store.answers.submit(request, DIGEST, tasks, atomic=atomic)
    if isinstance(verdicts, Answer):
        raise BrokenPromiseError(f"a new key {request} was answered from memory: {verdicts}")
    return verdicts


async def _again(store: Store, request: RequestKey, *tasks: Task) -> Answer:
    """Submit with a key that is remembered; return the remembered answer."""
    answer = await store.answers.submit(request, b"another", tasks)
    if not isinstance(answer, Answer):
        raise BrokenPromiseError(f"the repetition of {request} was decided anew: {words(answer)}")
    return answer


async def _forgotten(store: Store, request: RequestKey, why: str) -> None:
    """Check that a key is not remembered."""
    answer = await store.answers.remembered(request)
    expect(answer is None, f"{request.key!r} is remembered, but {why}")


def _short(verdict: Verdict) -> ShortVerdict:
    match verdict:
        case Accepted(record=record):
            return ShortVerdict("accepted", record.serial)
        case Duplicate(holder=holder):
            return ShortVerdict("duplicate", holder.serial)
        case _:
            return ShortVerdict("full", 0)


@guarantee("requests", "A repeated request gets its first answer again, and submits no task.", promise=_AGAIN)
async def repeated_request(place: Place) -> None:
    async with place.open() as store:
        [verdict] = await _first(store, key("1"), Task("a"))
        for _ in range(2):
            answer = await _again(store, key("1"), Task("a"), Task("b"))
            expect(answer.verdicts == [_short(verdict)], f"the answers are {answer.verdicts} and at first {verdict}")
        expect(await listed_names(store) == ["a"], "the repetition has submitted a task")
        [running] = await start(store)
        await end(store, running)
        answer = await _again(store, key("1"), Task("a"))
        expect([short.id for short in answer.verdicts] == [running.id], "the answer changed when the task ended")
        expect(not await listed(store, State.PENDING), "the repetition after the end has submitted a task")


@guarantee("requests", "The remembered answer has a verdict and an id for each task.", promise=_WHAT)
async def remembered_verdicts(place: Place) -> None:
    async with place.open(queue_size=3) as store:
        await accept(store, Task("held"))
        [joined] = await listed(store, name="held")
        tasks = [Task("a"), Task("held"), Task("a"), Task("b"), Task("c"), Task("held", on_conflict="join")]
        verdicts = await _first(store, key("1"), *tasks)
        expect(words(verdicts) == ["accepted", "duplicate", "duplicate", "accepted", "full", "accepted"], f"{verdicts}")
        answer = await store.answers.remembered(key("1"))
        if answer is None:
            raise BrokenPromiseError("the answer is not remembered")
        expect(answer.verdicts == list(map(_short, verdicts)), f"the verdicts are {answer.verdicts}, not {verdicts}")
        expect(answer.verdicts[-1].id == joined.id, "the joined task is not in the answer")
        expect(answer.digest == DIGEST, f"the digest is {answer.digest!r}")
        expect(abs(answer.at - joined.submitted_at) < 60, f"the time of the answer is {answer.at}")


@guarantee("requests", "Keys of different kinds and scopes are different keys.", promise=_AGAIN)
async def keys_differ(place: Place) -> None:
    keys = [
        key("1"),
        key("1", scope="other"),
        key("1", kind=RequestKind.TOKEN),
        key("deploy", scope="1"),
        key("y1", scope="deplo"),
        key(" 1"),
        key("\u00e4" * 127),
    ]
    async with place.open() as store:
        for number, request in enumerate(keys):
            await _first(store, request, Task(f"task-{number}"))
        names = {(await _again(store, request, Task("no"))).verdicts[0].serial for request in keys}
        expect(len(names) == len(keys), f"{len(keys)} keys have {len(names)} answers")


@guarantee("requests", "A submit that accepts nothing is not remembered.", promise=_REFUSED)
async def refused_request(place: Place) -> None:
    async with place.open(queue_size=1) as store:
        [holder] = await accept(store, Task("a"))
        for number, tasks in enumerate([[Task("a")], [Task("b")], [Task("a"), Task("b")], []]):
            verdicts = await _first(store, key(str(number)), *tasks)
            expect("accepted" not in words(verdicts), f"a full queue answered {verdicts}")
            await _forgotten(store, key(str(number)), "its submit accepted nothing")
        await store.cancel(holder.id)
        verdicts = await _first(store, key("4"), Task("b"), Task("c"), atomic=True)
        expect(words(verdicts) == ["full", "full"], f"an atomic submit of two to one place got {words(verdicts)}")
        await _forgotten(store, key("4"), "its atomic submit accepted nothing")
        verdicts = await _first(store, key("1"), Task("b"))
        expect(words(verdicts) == ["accepted"], f"the repetition of a refused request got {words(verdicts)}")
        await _again(store, key("1"), Task("b"))


@guarantee("requests", "Of concurrent submits with one key, one accepts tasks, and all get its answer.", promise=_ONCE)
async def one_of_many_requests(place: Place) -> None:
    async with place.open() as store:
        await _submit_at_once(store, store)


async def _submit_at_once(*stores: Store) -> None:
    calls = [
        partial(stores[number % len(stores)].answers.submit, key("1"), DIGEST, [Task(f"task-{number}")])
        for number in range(20)
    ]
    replies = await at_once(calls)
    firsts = [reply for reply in replies if not isinstance(reply, Answer)]
    expect(len(firsts) == 1, f"{len(firsts)} of 20 submits with one key were decided")
    [[verdict]] = firsts
    answers = {answer.verdicts[0] for answer in replies if isinstance(answer, Answer)}
    expect(answers == {_short(verdict)}, f"the other submits got {answers}, but the first got {verdict}")
    expect(len(await listed(stores[0])) == 1, "the submits with one key left more than one task")


@guarantee(
    "requests", "A submit with a key that is cancelled leaves its tasks and its answer, or neither.", promise=_BOTH
)
async def cancelled_request_is_whole(place: Place) -> None:
    async with place.open() as store:
        for step in count(1):
            request = key(str(step))
            cut_short = await cancelled_at_step(step, partial(store.answers.submit, request, DIGEST, [Task("a")]))
            there = await listed(store, State.PENDING)
            answer = await store.answers.remembered(request)
            expect(
                bool(there) == (answer is not None),
                f"a submit cancelled at its await number {step} left {len(there)} tasks and the answer {answer}",
            )
            for record in there:
                await store.cancel(record.id)
            if not cut_short or step == STEPS_MAX:
                return


@guarantee(
    "requests", "When there are too many answers, the oldest goes; each kind has its own bound.", promise=_BOUNDS
)
async def answers_by_count(place: Place) -> None:
    async with place.open(answer_bounds=AnswerBounds(answers_max=2)) as store:
        other = key("0", kind=RequestKind.TOKEN)
        await _first(store, other, Task("other"))
        for number in range(4):
            await _first(store, key(str(number)), Task(f"task-{number}"))
        for number in (2, 3):
            await _again(store, key(str(number)), Task("no"))
        await _again(store, other, Task("no"))
        for number in (0, 1):
            await _forgotten(store, key(str(number)), "there are two later answers")
        await _first(store, key("0"), Task("again"))
        await _forgotten(store, key("2"), "there are two later answers")
        await _again(store, key("3"), Task("no"))


@guarantee("requests", "When answers take too many bytes, the oldest goes.", promise=_BOUNDS)
async def answers_by_bytes(place: Place) -> None:
    many = [Task(f"many-{number}") for number in range(200)]
    async with place.open(queue_size=10_000) as store:
        await _first(store, key("1"), *many)
        bytes_max = 2 * answer_bytes(key("1"), await _again(store, key("1")))
    async with place.open(queue_size=10_000, answer_bounds=AnswerBounds(bytes_max=bytes_max)) as store:
        for number in range(2, 6):
            await _first(store, key(str(number)), *(Task(f"{number}-{task.name}") for task in many))
        await _again(store, key("5"))
        await _again(store, key("4"))
        for number in (2, 3):
            await _forgotten(store, key(str(number)), "later answers take all of the bytes")
        await _first(store, key("large"), *(Task(f"large-{number}") for number in range(300)))
        await _again(store, key("large"))


@guarantee("requests", "An answer is forgotten when it is too old.", promise="An answer is remembered for one day")
async def answers_by_age(place: Place) -> None:
    async with place.open(answer_bounds=AnswerBounds(seconds_max=0.3)) as store:
        await _first(store, key("1"), Task("a"))
        await trio.sleep(0.4)
        await _forgotten(store, key("1"), "it is too old")
        verdicts = await _first(store, key("1"), Task("b"))
        expect(words(verdicts) == ["accepted"], f"a request whose answer is too old got {words(verdicts)}")


@guarantee("requests", "Answers survive the process, as their tasks do.", Need.DURABLE, promise=_BOTH)
async def answers_are_kept(place: Place) -> None:
    async with place.open(queue_size=3) as store:
        await accept(store, Task("held"))
        await _first(store, key("1"), Task("a"), Task("held"))
        await _first(store, key("2"), Task("held", on_conflict="join"))
        await _first(store, key("3", kind=RequestKind.TOKEN), Task("b"), Task("c"))
        await _first(store, key("4"), Task("c"))
        keys = [key("1"), key("2"), key("3", kind=RequestKind.TOKEN)]
        before = [await store.answers.remembered(request) for request in keys]
        await place.cut(store)
    async with place.open(queue_size=3) as store:
        after = [await store.answers.remembered(request) for request in keys]
        expect(None not in after, "a task is there, but the answer to its request is not remembered")
        expect(after == before, f"the answers were {before} and are {after} in the next process")
        await _forgotten(store, key("4"), "its submit accepted nothing")
        for answer in after:
            for short in answer.verdicts if answer is not None else ():
                if short.id is not None:
                    await store.get(short.id)  # raises if the task of an answer is missing


@guarantee(
    "requests",
    "Of concurrent submits with one key on two nodes, one accepts tasks, and all get its answer.",
    Need.SHARED,
    promise=_ONCE,
)
async def one_request_over_nodes(place: Place) -> None:
    async with _two(place) as nodes:
        await _submit_at_once(*nodes)


@asynccontextmanager
async def _two(place: Place) -> AsyncIterator[tuple[Store, Store]]:
    async with place.open() as one, place.open() as other:
        yield one, other
