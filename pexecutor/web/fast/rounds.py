"""Rounds: submits that come together, over however many connections, are answered together.

One Trio task waits for all connections that wait for a request. It reads from those on which something has come, has
the store take all their tasks in one step, and writes all replies. So a submit costs no turn of Trio of its own, and
each step finds in the processor's caches what it needs.

Only what is plain is answered here: one whole request that submits one task, and nothing behind it. For all else the
connection's own Trio task is woken, and finds what has come in its parser. While a store has to be waited for, further
rounds are held.

Invariants: while a request of a connection is under way, nothing is read from it, so its replies stay in their order.
What goes wrong with one of them is raised in its own Trio task.

Roads not taken: answering here all that a client has sent ahead, which would keep the others waiting; and waiting by
Trio for each connection, which is a call of the system, a turn and cold caches for each request.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import trio

from ...task import Task, Verdict
from ..api.reply import Reply
from .hot import Submit
from .request import Request
from .transport import BYTES_AT_ONCE

if TYPE_CHECKING:
    from .connection import FastConnection
    from .server import FastHttp

CONNECTIONS_AT_ONCE_MAX: Final = 32
"""How many are read from in a round: no more than a worker begins tasks in its turn, so the pool keeps up."""


class Wait:
    """One connection that waits.

    Parameters:
        connection: which one.
        fd: the descriptor of its socket.
    """

    __slots__ = ("connection", "ended", "error", "fd", "is_busy", "is_open", "unsent", "woken")

    def __init__(self, connection: FastConnection, fd: int) -> None:
        self.connection: FastConnection = connection
        self.fd: int = fd
        self.ended: bool = False
        self.is_busy: bool = False
        """Whether a request of it is under way."""
        self.woken: trio.Event = trio.Event()
        # What the connection's own Trio task finds when it is woken.
        self.error: Exception | None = None
        self.is_open: bool = True
        self.unsent: bytes = b""


Asked = tuple[Wait, Submit]
"""A submit, and the connection that waits for its reply."""


class Rounds:
    """Reads for connections that wait.

    Parameters:
        http: what they have in common.
    """

    def __init__(self, http: FastHttp) -> None:
        self._http = http
        self._hot = http.hot
        self._epoll = select.epoll()
        # Owned by _arm() and _disarm(): what is registered in the epoll, by its descriptor.
        self._armed: dict[int, Wait] = {}

    async def run(self) -> None:
        """Hold rounds until it is cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._hold(nursery)

    async def wait(self, connection: FastConnection, fd: int) -> Wait:
        """Wait until there is something to do for a connection's own Trio task.

        Raises:
            OSError: the client is gone.
        """
        wait = Wait(connection, fd)
        self._arm(wait)
        try:
            await wait.woken.wait()
        finally:
            wait.ended = True
            self._disarm(wait)
        if wait.error is not None:
            raise wait.error
        return wait

    def _hold(self, nursery: trio.Nursery) -> None:
        """One round: each step for all, then the next."""
        ready = [self._armed[fd] for fd, _ in self._epoll.poll(0, CONNECTIONS_AT_ONCE_MAX)]
        came = [(wait, data) for wait in ready if (data := self._receive(wait)) is not None]
        asked = [(wait, submit) for wait, data in came if (submit := self._read(wait, data)) is not None]
        verdicts = self._hot.submit_nowait(_tasks(asked))
        if verdicts is not None:
            self._answer(asked, verdicts)
        else:
            for wait, _ in asked:
                wait.is_busy = True
                self._http.idle.discard(wait.connection)
            nursery.start_soon(self._submit, asked)

    async def _submit(self, asked: list[Asked]) -> None:
        self._answer(asked, await self._hot.submit(_tasks(asked)))

    def _receive(self, wait: Wait) -> bytes | None:
        """What has come, nothing at the end; ``None`` when there is nothing to read."""
        if wait.is_busy:
            self._disarm(wait)
            return None
        try:
            return os.read(wait.fd, BYTES_AT_ONCE)
        except BlockingIOError:
            return None
        except OSError as error:
            self._wake(wait, error)
            return None

    def _read(self, wait: Wait, data: bytes) -> Submit | None:
        """The submit that has come, if it came alone; else the connection waits on, or its own Trio task is woken."""
        parser = wait.connection.parser
        if not parser.is_between or self._is_ending(wait):
            return self._parse(wait, data)
        return self._hot.known_submit(data, parser.ends) or self._parse(wait, data)

    def _parse(self, wait: Wait, data: bytes) -> Submit | None:
        """The same of what has to be parsed."""
        parser = wait.connection.parser
        was_between = parser.is_between
        try:
            parser.feed(data)
        except Exception as error:
            self._wake(wait, error)
            return None
        if len(parser.requests) == 1 and parser.refusal is None and not self._is_ending(wait):
            return self._prepare(wait, parser.requests[0], data if was_between else None)
        wait.is_open = bool(data)
        if parser.requests or parser.refusal is not None or not data:
            self._wake(wait)
        return None

    def _is_ending(self, wait: Wait) -> bool:
        return self._http.stopping or wait.connection.is_ending

    def _prepare(self, wait: Wait, request: Request, data: bytes | None) -> Submit | None:
        """What a request submits; ``None`` when the connection's own Trio task has to answer it."""
        submit = self._hot.submit_of(request, data) if request.keep_alive else None
        if submit is None:
            self._wake(wait)
            return None
        wait.connection.parser.requests.clear()
        return submit

    def _answer(self, asked: list[Asked], verdicts: Sequence[Verdict | Reply]) -> None:
        """Tell each what has become of it; the verdicts are for those that have a task."""
        left, hot = iter(verdicts), self._hot
        replies = [
            hot.reply_to(submit, next(left) if isinstance(submit.task, Task) else submit.task) for _, submit in asked
        ]
        waiting = [wait.connection for (wait, _), reply in zip(asked, replies, strict=True) if self._send(wait, reply)]
        self._http.idle.add(*waiting)

    def _send(self, wait: Wait, data: bytes) -> bool:
        """Send a reply; whether the connection waits on: all of it has gone, and another request may follow."""
        wait.is_busy = False
        if wait.ended:
            return False
        try:
            sent = os.write(wait.fd, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._wake(wait, error)
            return False
        if sent < len(data) or self._is_ending(wait):
            wait.unsent = data[sent:]
            self._http.idle.discard(wait.connection)
            self._wake(wait)
            return False
        self._arm(wait)
        return True

    def _wake(self, wait: Wait, error: Exception | None = None) -> None:
        """Have the connection's own Trio task go on; an error is raised there."""
        wait.error = error
        wait.woken.set()
        self._disarm(wait)

    def _arm(self, wait: Wait) -> None:
        if wait.fd not in self._armed:
            self._epoll.register(wait.fd, select.EPOLLIN)
            self._armed[wait.fd] = wait

    def _disarm(self, wait: Wait) -> None:
        if self._armed.get(wait.fd) is wait:
            del self._armed[wait.fd]
            self._epoll.unregister(wait.fd)


def _tasks(asked: Iterable[Asked]) -> list[Task]:
    """Of those that have one."""
    return [submit.task for _, submit in asked if isinstance(submit.task, Task)]
