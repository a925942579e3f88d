"""Remembered answers on a real server: they move with the tasks, and damage to one of them costs no other."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
import trio

from pexecutor import Accepted, Task
from pexecutor.conformance.asking import accept, end, start
from pexecutor.conformance.requests import DIGEST, key
from pexecutor.stores import Store
from pexecutor.stores.answers import Answer, AnswerBounds, KeyedAnswer, RequestKey, RequestKind, answer_of
from pexecutor.stores.moves import valkey_side
from pexecutor.stores.moves.move import Terms, move, undo
from pexecutor.stores.valkey import make_store
from pexecutor.stores.valkey.answers import to_answer, to_kept, to_key, to_request
from pexecutor.stores.valkey.store import ValkeyStore
from pexecutor.task import make_serial

from ..moves.test_move import everything, serving
from .fake import FakeValkey
from .links import SureLink
from .server import ValkeyServer
from .test_conformance import address_of
from .test_moving import is_served_there, move_until, node, sides

KEYS = [key("1"), key("2", kind=RequestKind.TOKEN), key("3", scope="ä:b")]


@pytest.fixture
def queue() -> str:
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here.db"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there.db"


async def fill(store: Store) -> list[Answer | None]:
    """Submit three requests, and end a task; return the answers."""
    await accept(store, Task("held"))
    for number, request in enumerate(KEYS):
        tasks = [Task(f"task-{number}"), Task("held"), Task(f"ends-{number}", priority=1)]
        verdicts = await store.answers.submit(request, DIGEST, tasks)
        assert isinstance(verdicts, list)
        assert [isinstance(verdict, Accepted) for verdict in verdicts] == [True, False, True]
    [running] = await start(store)
    await end(store, running)
    return await answers_in(store)


async def answers_in(store: Store) -> list[Answer | None]:
    return [await store.answers.remembered(request) for request in KEYS]


@pytest.mark.parametrize("request_key", [*KEYS, key("k" * 255, scope="12:3"), key(":", scope="\u20ac" * 85)])
def test_a_request_is_one_text(request_key: RequestKey) -> None:
    assert to_key(request_key.kind, to_request(request_key)) == request_key


def test_a_stored_answer_is_the_answer() -> None:
    tag = 0x7FFFFF
    answer = answer_of(DIGEST, 5.5, [make_serial(tag, 7), -make_serial(tag, (1 << 40) - 1), 0])
    assert to_answer(to_kept(KeyedAnswer(KEYS[0], answer)).answer, tag) == answer


async def test_they_move_there_and_back(here: Path, there: Path, server: ValkeyServer, queue: str) -> None:
    async with serving(here) as store:
        before = await fill(store)
    assert None not in before
    async with sides(here, server, queue) as (file, shared):
        await move(file, shared, Terms())
        assert not await file.answers()
    async with node(server, queue) as there_store:
        assert await answers_in(there_store) == before
        assert isinstance(await there_store.answers.submit(KEYS[0], b"", [Task("no")]), Answer)
        await there_store.answers.submit(key("4"), DIGEST, [Task("new")])
    async with sides(there, server, queue) as (file, shared):
        await move(shared, file, Terms())
        assert not await shared.answers()
    async with serving(there) as store:
        assert await answers_in(store) == before
        assert await store.answers.remembered(key("4")) is not None
        assert "no" not in [record.task.name for record in await everything(store)]


@pytest.mark.parametrize("is_back", [False, True], ids=["there", "back"])
async def test_cut_short_they_are_in_one_place(
    here: Path, tmp_path: Path, server: ValkeyServer, is_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a death before and after each third call to the server, in turn."""
    monkeypatch.setattr(valkey_side, "ANSWERS_A_CALL", 1)
    async with serving(here) as store:
        before = await fill(store)
    for step in range(1, 200, 3):
        path, queue = tmp_path / f"{step}.db", f"test-{secrets.token_hex(4)}"
        await trio.Path(path).write_bytes(await trio.Path(here).read_bytes())
        if is_back:
            async with sides(path, server, queue) as (file, shared):
                await move(file, shared, Terms(history=True))
        is_cut = await move_until(step, path, server, queue, is_back=is_back)
        if await is_served_there(server, queue) is is_back or is_cut:
            async with sides(path, server, queue) as (file, shared):
                source, target = (shared, file) if is_back else (file, shared)
                if not any(mark.role == "left" for mark in await source.marks()):
                    await move(source, target, Terms(history=True))
        if is_back:
            async with serving(path) as store:
                assert await answers_in(store) == before, step
        else:
            async with node(server, queue) as shared_store:
                assert await answers_in(shared_store) == before, step
        if not is_cut:
            break
    assert step > 30


