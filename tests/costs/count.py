"""Count the costs of a task. The counts do not depend on the speed or the load of the machine."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import msgspec
import trio
import trio.testing

from pexecutor import Executor, Task
from pexecutor.config import Config
from pexecutor.logs.files import LogFiles
from pexecutor.stores import Store
from pexecutor.task import Finished, Record
from pexecutor.web import create_web, make_http
from pexecutor.web.fast.rounds import CONNECTIONS_AT_ONCE_MAX
from pexecutor.web.serving.listener import Http

from ..web.raw import JSON, request

TASKS: Final = 1000
POOL_SIZE: Final = 200


class Cost(msgspec.Struct):
    """The cost of a thousand tasks.

    Parameters:
        calls: function calls in the event loop's thread, of Python and of C functions.
        steps: how often the scheduler resumed a Trio task.
        writes: changes that were made durable: transactions, or calls of a function on the server.
        commands: the number of commands that the server executed, including commands that functions execute.
    """

    calls: int = 0
    steps: int = 0
    writes: int = 0
    commands: int = 0

    def exceeds(self, ceiling: Cost) -> dict[str, tuple[int, int]]:
        """Return the values that exceed a ceiling, with both numbers."""
        pairs = {name: (getattr(self, name), getattr(ceiling, name)) for name in self.__struct_fields__}
        return {name: pair for name, pair in pairs.items() if pair[0] > pair[1]}


class _Steps(trio.abc.Instrument):
    def __init__(self) -> None:
        self.taken = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.taken += 1


@contextmanager
def counting(store: Store, commands: Callable[[], int]) -> Iterator[Cost]:
    """Count the cost of the code inside this context. The cost is complete at the end of the context."""
    cost, steps = Cost(), _Steps()

    def called(_frame: FrameType, event: str, _argument: Any) -> None:
        if event in ("call", "c_call"):
            cost.calls += 1

    writes, carried_out = sum(store.commits.counts), commands()
    trio.lowlevel.add_instrument(steps)
    sys.setprofile(called)
    try:
        yield cost
    finally:
        sys.setprofile(None)
        trio.lowlevel.remove_instrument(steps)
        cost.steps = steps.taken
        cost.writes = sum(store.commits.counts) - writes
        cost.commands = commands() - carried_out


async def count_accepting(store: Store, commands: Callable[[], int]) -> Cost:
    """Count the cost of accepting one batch while no worker runs."""
    costs = []
    async with store.opened():
        await store.submit(make_tasks("before"))
        for batch in range(3):  # a heartbeat, or the search for damaged keys, falls into at most one of the batches
            with counting(store, commands) as cost:
                await store.submit(make_tasks(f"counted-{batch}"))
            costs.append(cost)
    return Cost(*(min(values) for values in zip(*map(msgspec.structs.astuple, costs), strict=True)))


async def count_submitting(store: Store, commands: Callable[[], int]) -> Cost:
    """Count the cost of one task per request, over as many connections as a round of the fast listener has."""
    config = Config(server="fast")
    executor = Executor(store)
    http = make_http(create_web(executor, config), config)
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        nursery.start_soon(http.run)
        clients = [_connect(http, nursery) for _ in range(CONNECTIONS_AT_ONCE_MAX)]
        await trio.testing.wait_all_tasks_blocked()
        await _submit_singly(clients, "before")
        with counting(store, commands) as cost:
            await _submit_singly(clients, "counted")
        for client in clients:
            client.close()
        nursery.cancel_scope.cancel()
    return cost


def _connect(http: Http, nursery: trio.Nursery) -> socket.socket:
    ours, theirs = socket.socketpair()
    nursery.start_soon(http.speak, trio.SocketStream(trio.socket.from_stdlib_socket(ours)))
    return theirs


async def _submit_singly(clients: Sequence[socket.socket], prefix: str) -> None:
    for turn in range(TASKS // len(clients)):
        for number, client in enumerate(clients):
            client.send(
                request("POST /tasks", JSON, body=b'{"name": "%b-%02d-%02d"}' % (prefix.encode(), turn, number))
            )
        await trio.lowlevel.wait_readable(clients[0])
        for client in clients:
            assert client.recv(4096).startswith(b"HTTP/1.1 202")


async def count_finishing(store: Store, commands: Callable[[], int], logs: LogFiles | None = None) -> Cost:
    """Count the cost of a batch from its submit to its last outcome."""
    left, done = 0, trio.Event()

    def note(records: Sequence[Record]) -> None:
        nonlocal left
        left -= sum(isinstance(record, Finished) for record in records)
        if not left:
            done.set()

    async def finish(tasks: list[Task]) -> None:
        nonlocal left, done
        left, done = len(tasks), trio.Event()
        await executor.submit(tasks)
        await done.wait()

    executor = Executor(store, pool_size=POOL_SIZE, on_change=note, logs=logs)
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        await finish(make_tasks("before"))
        with counting(store, commands) as cost:
            await finish(make_tasks("counted"))
        executor.drain()
    return cost


def make_tasks(prefix: str) -> list[Task]:
    """Return a thousand tasks that take no time."""
    return [Task(f"{prefix}-{number:04}") for number in range(TASKS)]
