"""``FakeDisk``: what a file system promises, and no more, under a real SQLite.

It is a VFS for SQLite that keeps each file twice: as the process sees it, and as it is on the platter. What was written
is seen at once and reaches the platter with a sync; until then it is a list of writes of which, when the machine stops,
none, all or some may have got there, a write also in part. What was synced is there.

Everything that changes something (a write, a truncation, a sync, a removal) is an operation, and has a number. Faults
are planned by that number: a failure of some operations in a row, after which the disk works again, or a crash, from
which on nothing works and nothing is kept. And there may be no descriptor left to open a file with. ``after_crash`` is
the disk that the next process finds; ``after_exit`` the one that it finds when the machine goes on.

What is taken for granted is what SQLite takes for granted of a Unix file system: a write changes no byte next to
it; the first sync of a file also syncs its directory. What is not: after a sync has failed, what it did not write is
not written by the next one either, as Linux does it.

Road not taken: a fake connection in place of SQLite. What tears at a crash is SQLite's file format, and that its
recovery is used as it has to be is a part of what is tried.
"""

from __future__ import annotations

import errno
import math
from itertools import count
from random import Random
from typing import ClassVar, Final, Literal

import apsw

Failure = Literal["full", "failing"]
"""Full: writes fail. Failing: whatever changes something does, with an I/O error."""

Survives = Literal["all", "some", "none"]
"""What of the unsynced writes a crash leaves: all of them when only the process died."""

SURVIVES: Final[tuple[Survives, ...]] = ("all", "some", "none")

_POWERSAFE_OVERWRITE: Final = apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE
_SECTOR_BYTES: Final = 4096
_MESSAGES: Final = {
    apsw.SQLITE_FULL: "database or disk is full",
    apsw.SQLITE_IOERR: "disk I/O error",
    apsw.SQLITE_CANTOPEN: "unable to open database file",
}


class Crash(BaseException):
    """The process is no more. Nothing in it can do anything about that, so it is no ``Exception``."""


