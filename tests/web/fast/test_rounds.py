"""Submits that arrive together over many connections: each gets its own reply, whatever happens to the others."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from pexecutor import Executor, LocalStore, Task, Verdict
from pexecutor.config import Config, HttpKind
from pexecutor.stores.local.journal_protocol import NOTHING_BESIDE, BesideRecords
from pexecutor.task import Record
from pexecutor.web import create_web, make_http
from pexecutor.web.api.coalesce import TASKS_A_STEP_MAX, TASKS_TOGETHER_MAX
from pexecutor.web.fast.parser import Parser
from pexecutor.web.fast.rounds import CONNECTIONS_AT_ONCE_MAX

from ...fakes import FakeJournal, Gate
from ..conftest import Served, ServeHere
from ..raw import JSON, RawClient, RawReply, connected, request
from ..replies import problem_in

LIVEZ = request("GET /livez")


class HeldJournal(FakeJournal):
    """A journal whose writes wait until the test releases them."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = trio.Event()

    async def commit(self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE) -> None:
        await super().commit(changes, acceptances, beside)
        await self.go_on.wait()

    async def until_asked(self) -> None:
        with trio.fail_after(5):
            while not self.writes:  # noqa: ASYNC110  (a count has no event)
                await trio.sleep(0.001)


@pytest.fixture
def server() -> HttpKind:
    """Only the fast listener has rounds."""
    return "fast"


@pytest.fixture
def journal() -> HeldJournal:
    return HeldJournal()


@pytest.fixture
async def durable(serve_here: ServeHere, gate: Gate, journal: HeldJournal) -> Served:
    """A server whose store needs to wait for its journal."""
    return await serve_here(handler=gate, store=LocalStore(journal=journal), request_timeout_seconds=0.5)


def submit(**task: Any) -> bytes:
    body = ", ".join(f'"{key}": {value}' if key == "delay" else f'"{key}": "{value}"' for key, value in task.items())
    return request("POST /tasks", JSON, body=b"{%b}" % body.encode())


def submit_list(names: Sequence[str]) -> bytes:
    body = ", ".join(f'{{"name": "{name}"}}' for name in names)
    return request("POST /tasks", JSON, body=f"[{body}]".encode())


