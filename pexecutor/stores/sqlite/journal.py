"""``SqliteJournal``: makes the changes of a local store durable in a file, in the order in which they were decided.

**Group commit.** Each commit is put in a line and waits. One writer takes all commits in line, writes them in one
transaction, and wakes their callers, so more commits at once make each of them cheaper. Because there is one writer,
the order of the changes in the file is the order of the commits.

**Trouble.** A failed transaction has written nothing, and the callers of its commits get the error. From then on,
``trouble`` is set. While no caller commits, the writer retries regularly, so ``trouble`` also ends by itself.

**Doubt.** A commit may be cancelled while its transaction is being written. If the transaction still succeeds, the file
is ahead of the store: it contains changes whose caller assumes that they did not happen. What they changed is *in
doubt*: records, and what is kept beside them, each under its kind and its key. The next transaction, which then waits
for no commit, writes all of it as the store has it, and deletes what the store does not have.

Roads not taken: a thread as long-lived as the journal saves 20 µs per transaction, but needs a second way to wake it
and to end it; a transaction per commit would cost each caller a disk flush of its own.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import trio

from ...errors import StoreUnavailableError
from ...limits.times import JOURNAL_CLOSE_SECONDS_MAX
from ...observe.notify import notifier
from ...task import Record
from ..local.journal_protocol import NOTHING_BESIDE, BesideKind, BesideRecords, CurrentBeside
from .beside_tables import Changes
from .database import Database, StoreIdentity
from .files import LostFileError
from .repair import Repairs
from .unwritable import Unwritten

T = TypeVar("T")

TURNS_TO_JOIN: Final = 8
"""How many turns of Trio's scheduler the writer waits for further commits to join a transaction."""

CHANGES_A_TRANSACTION_MAX: Final = 10_000
"""The number of changes in a transaction from which the next commit goes to the next transaction."""

WATCH_SECONDS: Final = 0.8
"""How often the journal checks whether the file was deleted or replaced, in seconds."""

PROBE_SECONDS: Final = 1.0
"""How often the journal retries a failed disk while no caller commits, in seconds."""


CurrentRecord = Callable[[int], Record | None]
"""Returns the record of a serial as the store has it, or ``None`` if the store has none."""

BesideKey = tuple[BesideKind, Hashable]
"""A kind of things beside the records, and the key of one of them."""


class Current(NamedTuple):
    """What the store has at present.

    Parameters:
        record: returns the record of a serial.
        beside: returns the value of a kind and a key.
    """

    record: CurrentRecord
    beside: CurrentBeside


class InThread(Protocol):
    """Calls a function in a thread, where it may block. When the call is cancelled, the function may continue."""

    def __call__(self, function: Callable[..., T], /, *arguments: Any) -> Awaitable[T]: ...


def one_thread() -> InThread:
    """Return a caller of functions in threads, one function at a time, even after a cancelled call.

    A call raises ``StoreUnavailableError`` if the system cannot start a thread.
    """
    limiter = trio.CapacityLimiter(1)

    async def in_thread(function: Callable[..., T], /, *arguments: Any) -> T:
        begun = False

        def call() -> T:
            nonlocal begun
            begun = True
            return function(*arguments)

        try:
            return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)
        except RuntimeError as error:
            if begun:
                raise
            raise StoreUnavailableError(f"the system cannot start a thread for writing: {error}") from error

    return in_thread