class FakeDisk(apsw.VFS):
    """A disk that forgets what was not synced.

    Parameters:
        chance: decides what survives of what is not certain to.
    """

    _names: ClassVar[count[int]] = count()

    def __init__(self, chance: Random) -> None:
        self.name = f"fake-disk-{next(self._names)}"
        super().__init__(self.name, "")
        self.chance = chance
        self.operations = 0
        self.crashed = False
        self.failures = 0
        """How many operations have failed, those included that found no descriptor."""
        self.free_descriptors = math.inf
        """How many more files can be opened."""
        # Filled by connect, let go of by after_crash, as of a dead process's.
        self.connections: list[apsw.Connection] = []
        # Owned by xOpen and xDelete: the files that can be seen. Removed ones stay until that is durable.
        self._files: dict[str, _File] = {}
        self._removed: dict[str, _File] = {}
        # Owned by fail, mend and crash_at; _next is the operation from which on one of them has to be looked at.
        self._fails_from = self._fails_until = self._crashes_at = math.inf
        self._failure: Failure = "failing"
        self._next = math.inf

    # Faults

    def fail(self, failure: Failure, *, after: int = 0, operations: float = math.inf) -> None:
        """Fail, after so many operations that work, for so many, or until ``mend``."""
        self._failure = failure
        self._fails_from = self.operations + after + 1
        self._fails_until = self._fails_from + operations
        self._next = min(self._fails_from, self._crashes_at)

    def mend(self) -> None:
        """Work again."""
        self._fails_from = self._fails_until = math.inf
        self._next = self._crashes_at

    def crash_at(self, operation: float) -> None:
        """Crash in the middle of this operation, counted from the disk's first."""
        self._crashes_at = operation
        self._next = min(self._fails_from, operation)

    def crash(self) -> None:
        """From now on nothing works, and nothing more is kept."""
        self.crashed = True
        self._next = -math.inf

    def raise_if_crashed(self) -> None:
        """Raises ``Crash`` when nothing works any more."""
        if self.crashed:
            raise Crash

    def after_crash(self, survives: Survives | None = None) -> FakeDisk:
        """The disk as the next process finds it, without faults."""
        self.crash()
        what: Survives = self.chance.choice(SURVIVES) if survives is None else survives
        disk = FakeDisk(self.chance)
        for path, file in (self._removed | self._files).items():
            removed = path not in self._files
            if removed and (what == "all" or self.chance.random() < 0.5):
                continue
            if (content := file.after_crash(self.chance, what)) is not None:
                disk._files[path] = _File(content)
        self._let_go()
        return disk

    def after_exit(self) -> FakeDisk:
        """The disk as the next process finds it when only this one has ended, without faults: that syncs nothing."""
        disk = self.copy()
        self._let_go()
        return disk

    def copy(self) -> FakeDisk:
        """A disk in the same state."""
        disk = FakeDisk(self.chance)
        disk._files = {path: file.copy() for path, file in self._files.items()}
        disk._removed = {path: file.copy() for path, file in self._removed.items()}
        return disk

    def write_again(self, path: str) -> None:
        """Put the bytes of a file, if there is one, where they are, and sync. Raises ``OSError``."""
        if (file := self._files.get(path)) is not None:
            if self.free_descriptors < 1:
                raise OSError(errno.EMFILE, "Too many open files")
            opened = _OpenFile(self, file, is_log=False)
            try:
                opened.xWrite(bytes(file.data), 0)
                opened.xSync(0)
            except apsw.Error as error:
                self.raise_if_crashed()
                raise OSError(errno.EIO, "Input/output error") from error

    def _let_go(self) -> None:
        """Close what the process has left open; it is of no effect any more, so let it succeed."""
        self.crashed, self._next = False, math.inf
        for connection in self.connections:
            connection.close()
        self.unregister()

    def content(self, path: str) -> bytes:
        """What the process sees in a file."""
        return bytes(self._files[path].data)

    def overwrite(self, path: str, content: bytes) -> None:
        """Put something into a file behind everybody's back."""
        self._files[path] = _File(content)

    def operation(self, *, write: bool) -> bool:
        """Count an operation; whether it fails."""
        self.operations += 1
        fails = self.operations >= self._next and self._goes_wrong(write)
        self.failures += fails
        return fails

    def _goes_wrong(self, write: bool) -> bool:
        if self.operations >= self._crashes_at:
            self.crash()
        if self.crashed:
            return True
        if self.operations >= self._fails_until:
            self.mend()
        return self._fails_from <= self.operations and (write or self._failure == "failing")

    def sync_names(self) -> None:
        """What was removed stays removed."""
        self._removed.clear()

    def error(self, detail: int) -> Exception:
        """What SQLite is told when an operation fails."""
        return _error(apsw.SQLITE_FULL if self._failure == "full" and not self.crashed else detail)

    # What SQLite calls

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _OpenFile:  # type: ignore[override]
        path = "" if name is None else name if isinstance(name, str) else name.filename()
        flags[1] = flags[0]
        if self.free_descriptors < 1:
            self.failures += 1
            raise _error(apsw.SQLITE_CANTOPEN)
        file = self._files.get(path)
        if file is None:
            if self.crashed or not flags[0] & apsw.SQLITE_OPEN_CREATE:
                raise _error(apsw.SQLITE_CANTOPEN)
            file = _File()
            if path:
                self._files[path] = file
        self.free_descriptors -= 1
        return _OpenFile(self, file, is_log=path.endswith("-wal"))

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if self.operation(write=False):
            raise self.error(apsw.SQLITE_IOERR_DELETE)
        if filename not in self._files:
            raise _error(apsw.SQLITE_IOERR_DELETE_NOENT)
        self._removed[filename] = self._files.pop(filename)
        if syncdir:
            self.sync_names()

    def xAccess(self, pathname: str, flags: int) -> bool:
        return pathname in self._files

    def xFullPathname(self, name: str) -> str:
        return name

    def xSleep(self, microseconds: int) -> int:
        return microseconds


