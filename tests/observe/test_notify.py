"""If a callback or the log raises, the change stays in effect and the server continues."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pexecutor import Accepted, Executor, Finished, LocalStore, Outcome, Task
from pexecutor.observe.notify import notifier, safe_logger
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.stores.valkey.damage import Damage

from ..conftest import RunHere

ERRORS = [
    OSError(errno.ENOSPC, "No space left on device"),
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
    ValueError("I/O operation on closed file"),
    UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range"),
    ExceptionGroup("several", [OSError(errno.EMFILE, "Too many open files")]),
    SystemExit(3),
    trio.Cancelled._create(source="unknown", reason="made up"),
    GeneratorExit(),
]


def raising(error: BaseException) -> Callable[..., None]:
    def callback(*_: object) -> None:
        raise error

    return callback


class RaisingHandler(logging.Handler):
    """A log handler that raises its errors."""

    def emit(self, record: logging.LogRecord) -> None:
        raise SystemExit("Input/output error")


@pytest.fixture(params=[False, True], ids=["log", "failing log"])
def perhaps_failing_log(request: pytest.FixtureRequest) -> Iterator[None]:
    handler = RaisingHandler()
    log = logging.getLogger("pexecutor")
    if request.param:
        log.addHandler(handler)
    yield
    log.removeHandler(handler)


@pytest.mark.usefixtures("perhaps_failing_log")
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_change_that_cannot_be_told_of_has_happened(
    autojump_clock: MockClock, run_here: RunHere, error: BaseException
) -> None:
    executor = await run_here(on_change=raising(error))
    [verdict] = await executor.submit([Task("a", duration=10)])
    assert isinstance(verdict, Accepted)
    finished = await executor.wait(verdict.record.id)
    assert isinstance(finished, Finished)
    assert finished.outcome is Outcome.SUCCEEDED
    executor.drain()
    await executor.stopped.wait()


@pytest.mark.usefixtures("perhaps_failing_log")
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_trouble_and_recovery_that_cannot_be_told_of_change_nothing(
    nursery: trio.Nursery, tmp_path: Path, error: BaseException
) -> None:
    journal = SqliteJournal(Database(tmp_path / "tasks.db"), on_trouble=raising(error))
    executor = Executor(LocalStore(journal=journal, on_recovered=raising(error)))
    await nursery.start(executor.run)
    journal._report("the disk is full")
    [verdict] = await executor.submit([Task("a")])  # its transaction ends the trouble of the store
    assert isinstance(verdict, Accepted)
    assert journal.trouble is None
    executor.drain()
    await executor.stopped.wait()


@pytest.mark.usefixtures("perhaps_failing_log")
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_damage_that_cannot_be_told_of_is_repaired_all_the_same(error: BaseException) -> None:
    damage = Damage(raising(error))
    damage.notice(["an entry was set aside"], mending=True)
    damage.report("another one")
    assert damage._something_to_do.is_set()


def test_the_first_error_of_a_callback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    notify = notifier(raising(LookupError("no such channel")))
    notify(1)
    notify(2)
    assert [record.getMessage() for record in caplog.records] == [
        "a callback failed; its further errors are not logged: no such channel"
    ]


def test_what_ends_the_process_is_not_kept_from_it() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        notifier(interrupted)()


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_a_log_that_fails_does_not_fail_its_caller(level: str) -> None:
    log = logging.getLogger("pexecutor.a_log_that_fails")
    log.setLevel(logging.DEBUG)
    handler = RaisingHandler()
    log.addHandler(handler)
    try:
        getattr(safe_logger(log.name), level)("a line with %s", "an argument")
    finally:
        log.removeHandler(handler)