class SqliteJournal:
    """The journal that keeps the records of a local store in a file.

    Parameters:
        database: the file.
        in_thread: calls functions that may block.
        on_trouble: called with the reason when the file can no longer be written, and with ``None`` when it can again.
    """

    def __init__(
        self,
        database: Database,
        *,
        in_thread: InThread | None = None,
        on_trouble: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self.trouble: str | None = None
        self.after_crash: bool = False
        self.repairs: Repairs = Repairs()
        self.lost_transactions: int = 0
        self.generations: int = 0
        self._database = database
        self._in_thread = one_thread() if in_thread is None else in_thread
        self._on_trouble = notifier(on_trouble)
        # Appended to by commit(); taken from by the writer, and by a cancelled commit.
        self._line: deque[_Commit] = deque()
        self._wanted = trio.lowlevel.ParkingLot()
        self._closing = False
        # Owned by the writer, except that forget() and a cancelled commit add to it.
        self._doubtful: set[int] = set()
        self._doubtful_beside: set[BesideKey] = set()
        self._forgotten: list[int] = []
        self._forgotten_beside: set[BesideKey] = set()
        self._acceptances = 0
        self._writing_since: float | None = None
        self._last_changes = 0  # the number of changes in the last transaction

    @property
    def writing_seconds(self) -> float:
        """Return for how long the present write has been under way, or 0 if there is none."""
        return 0.0 if self._writing_since is None else trio.current_time() - self._writing_since

    @asynccontextmanager
    async def opened(
        self, current: CurrentRecord, beside: CurrentBeside = lambda *_: None
    ) -> AsyncIterator[StoreIdentity]:
        """Open the file for commits; at the end, every commit is in the file.

        Parameters:
            current: returns the store's record of a task whose state in the file is in doubt.
            beside: does the same for what the store keeps beside records.

        Raises:
            UnusableStoreError: the file cannot be used.
        """
        in_order = False
        try:
            identity = await self._in_thread(self._database.open)
            self._acceptances = identity.acceptances
            self.after_crash = self._database.after_crash
            self.lost_transactions = self._database.lost_transactions
            self.generations = self._database.generations
            async with trio.open_nursery() as nursery:
                # Shielded: a cancelled caller still has to commit the consequences. Bounded once the journal closes.
                writing = trio.CancelScope(shield=True)
                nursery.start_soon(self._write_until_closed, writing, Current(current, beside))
                watching = trio.CancelScope()
                nursery.start_soon(self._watch_file, watching)
                try:
                    yield identity
                    in_order = True
                finally:
                    self._closing = True
                    watching.cancel()
                    self._wanted.unpark_all()
                    writing.deadline = trio.current_time() + JOURNAL_CLOSE_SECONDS_MAX
        finally:
            with trio.move_on_after(JOURNAL_CLOSE_SECONDS_MAX, shield=True):
                in_order = in_order and not self._line and not self._in_doubt and self.trouble is None
                await self._in_thread(self._database.close, in_order)

    async def records(self) -> AsyncIterator[list[Record]]:
        """Iterate over every record of the file, in order of acceptance, in batches, before the first commit.

        Raises:
            UnusableStoreError: the records cannot be read.
        """
        some = self._database.records()
        while records := await self._in_thread(next, some, []):
            yield records
        self.repairs = self._database.repairs

    async def stored(self, kind: BesideKind) -> list[Any]:
        """Return everything of a kind that the file has, in the order in which it was written, after the records.

        Raises:
            UnusableStoreError: the table cannot be read.
        """
        values: list[Any] = await self._in_thread(self._database.stored, kind)
        self.repairs = self._database.repairs
        return values

    async def commit(
        self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE
    ) -> Mapping[int, Record] | None:
        """Make changes durable, all of them or none; return, by serial, the records that were written instead of some.

        Parameters:
            changes: the new states of some records.
            acceptances: how many serials the store has drawn, including these.
            beside: what changes beside the records.

        Raises:
            StoreUnavailableError: no change was written; the message says why.
        """
        if self._closing:
            await trio.lowlevel.checkpoint()
            raise StoreUnavailableError("the store is closed")
        commit = _Commit(changes, acceptances, beside)
        self._line.append(commit)
        self._wanted.unpark_all()
        try:
            await commit.settled.wait()
        except trio.Cancelled:
            self._give_up(commit)
            raise
        if commit.error is not None:
            raise StoreUnavailableError(str(commit.error)) from commit.error
        return commit.replaced

    def _give_up(self, commit: _Commit) -> None:
        if commit in self._line:
            self._line.remove(commit)
        elif commit.settled.is_set() and commit.error is None:  # written, but the caller is being cancelled
            self._doubt(commit)
        commit.given_up = True

    def _doubt(self, commit: _Commit) -> None:
        self._doubtful.update(record.serial for record in commit.changes)
        self._doubtful_beside.update((kind, key) for kind, key, _ in commit.beside.changes())
        self._wanted.unpark_all()

    @property
    def _in_doubt(self) -> bool:
        return bool(self._doubtful or self._doubtful_beside)

    def forget(self, serials: Sequence[int]) -> None:
        """Delete records with the next transaction; until then they do no harm."""
        self._forgotten += serials

    def forget_beside(self, kind: BesideKind, keys: Iterable[Hashable]) -> None:
        """Delete what is kept under these keys with the next transaction; until then it does no harm."""
        self._forgotten_beside.update((kind, key) for key in keys)

    # The writer

    async def _write_until_closed(self, writing: trio.CancelScope, current: Current) -> None:
        with writing:
            while not self._closing or self._line:
                await self._something_to_write()
                await self._let_others_join()
                if self._line or self._in_doubt or self.trouble is not None:
                    await self._write(self._take(), current)
            if self._forgotten or self._forgotten_beside or self._in_doubt:
                await self._write([], current)

    async def _watch_file(self, watching: trio.CancelScope) -> None:
        """Check for a deleted or replaced file, also while no caller commits."""
        with watching:
            while self._database.is_watched:
                await trio.sleep(WATCH_SECONDS)
                # Not in a thread: looking at three names takes some microseconds, and waking a thread far longer.
                if self.trouble is None and (trouble := self._database.file_trouble()) is not None:
                    self._report(trouble)
                    self._wanted.unpark_all()  # from now on the writer checks whether the file is back

    async def _something_to_write(self) -> None:
        """Wait for a commit, for the end, or for another reason to write."""
        with trio.move_on_after(math.inf if self.trouble is None else PROBE_SECONDS):
            while not (self._line or self._closing or (self._in_doubt and self.trouble is None)):
                await self._wanted.park()

    async def _let_others_join(self) -> None:
        """Give the callers of the last transaction a moment to commit more: one transaction for all is cheaper."""
        if self._last_changes > 1:
            for _ in range(TURNS_TO_JOIN):
                await trio.lowlevel.checkpoint()

    def _take(self) -> list[_Commit]:
        """Take the first commits in line, as many as go into one transaction."""
        taken: list[_Commit] = []
        changes = 0
        while self._line and changes < CHANGES_A_TRANSACTION_MAX:
            taken.append(self._line.popleft())
            changes += len(taken[-1].changes) + sum(map(len, taken[-1].beside))
        self._last_changes = changes
        return taken

    async def _write(self, commits: list[_Commit], current: Current) -> None:
        """Write one transaction: the taken commits, what is in doubt as the store has it, and deletions."""
        doubtful, self._doubtful = self._doubtful, set()
        doubtful_beside, self._doubtful_beside = self._doubtful_beside, set()
        forgotten, self._forgotten = self._forgotten, []
        forgotten_beside, self._forgotten_beside = self._forgotten_beside, set()
        changes = [record for commit in commits for record in commit.changes]
        doubts = {serial: current.record(serial) for serial in doubtful.difference(record.serial for record in changes)}
        changes += [record for record in doubts.values() if record is not None]
        gone = [*forgotten, *(serial for serial, record in doubts.items() if record is None)]
        stale = [(kind, key, current.beside(kind, key)) for kind, key in doubtful_beside | forgotten_beside]
        beside = _by_kind([*stale, *(change for commit in commits for change in commit.beside.changes())])
        written = await self._try_to_write(changes, gone, [commit.acceptances for commit in commits], doubtful, beside)
        if isinstance(written, StoreUnavailableError):
            self._doubtful |= doubtful
            self._doubtful_beside |= doubtful_beside
            self._forgotten += forgotten
            self._forgotten_beside |= forgotten_beside
            for commit in commits:
                commit.settle(written)
                if isinstance(written, LostFileError):
                    self._doubt(commit)  # if the file is put back, it may contain these changes
            return
        for commit in commits:
            is_there = commit.settle(written.reason_against(commit.changes), written.replaced)
            if commit.given_up or not is_there:  # its caller was cancelled, or got an error although a part is written
                self._doubt(commit)

    async def _try_to_write(
        self,
        changes: list[Record],
        gone: list[int],
        acceptances: list[int],
        doubtful: set[int],
        beside: Mapping[BesideKind, Changes],
    ) -> Unwritten | StoreUnavailableError:
        self._acceptances = max([self._acceptances, *acceptances])
        self._writing_since = trio.current_time()
        try:
            unwritten: Unwritten = await self._in_thread(
                self._database.write, changes, gone, self._acceptances, doubtful, beside
            )
        except StoreUnavailableError as error:
            self._report(str(error))
            return error
        finally:
            self._writing_since = None
        self._report(None)
        return unwritten

    def _report(self, trouble: str | None) -> None:
        if (trouble is None) != (self.trouble is None):
            self._on_trouble(trouble)
        self.trouble = trouble


def _by_kind(changes: Iterable[tuple[BesideKind, Hashable, Any]]) -> dict[BesideKind, Changes]:
    """Return the latest value of each key, by kind, in the order in which the values came."""
    by_kind: defaultdict[BesideKind, dict[Hashable, Any]] = defaultdict(dict)
    for kind, key, value in changes:
        by_kind[kind].pop(key, None)
        by_kind[kind][key] = value
    return dict(by_kind)


class _Commit:
    """Changes that wait in line. ``error`` and ``replaced`` are valid once ``settled`` is set."""

    def __init__(self, changes: Sequence[Record], acceptances: int, beside: BesideRecords) -> None:
        self.changes = changes
        self.acceptances = acceptances
        self.beside = beside
        self.settled = trio.Event()
        self.error: StoreUnavailableError | None = None
        self.replaced: Mapping[int, Record] | None = None
        self.given_up = False

    def settle(self, error: StoreUnavailableError | None, replaced: Mapping[int, Record] | None = None) -> bool:
        """Wake the caller with the result; return whether all changes are in the file."""
        self.error = error
        self.replaced = replaced
        self.settled.set()
        return error is None