@asynccontextmanager
async def many(served: Served, number: int) -> AsyncIterator[list[RawClient]]:
    """Open many connections."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(served.port)) for _ in range(number)]


async def ask_together(clients: list[RawClient], asked: list[bytes]) -> list[RawReply]:
    """Send one request over each connection before reading any reply; return the replies."""
    for client, data in zip(clients, asked, strict=True):
        await client.send(data)
    return [await client.reply() for client in clients]


async def test_each_connection_is_told_of_its_own_task(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)
    names = [f"t{number}" for number in range(100)]

    async with many(served, len(names)) as clients:
        for again in range(3):
            replies = await ask_together(clients, [submit(name=f"{name}-{again}") for name in names])
            assert [reply.json()["name"] for reply in replies] == [f"{name}-{again}" for name in names]
            assert {reply.status_code for reply in replies} == {202}


async def test_each_task_has_its_own_verdict(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate, pool_size=1, queue_size=9)
    asked = {
        202: [submit(name="r")] + [submit(name=f"later{number}", delay=60_000) for number in range(3)],
        409: [submit(name="r")] * 10,
        400: [submit(name="x", handler="none"), submit(name=""), request("POST /tasks", JSON, body=b"{")] * 5,
        421: [request("POST /tasks", JSON, body=b'{"name": "x"}', host="evil.example")] * 2,
        200: [LIVEZ] * 4,
    }
    expected = {status: len(requests) for status, requests in asked.items()}

    async with many(served, sum(expected.values())) as clients:
        replies = await ask_together(clients, [data for requests in asked.values() for data in requests])
        assert Counter(reply.status_code for reply in replies) == expected

        more = await ask_together(clients[:20], [submit(name=f"more{number}") for number in range(20)])
        assert Counter(reply.status_code for reply in more) == {202: 6, 429: 14}


async def test_each_list_has_its_own_counts(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)
    bodies = [[f"{number}-{index}" for index in range(number % 5)] + ["shared"] for number in range(40)]

    async with many(served, len(bodies)) as clients:
        replies = await ask_together(clients, [submit_list(names) for names in bodies])

    assert [reply.json()["RequestedTask"] for reply in replies] == [len(names) for names in bodies]
    assert sum(reply.json()["SubmittedTasks"] for reply in replies) == len({name for names in bodies for name in names})
    assert sum(reply.json()["DuplicateTasks"] for reply in replies) == len(bodies) - 1


async def test_a_round_takes_a_bounded_number_of_tasks(
    serve_here: ServeHere, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = await serve_here(handler=gate, queue_size=10_000)
    submit_nowait, steps = Executor.submit_nowait, list[int]()

    def note(self: Executor, tasks: Sequence[Task]) -> list[Verdict] | None:
        steps.append(len(tasks))
        return submit_nowait(self, tasks)

    monkeypatch.setattr(Executor, "submit_nowait", note)
    async with many(served, CONNECTIONS_AT_ONCE_MAX) as clients:
        for client in clients:
            await client.ask(LIVEZ)  # now all connections wait in the rounds
        for number, client in enumerate(clients):
            assert isinstance(client.stream, trio.SocketStream)
            # Written without a Trio checkpoint in between, so that all connections are ready at the same time.
            data = submit_list([f"{number}-{index}" for index in range(TASKS_TOGETHER_MAX)])
            assert os.write(client.stream.socket.fileno(), data) == len(data)
        clients.pop().reset()
        replies = [await client.reply() for client in clients]

    assert {reply.json()["SubmittedTasks"] for reply in replies} == {TASKS_TOGETHER_MAX}
    assert max(steps) < TASKS_A_STEP_MAX + TASKS_TOGETHER_MAX
    assert sum(steps) >= TASKS_TOGETHER_MAX * len(clients)


async def test_while_the_store_is_waited_for_others_are_answered(durable: Served, journal: HeldJournal) -> None:
    async with connected(durable.port) as client:
        await client.send(submit(name="a"))
        await journal.until_asked()
        await client.send(LIVEZ)  # before the reply
        async with connected(durable.port) as other:
            assert (await other.ask(LIVEZ)).status_code == 200
            await other.send(submit(name="b"))
            await trio.sleep(0.7)  # longer than the idle limit of a connection
            journal.go_on.set()

            assert [(await client.reply()).status_code for _ in range(2)] == [202, 200]
            assert (await other.reply()).status_code == 202


async def test_what_could_not_be_made_durable_was_not_taken(durable: Served, journal: HeldJournal) -> None:
    journal.fails_at, journal.awaits = {1}, 0
    journal.go_on.set()

    async with connected(durable.port) as client:
        assert problem_in(await client.ask(submit(name="a")), 503)
        assert (await client.ask(submit(name="a"))).status_code == 202


async def test_a_client_that_leaves_holds_up_nobody(durable: Served, journal: HeldJournal) -> None:
    async with connected(durable.port) as client:
        await client.send(submit(name="a"))
        await journal.until_asked()
        client.reset()

    async with connected(durable.port) as other:
        journal.go_on.set()
        assert problem_in(await other.ask(submit(name="a")), 409)
        assert (await other.ask(submit(name="b"))).status_code == 202


async def test_the_stop_lets_a_submit_that_is_under_way_end(durable: Served, journal: HeldJournal) -> None:
    async with connected(durable.port) as client:
        await client.send(submit(name="a"))
        await journal.until_asked()
        durable.http.stop()
        await trio.sleep(0.05)
        journal.go_on.set()

        assert (await client.reply()).status_code == 202
        assert await client.ended_within(5)
        with trio.fail_after(5):
            await durable.http_ended.wait()


async def test_a_reply_that_the_kernel_does_not_take_is_sent_later(nursery: trio.Nursery) -> None:
    config = Config(server="fast")
    executor = Executor(LocalStore())
    http = make_http(create_web(executor, config), config)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    filled = 0
    with suppress(BlockingIOError):
        while True:
            filled += ours.send(b"x" * 100)
    await nursery.start(executor.run)
    nursery.start_soon(http.run)
    nursery.start_soon(http.speak, trio.SocketStream(trio.socket.from_stdlib_socket(ours)))

    async with trio.SocketStream(trio.socket.from_stdlib_socket(theirs)) as stream:
        await stream.send_all(submit(name="a"))
        with trio.fail_after(5):
            while not executor.statistics().submitted:  # noqa: ASYNC110  (a snapshot has no event)
                await trio.sleep(0.001)
            while filled:
                filled -= len(await stream.receive_some(filled))
        client = RawClient(stream)
        assert (await client.reply()).status_code == 202
        assert (await client.ask(LIVEZ)).status_code == 200


async def test_a_fault_of_ours_ends_one_connection(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(served.port) as one, connected(served.port) as other:
        await other.ask(LIVEZ)
        with monkeypatch.context() as broken:
            broken.setattr(Parser, "feed", lambda *_: 1 / 0)
            await one.send(LIVEZ)
            assert await one.ended_within(5)
        assert (await other.ask(LIVEZ)).status_code == 200
