"""``Process``: one life of the program on a disk: database, journal, store and executor, as ``server.py`` joins them.

Its thread is simulated, and it can die: at any step of any Trio task, or in the middle of any operation of its disk. A
dead process does nothing more. That Trio then unwinds it is of no consequence: its disk keeps nothing of that, and
nobody listens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol, TypeVar

import trio

from pexecutor import Ending, Executor, Finished, LocalStore, Outcome, Record, Running, Scheduled, Task
from pexecutor.handlers import Catalogue, Context
from pexecutor.limits.keys import LimitKey
from pexecutor.log import TaskLog
from pexecutor.stores import Watcher
from pexecutor.stores.answers import Answer, RequestKey
from pexecutor.stores.deliveries import Delivery, DeliveryBounds
from pexecutor.stores.local.book import Book
from pexecutor.stores.local.recovery import Recovered
from pexecutor.stores.sqlite.database import Database, Durability
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.task import Brings

from ..fakes import Doing
from .connection import connected
from .disk import Crash, FakeDisk
from .ledger import Ledger, demand
from .log import FailingLog
from .requests import Requests

T = TypeVar("T")

FILE: Final = Path("/tasks.db")
UNWRITABLE: Final = "caf\udce9"
"""There is no encoding for it."""

Work = Callable[["Process", Context, Task], Awaitable[object]]


class Notified(Protocol):
    """The targets of tasks in a seed."""

    are_made: bool
    bounds: DeliveryBounds

    def brings(self, task: Task) -> Brings | None: ...

    def note_ended(self, deliveries: Iterable[Delivery]) -> None: ...


class Process:
    """One life.

    Parameters:
        disk: what it finds and leaves.
        ledger: is told of every transaction, and looks at the store; it also has the sizes of the queue and the pool.
        requests: looks at the remembered answers.
        notified: gives tasks their targets.
        nursery: where its thread works; cancelled when it dies.
        chance: decides how long the disk takes, and how long retries wait.
        now: the wall clock.
        disk_seconds: how long a call in the thread takes at most.
        durability: of its file.
        checkpoint_pages: how many pages its log has when they are taken over into the file.
        history_records_max: how many finished tasks it keeps.
        starts_are_free: whether the start of a task that is run again need not be durable.
        say: writes the trace.
        log: where the program writes its log; it may fail.
        work: what its handler does.
        limit_keys: returns the limit keys of a task.
    """

    def __init__(
        self,
        disk: FakeDisk,
        ledger: Ledger,
        requests: Requests,
        nursery: trio.Nursery,
        *,
        notified: Notified,
        chance: Random,
        now: Callable[[], float],
        disk_seconds: float,
        durability: Durability,
        checkpoint_pages: int,
        history_records_max: int,
        starts_are_free: bool,
        say: Callable[[str, str], None],
        log: FailingLog,
        work: Work,
        limit_keys: Callable[[Task], tuple[LimitKey, ...]],
    ) -> None:
        self.disk = disk
        self.ledger = ledger
        self.requests = requests
        self.serving = False
        self.dead = False
        self.at_work: set[str] = set()  # names; changed by the handler
        self.may_be_killed = False
        """Whether its tasks kill it now and then."""
        self.broken: Exception | None = None
        """The promise that was found broken at its death."""
        self.on_look: Callable[[], None] = lambda: None
        """Called at each look."""
        self.hang_seconds = 0.0
        """How long the next call in the thread hangs."""
        self._nursery = nursery
        self._chance = chance
        self._now = now
        self._disk_seconds = disk_seconds
        self._say = say
        self.log = log
        self._one_call = trio.Semaphore(1)
        self.database = Database(
            FILE, durability=durability, connected=partial(connected, disk, checkpoint_pages=checkpoint_pages)
        )
        self.store = _Store(
            chance,
            ledger,
            notified,
            limit_keys,
            delivery_bounds=notified.bounds,
            queue_size=ledger.queue_size,
            history_records_max=history_records_max,
            history_failed_records_max=history_records_max,
            crashes_max=ledger.crashes_max,
            journal=_Journal(self),
            ends_with_us={"sleep"} if starts_are_free else (),
            now=now,
            on_recovered=self._note_recovered,
            jitter=chance,
        )
        handlers = Catalogue({"sleep": Doing(lambda context, task: work(self, context, task))})
        self.executor = Executor(
            self.store, pool_size=ledger.pool_size, handlers=handlers, on_change=TaskLog("debug", now=now)
        )

    def _note_recovered(self, recovered: Recovered) -> None:
        self.log.write(f"{recovered}\n")

    @property
    def book(self) -> Book:
        """What its store knows."""
        return self.store._book

    def look(self) -> None:
        """See that everything is as it has to be, now."""
        if self.serving and not self.dead:
            self.ledger.look(self.book, self._now(), self.at_work)
            answers = {
                key: answer for kept in self.store.answers._book._answers.values() for key, answer in kept.items()
            }
            self.requests.look(answers, by_mark(self.book._records.values()), self.ledger.is_known)
            self.on_look()

    def die(self, how: str) -> None:
        """From here on it does nothing any more."""
        if not self.dead:
            self._say("process", f"dies {how}")
            try:
                self.look()
            except Exception as error:
                self.broken = error
            self.dead = True
            self.disk.crash()
            self._nursery.cancel_scope.cancel()

    # The thread: one call at a time, and it goes on when the caller has given up.

    async def in_thread(self, function: Callable[..., T], /, *arguments: Any) -> T:
        """Call a function as if in a thread."""
        await self._one_call.acquire()
        call = _Call(function, arguments)
        self._nursery.start_soon(self._run, call)
        await call.done.wait()
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[no-any-return]

    async def _run(self, call: _Call) -> None:
        await self._take_time()
        if not self.dead:
            with suppress(Crash):
                try:
                    call.result = self._watched(call)
                except Exception as error:
                    call.error = error
            if self.disk.crashed:
                self.die(f"at operation {self.disk.operations} of the disk")
        if self.dead:
            await trio.sleep_forever()
        self._one_call.release()
        call.done.set()

    async def _take_time(self) -> None:
        hang, self.hang_seconds = self.hang_seconds, 0.0
        if hang:
            await trio.sleep(hang)
        elif self._disk_seconds and self._chance.random() < 0.5:
            await trio.sleep(self._disk_seconds * self._chance.random())
        else:
            await trio.lowlevel.checkpoint()

    def _watched(self, call: _Call) -> Any:
        if call.function != self.database.write:
            return call.function(*call.arguments)
        records, gone, *_ = call.arguments
        self.ledger.write_begins(records, gone)
        operations, failures = self.disk.operations, self.disk.failures
        try:
            unwritten = call.function(*call.arguments)
        except Exception as error:
            self._say("disk", f"fails: {error}")
            has_failed = self.disk.failures > failures or self.disk.crashed
            demand(has_failed, "a transaction fails because of the disk alone", error)
            raise
        demand(self.disk.operations > operations, "what has succeeded was written", records, gone)
        self.ledger.write_succeeded()
        return unwritten


class _Store(LocalStore):
    """A store that is told now and then of an outcome that cannot be written."""

    def __init__(
        self,
        chance: Random,
        ledger: Ledger,
        notified: Notified,
        limit_keys: Callable[[Task], tuple[LimitKey, ...]],
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self._limit_keys = limit_keys
        self._chance = chance
        self._ledger = ledger
        self._notified = notified

    def watch(self, watcher: Watcher) -> None:
        if self._notified.are_made:
            watcher = watcher._replace(brings=self._notified.brings, deliveries_ended=self._notified.note_ended)
        super().watch(watcher._replace(limit_keys=self._limit_keys))

    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]:
        return await super().finish([(running, self._spoilt_by_chance(running, ending)) for running, ending in ended])

    def _spoilt_by_chance(self, running: Running, ending: Ending) -> Ending:
        if ending.outcome is Outcome.CANCELLED or self._chance.random() < 0.97:
            return ending
        self._ledger.tell_unwritable(running)
        return Ending(Outcome.FAILED, UNWRITABLE, retryable=self._chance.random() < 0.5)


class _Call:
    """A call in the thread. ``result`` or ``error`` is there once ``done`` is set."""

    def __init__(self, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
        self.function = function
        self.arguments = arguments
        self.done = trio.Event()
        self.result: Any = None
        self.error: Exception | None = None


class _Journal(SqliteJournal):
    """The journal, in the simulated thread; the ledger hears what is forgotten."""

    def __init__(self, process: Process) -> None:
        super().__init__(
            process.database,
            in_thread=process.in_thread,
            on_trouble=partial(self._note_trouble, process),
        )
        self._process = process

    @staticmethod
    def _note_trouble(process: Process, trouble: str | None) -> None:
        process._say("journal", f"trouble: {trouble}")
        process.log.write(f"{trouble}\n")

    def forget(self, serials: Sequence[int]) -> None:
        if not self._process.dead:
            for serial in serials:
                self._process.ledger.forget(serial)
        super().forget(serials)


class DieAtStep(trio.abc.Instrument):
    """Ends a process just before the n-th step that Trio takes."""

    def __init__(self, process: Process, step: int) -> None:
        self._process = process
        self._step = step
        self._steps_left = step

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._steps_left -= 1
        if self._steps_left == 0:
            self._process.die(f"at step {self._step}, before {task.name.rpartition('.')[2]}")


def by_mark(records: Iterable[Record]) -> dict[int, Record]:
    """Records by the mark of their tasks."""
    return {record.task.params["mark"]: record for record in records}


def read_answers(disk: FakeDisk) -> dict[RequestKey, Answer]:
    """The remembered answers in a disk's file; the disk stays as it is."""
    database = Database(FILE, connected=partial(connected, disk.copy(), checkpoint_pages=0))
    database.open()
    try:
        return dict(database.stored("answers"))
    finally:
        database.close()


def read_file(disk: FakeDisk) -> tuple[list[Record], int, int]:
    """The records in a disk's file, the store's tag, and how many tasks it has accepted; the disk stays as it is."""
    database = Database(FILE, connected=partial(connected, disk.copy(), checkpoint_pages=0))
    tag, acceptances = database.open()
    try:
        return [record for some in database.records() for record in some], tag, acceptances
    finally:
        database.close()
