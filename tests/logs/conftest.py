"""Log files in a directory of the test, and what was printed into them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pexecutor import Task
from pexecutor.errors import UnknownTaskError
from pexecutor.logs.attempt_log import AttemptLog
from pexecutor.logs.bounds import LogBounds
from pexecutor.logs.directory import KeptDirectory
from pexecutor.logs.files import LogFiles
from pexecutor.logs.reading import FileLog, Missing, end_of
from pexecutor.task import Attempt, Ending, Finished, Outcome, Record, Running, format_task_id, make_serial

SUBMITTED_AT = 1_800_000_000.25

ATTEMPT = Attempt(SUBMITTED_AT, SUBMITTED_AT + 1, Outcome.SUCCEEDED, None)


def running(number: int, *, attempts: int = 0, token: int = 0) -> Running:
    """A running task, and how many attempts it has had before."""
    failed = Attempt(SUBMITTED_AT, SUBMITTED_AT + 1, Outcome.FAILED, "because")
    serial = make_serial(0xA3F09C, number)
    return Running(serial, Task(f"task-{number}"), SUBMITTED_AT, (failed,) * attempts, SUBMITTED_AT, token)


def finished(task: Running) -> Finished:
    """The record of a task that has ended."""
    ended = (*task.attempts, ATTEMPT)
    return Finished(task.serial, task.task, task.submitted_at, ended, SUBMITTED_AT + 1, Ending(Outcome.SUCCEEDED))


class Records:
    """The records that a sweep finds. A task whose record was not put is running, unless ``only_known`` is set."""

    def __init__(self) -> None:
        self.known: dict[str, Record] = {}
        self.only_known = False

    def put(self, *records: Record) -> None:
        self.known.update({format_task_id(record.serial): record for record in records})

    async def get(self, task_id: str) -> Record:
        if task_id not in self.known and self.only_known:
            raise UnknownTaskError(task_id)
        return self.known.get(task_id) or running(int(task_id.partition("-")[2]))


@pytest.fixture
def records() -> Records:
    return Records()


OpenLogs = Callable[..., AbstractAsyncContextManager[LogFiles]]


@pytest.fixture
def open_logs(tmp_path: Path, records: Records) -> OpenLogs:
    """Open logs with bounds; each time, those of the time before are taken over."""

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[LogFiles]:
        bounds = {name: settings.pop(name) for name in ("log_bytes_max", "logs_bytes_max") if name in settings}
        logs = LogFiles(KeptDirectory(tmp_path / "logs"), LogBounds(**bounds), **settings)
        async with logs.opened(records):
            yield logs

    return opened


def files(logs: LogFiles) -> dict[str, int]:
    """Return the sizes of the files by name."""
    return {path.name: path.stat().st_size for path in sorted(logs.directory.glob("*"))}


async def kept(log: AttemptLog, begin: int = 0, end: int | None = None) -> tuple[bytes, list[Missing]]:
    """Return the output that is kept, and the gaps in it."""
    readable, data, gaps = FileLog(log), b"", []
    await readable.gap()
    at, end = begin, readable.total if end is None else end
    while (part := await readable.read(at, end)) is not None:
        at = end_of(part)
        if isinstance(part, Missing):
            gaps.append(part)
        else:
            data += b"".join(chunk.data for chunk in part)
    return data, gaps