def _error(code: int) -> Exception:
    error = apsw.exception_for(code)
    error.args = (_MESSAGES[code & 0xFF],)
    return error


class _File:
    """A file, twice. ``durable`` is ``None`` as long as not even the name is on the platter."""

    __slots__ = ("data", "durable", "unsynced")

    def __init__(self, content: bytes | None = None) -> None:
        self.data = bytearray(content or b"")
        self.durable = None if content is None else bytearray(content)
        self.unsynced: list[tuple[int, bytes | None]] = []  # None: cut off there

    def copy(self) -> _File:
        copy = _File()
        copy.data = self.data.copy()
        copy.durable = None if self.durable is None else self.durable.copy()
        copy.unsynced = self.unsynced.copy()
        return copy

    def sync(self) -> None:
        if self.durable is None:
            self.durable = bytearray()
        for change in self.unsynced:
            _apply(self.durable, *change)
        self.unsynced.clear()

    def sync_in_part(self, chance: Random) -> None:
        """What a sync that failed leaves; the rest is never written."""
        if self.durable is not None:
            self._apply_some(self.durable, chance)
        self.unsynced.clear()

    def after_crash(self, chance: Random, survives: Survives) -> bytes | None:
        """What the next process finds in it, or ``None`` when it finds no such file."""
        if survives == "all":
            return bytes(self.data)
        if survives == "none":
            return None if self.durable is None else bytes(self.durable)
        if self.durable is None and chance.random() < 0.5:
            return None
        found = bytearray(self.durable or b"")
        self._apply_some(found, chance)
        return bytes(found)

    def _apply_some(self, content: bytearray, chance: Random) -> None:
        for offset, written in self.unsynced:
            fate = chance.randrange(3)
            if fate == 0:
                _apply(content, offset, written)
            elif fate == 1 and written:
                _apply(content, offset, written[: chance.randrange(len(written))])


def _apply(content: bytearray, offset: int, written: bytes | None) -> None:
    gap = offset - len(content)
    if gap > 0:
        content.extend(bytes(gap))
    if written is None:
        del content[offset:]
    else:
        content[offset : offset + len(written)] = written


class _OpenFile:
    """What SQLite holds of a file. One process has it, so locks are always there to be had."""

    __slots__ = ("_disk", "_file", "_is_log")

    def __init__(self, disk: FakeDisk, file: _File, *, is_log: bool) -> None:
        self._disk = disk
        self._file = file
        self._is_log = is_log

    def xRead(self, amount: int, offset: int) -> bytes:
        if self._disk.crashed:
            raise _error(apsw.SQLITE_IOERR_READ)
        return bytes(self._file.data[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._disk.crashed:
            raise _error(apsw.SQLITE_IOERR_WRITE)
        fails = self._disk.operation(write=True)
        if fails:
            data = data[: self._disk.chance.randrange(len(data) + 1)]
        file = self._file
        file.unsynced.append((offset, data))
        _apply(file.data, offset, data)
        if fails:
            raise self._disk.error(apsw.SQLITE_IOERR_WRITE)

    def xTruncate(self, newsize: int) -> None:
        if self._disk.operation(write=False):
            if self._is_log and not self._disk.crashed:
                return  # SQLite takes no notice, but apsw would raise what is raised here
            raise self._disk.error(apsw.SQLITE_IOERR_TRUNCATE)
        self._file.unsynced.append((newsize, None))
        _apply(self._file.data, newsize, None)

    def xSync(self, flags: int) -> None:
        if self._disk.operation(write=False):
            if not self._disk.crashed:
                self._file.sync_in_part(self._disk.chance)
            raise self._disk.error(apsw.SQLITE_IOERR_FSYNC)
        if self._file.durable is None:
            self._disk.sync_names()
        self._file.sync()

    def xFileSize(self) -> int:
        return len(self._file.data)

    def xClose(self) -> None:
        self._disk.free_descriptors += 1

    def xLock(self, level: int) -> None: ...

    def xUnlock(self, level: int) -> None: ...

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return _SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:
        return _POWERSAFE_OVERWRITE
