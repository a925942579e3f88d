"""Rounds: answer submits that arrive together, on any number of connections, in one step.

One Trio task waits for all connections that wait for a request. In a round, it reads from the connections that are
ready, submits all their tasks to the store in one step, and writes all replies. So a submit costs no turn of Trio of
its own, and each step finds its code and data in the processor's caches.

Rounds answer only plain submits: one complete request that submits one task, with no data after it. For all other
input, the connection's own Trio task is woken, which finds the input in its parser. While a round waits for the store,
further rounds go on.

Invariants: while a request of a connection is being answered, nothing is read from the connection, so replies keep
their order. An error on a connection is raised in the connection's own Trio task.

Roads not taken: answering here all requests that a client has pipelined, which would delay other clients; and waiting
for each connection with Trio, which costs a system call, a turn and cold caches for each request.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import trio

from ...task import Task, Verdict
from ..api.coalesce import TASKS_A_STEP_MAX
from ..api.reply import Reply
from ..serving.idle import Idle
from .parser import Parser
from .request import Request
from .shared import Shared
from .submits import Submit
from .transport import BYTES_AT_ONCE

CONNECTIONS_AT_ONCE_MAX: Final = 32
"""How many connections a round reads from: no more than the tasks that a worker starts in a turn, so the pool keeps up.
"""


class WaitingConnection(Idle, Protocol):
    """A connection that waits for a request; its parser holds the requests that are not answered."""

    parser: Parser
    is_ending: bool


class Wait:
    """The wait of one connection.

    Parameters:
        connection: the connection.
        fd: the descriptor of its socket.
    """

    __slots__ = ("connection", "ended", "error", "fd", "is_busy", "is_open", "unsent", "woken")

    def __init__(self, connection: WaitingConnection, fd: int) -> None:
        self.connection: WaitingConnection = connection
        self.fd: int = fd
        self.ended: bool = False
        self.is_busy: bool = False
        """Whether a request of the connection is being answered."""
        self.woken: trio.Event = trio.Event()
        # Results for the connection's own Trio task when it is woken.
        self.error: Exception | None = None
        self.is_open: bool = True
        self.unsent: bytes = b""


WaitingSubmit = tuple[Wait, Submit]
"""A submit, and the connection that waits for its reply."""


class Rounds:
    """Reads from waiting connections, and answers their submits.

    Parameters:
        shared: what the connections share.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._submits = shared.submits
        self._epoll = select.epoll()
        # Owned by _arm() and _disarm(): the waits that are registered in the epoll, by descriptor.
        self._armed: dict[int, Wait] = {}
        # Owned by _read_submits(): connections that were ready when one of the last rounds had enough tasks.
        self._ready: deque[Wait] = deque()

    async def run(self) -> None:
        """Run rounds until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._run_round(nursery)

    async def wait(self, connection: WaitingConnection, fd: int) -> Wait:
        """Wait until a connection's own Trio task has something to do.

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

    def _run_round(self, nursery: trio.Nursery) -> None:
        """Run one round: do each step for all connections before the next step."""
        submits = self._read_submits()
        verdicts = self._submits.submit_nowait(_tasks(submits))
        if verdicts is not None:
            self._answer(submits, verdicts)
        else:
            for wait, _ in submits:
                wait.is_busy = True
                self._shared.idle.discard(wait.connection)  # a connection that waits for a reply is not idle
            nursery.start_soon(self._submit, submits)

    async def _submit(self, submits: Sequence[WaitingSubmit]) -> None:
        self._answer(submits, await self._submits.submit(_tasks(submits)))

    def _read_submits(self) -> list[WaitingSubmit]:
        """Read from ready connections until there are none, or enough tasks for a step."""
        if not self._ready:
            self._ready.extend(self._armed[fd] for fd, _ in self._epoll.poll(0, CONNECTIONS_AT_ONCE_MAX))
        submits, tasks = [], 0
        while self._ready and tasks < TASKS_A_STEP_MAX:
            wait = self._ready.popleft()
            data = self._receive(wait)
            if data is not None and (submit := self._read(wait, data)) is not None:
                submits.append((wait, submit))
                tasks += len(submit.sent.tasks)
        return submits

    def _receive(self, wait: Wait) -> bytes | None:
        """Return the received data, empty at the end of the input; ``None`` if there is nothing to read."""
        if self._armed.get(wait.fd) is not wait:  # it was ready, and has ended since
            return None
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
        """Return the submit in the data, or ``None`` if the data holds anything else.

        For ``None``, the connection waits for more data, or its own Trio task has been woken.
        """
        parser = wait.connection.parser
        if not parser.is_between or self._is_ending(wait):
            return self._parse(wait, data)
        return self._submits.known_submit(data, parser.ends) or self._parse(wait, data)

    def _parse(self, wait: Wait, data: bytes) -> Submit | None:
        """Parse the data, then do as ``_read`` does."""
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
        if parser.requests or parser.refusal is not None or not data or self._shared.stopping:
            self._wake(wait)
        return None

    def _is_ending(self, wait: Wait) -> bool:
        return self._shared.closing or wait.connection.is_ending

    def _prepare(self, wait: Wait, request: Request, data: bytes | None) -> Submit | None:
        """Return the submit of a request, or ``None`` if the connection's own Trio task has to answer the request."""
        submit = self._submits.submit_of(request, data) if request.keep_alive else None
        if submit is None:
            self._wake(wait)
            return None
        wait.connection.parser.requests.clear()
        return submit

    def _answer(self, submits: Sequence[WaitingSubmit], verdicts: Sequence[Verdict] | Reply) -> None:
        """Send the reply to each submit; ``verdicts`` are those on the tasks of all submits, or an error reply."""
        sent = zip(submits, self._replies(submits, verdicts), strict=True)
        waiting = [wait.connection for (wait, _), reply in sent if self._send(wait, reply)]
        self._shared.idle.add(*waiting)

    def _replies(self, submits: Sequence[WaitingSubmit], verdicts: Sequence[Verdict] | Reply) -> list[bytes]:
        reply_to = self._submits.reply_to
        if isinstance(verdicts, Reply):
            return [reply_to(submit, verdicts) for _, submit in submits]
        replies, begin = [], 0
        for _, submit in submits:
            end = begin + len(submit.sent.tasks)
            replies.append(reply_to(submit, verdicts[begin:end]))
            begin = end
        return replies

    def _send(self, wait: Wait, data: bytes) -> bool:
        """Send a reply; return whether the connection waits for another request.

        It does not if a part of the reply is unsent, or if the connection is ending: its own Trio task is woken then.
        """
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
            self._shared.idle.discard(wait.connection)
            self._wake(wait)
            return False
        self._arm(wait)
        return True

    def _wake(self, wait: Wait, error: Exception | None = None) -> None:
        """Wake the connection's own Trio task, which raises the error if there is one."""
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


def _tasks(submits: Iterable[WaitingSubmit]) -> list[Task]:
    """Return the tasks of all submits."""
    return [task for _, submit in submits for task in submit.sent.tasks]