async def test_an_undone_move_leaves_none(
    here: Path, server: ValkeyServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey_side, "ANSWERS_A_CALL", 1)
    async with serving(here) as store:
        before = await fill(store)
    async with sides(here, server, queue) as (file, shared):
        arrive = shared._arrive_answers

        async def arrive_and_fail(answers: list[KeyedAnswer]) -> None:
            await arrive(answers)
            raise OSError("the end")

        shared._arrive_answers = arrive_and_fail  # type: ignore[method-assign,assignment]
        with pytest.raises(OSError, match="the end"):
            await move(file, shared, Terms())
        assert len(await shared.answers()) == 3
        await undo(file, shared)
        assert not await shared.answers()
    async with serving(here) as store:
        assert await answers_in(store) == before


@pytest.mark.parametrize(
    "damage",
    [
        "redis.call('HSET', k .. ':answers:hook', '6:deploy1', 'garbage')",
        "redis.call('HSET', k .. ':answers:hook', '6:deploy1', cmsgpack.pack({1, 'ff', {'x'}, 10}))",
        "redis.call('HSET', k .. ':answers:hook', '6:deploy1', cmsgpack.pack({1, 'no', {1}, 10}))",
        "redis.call('DEL', k .. ':answers:hook')",
        "redis.call('DEL', k .. ':answers:hook') redis.call('SET', k .. ':answers:hook', 'x')",
        "redis.call('DEL', k .. ':answered:hook') redis.call('SET', k .. ':answered:hook', 'x')",
        "redis.call('HSET', k .. ':head', 'answer_bytes:hook', 'many')",
        "redis.call('HSET', k .. ':head', 'answered', 'many')",
    ],
)
async def test_damage_costs_only_what_is_damaged(server: ValkeyServer, queue: str, damage: str) -> None:
    async with node(server, queue) as store:
        before = await fill(store)
        reply = server.command("EVAL", f"local k = KEYS[1] {damage} return 'done'", "1", f"pexecutor:{{{queue}}}")
        assert not reply.startswith(b"-"), reply
        await store.answers.submit(KEYS[0], DIGEST, [Task("anew")])
        await store.answers.submit(key("new"), DIGEST, [Task("new")])
        for number in range(3):
            assert (await store.answers.submit(key(f"new-{number}"), DIGEST, [Task(f"new-{number}")])) is not None
        after = await answers_in(store)
        assert after[1] == before[1], "the answer of the other kind is as it was"
        assert after[0] is not None
        assert await store.answers.remembered(key("new")) is not None


async def test_bounds_apply_to_a_queue_with_more(server: ValkeyServer, queue: str) -> None:
    async with node(server, queue) as store:
        for number in range(5):
            await store.answers.submit(key(str(number)), DIGEST, [Task(f"task-{number}")])
    small = make_store(address_of(server), queue, lease_seconds=3.0, answer_bounds=AnswerBounds(answers_max=2))
    async with small.opened():
        await small.answers.submit(key("5"), DIGEST, [Task("task-5")])
        remembered = [await small.answers.remembered(key(str(number))) is not None for number in range(6)]
        assert remembered == [False] * 4 + [True] * 2
    count = server.command("ZCARD", f"pexecutor:{{{queue}}}:answered:hook")
    assert (count, server.command("HLEN", f"pexecutor:{{{queue}}}:answers:hook")) == (b":2\r\n", b":2\r\n")


async def test_a_repeated_call_gets_its_verdicts_again() -> None:
    """The reply was lost on the way, and the key is remembered by then."""
    fake = FakeValkey(lambda: 1_800_000_000.0)

    class LosesAReply(SureLink):
        async def call(self, verb: str, *arguments: object) -> bytes:
            reply = await super().call(verb, *arguments)
            return await super().call(verb, *arguments) if verb == "submit_once" else reply

    store = ValkeyStore(LosesAReply(fake), node="n")
    async with store.opened():
        verdicts = await store.answers.submit(key("1"), DIGEST, [Task("a")])
        assert isinstance(verdicts, list)
        assert isinstance(verdicts[0], Accepted)
        answer = await store.answers.submit(key("1"), DIGEST, [Task("a")])
        assert isinstance(answer, Answer)
        assert [short.serial for short in answer.verdicts] == [verdicts[0].record.serial]
