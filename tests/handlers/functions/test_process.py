"""Tests of the data between a function's process and the server, and of the end of the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio

from pexecutor import Catalogue, Context, HandlerFailedError, Task, load_catalogue
from pexecutor.core.attempt import LiveAttempt
from pexecutor.task import Ending, Running, make_serial

MODULE = """
import os, signal, sys, time
from pathlib import Path
from pexecutor import HandlerFailedError, handler

@handler(process=True)
def busy(context) -> int:
    for done in range(20_000):
        context.progress(done + 1, 20_000)
    return 0

@handler(process=True)
def later(context) -> None:
    raise HandlerFailedError("not now", retryable=False, retry_after_seconds=2.5)

@handler(process=True)
def broken(context) -> None:
    raise LookupError("nothing there")

@handler(process=True)
def tidy(context, *, file: str) -> None:
    try:
        print("ready", flush=True)
        time.sleep(600)
    finally:
        Path(file).write_text("tidied up")

@handler(process=True)
def nothing(context) -> None:
    pass

@handler(process=True)
def wordy(context) -> str:
    context.log("\\ud800" + "x" * 2_000_000)
    return "said"

@handler(process=True)
def killed(context) -> None:
    os.kill(os.getpid(), signal.SIGKILL)

@handler(process=True)
def meddling(context) -> str:
    os.write(int(sys.argv[3]), b"no report\\n" + b"[" * 3_000_000 + b"\\n")
    return "all the same"
"""


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    file = tmp_path_factory.mktemp("modules") / "signal.py"  # deliberately named like a module of the standard library
    file.write_text(MODULE)
    return load_catalogue(declared={}, modules=[str(file)], environment={})


async def run(catalogue: Catalogue, name: str, context: Context, **params: object) -> object:
    with trio.fail_after(10):
        return await catalogue[name].run(context, Task("a", handler=name, params=params))


async def test_progress_of_a_tight_loop_arrives_thinned_out(
    catalogue: Catalogue, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(Context, "progress", lambda _self, *numbers: told.append(numbers))
    assert await run(catalogue, "busy", context) == 0
    assert told[0] == (1, 20_000)
    assert told[-1] == (20_000, 20_000)
    assert len(told) < 200


async def test_a_failure_keeps_what_it_says_of_a_retry(catalogue: Catalogue, context: Context) -> None:
    with pytest.raises(HandlerFailedError, match=r"^not now$") as failed:
        await run(catalogue, "later", context)
    assert (failed.value.retryable, failed.value.retry_after_seconds) == (False, 2.5)


async def test_the_traceback_of_an_error_is_kept_and_its_text_is_the_reason(
    catalogue: Catalogue, context: Context
) -> None:
    with pytest.raises(HandlerFailedError, match=r"^nothing there$") as failed:
        await run(catalogue, "broken", context)
    assert failed.value.retryable
    snapshot = context.output.snapshot()
    assert snapshot.stderr.endswith("LookupError: nothing there\n")
    assert snapshot.exit_code == 1


async def test_a_cancel_lets_the_function_tidy_up(catalogue: Catalogue, context: Context, tmp_path: Path) -> None:
    file = tmp_path / "note"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run(catalogue, "tidy", context, file=str(file)))
        with trio.fail_after(10):
            while not context.output.stdout.seen:  # noqa: ASYNC110
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert file.read_text() == "tidied up"


async def test_nothing_is_a_result(catalogue: Catalogue, context: Context) -> None:
    assert await run(catalogue, "nothing", context) is None


async def test_a_very_long_line_of_the_log_arrives_as_its_end(catalogue: Catalogue, context: Context) -> None:
    assert await run(catalogue, "wordy", context) == "said"
    assert context.output.snapshot().log == "x" * 65_535 + "\n"


async def test_a_process_that_is_killed_failed_by_that(catalogue: Catalogue, context: Context) -> None:
    with pytest.raises(HandlerFailedError, match=r"^the handler's process ended without a result: ended by SIGKILL$"):
        await run(catalogue, "killed", context)


async def test_what_is_no_report_is_passed_over(catalogue: Catalogue, context: Context) -> None:
    assert await run(catalogue, "meddling", context) == "all the same"


BAD = """
import atexit, os, signal, subprocess, sys, threading
from pathlib import Path
from pexecutor import HandlerFailedError, handler
import token, tokenize
import beside

class OwnError(BaseException):
    pass

class Unreadable(Exception):
    def __str__(self):
        raise SystemExit(9)

def works(do, context):
    match do:
        case "large result": return "x" * 65_000
        case "too large": return "x" * 5_000_000
        case "nan": return [float("nan"), 2**70, "\\n"]
        case "surrogate": return "\\udce9"
        case "set": return {object()}
        case "deep":
            it = []
            for _ in range(100_000): it = [it]
            return it
        case "path": return [token.__file__.endswith("lib/python3.%d/token.py" % sys.version_info[1]), beside.VALUE]
        case "large error": raise ValueError("<" + "ä" * 20_000_000 + ">")
        case "surrogates": raise ValueError("caf\\udce9.txt \\x1b[31m \\0")
        case "exit": sys.exit(3)
        case "exit with a text": sys.exit("no such image")
        case "interrupt": raise KeyboardInterrupt
        case "own": raise OwnError("own")
        case "group": raise BaseExceptionGroup("g", [ValueError("v"), SystemExit(1)])
        case "group of one": raise ExceptionGroup("g", [HandlerFailedError("one", retryable=False)])
        case "unreadable": raise Unreadable
        case "no text": raise ValueError
        case "final": raise HandlerFailedError("never", retryable=False)
        case "later": raise HandlerFailedError("later", retry_after_seconds=float("nan"))
        case "much later": raise HandlerFailedError("later", retry_after_seconds=1e12)
        case "progress": context.progress(float("nan"))
        case "logs": context.log(Unreadable()); context.log(3)
        case "stop iteration": raise StopIteration("it")

@handler
def here(context, *, do: str):
    return works(do, context)

@handler(process=True)
def there(context, *, do: str):
    return works(do, context)

@handler(process=True)
def forks(context) -> str:
    if os.fork():
        return "parent"
    return "child"

@handler(process=True)
def writes_half_a_line(context) -> str:
    os.write(int(sys.argv[3]), b"half a line")
    return "all the same"

@handler(process=True)
def closes(context) -> str:
    os.closerange(3, 1000)
    return "nobody hears this"

@handler(process=True)
def terminates(context) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    import time; time.sleep(60)
"""

EVERYTHING = [line.split('"')[1] for line in BAD.splitlines() if line.lstrip().startswith("case ")]


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """Handlers of a module in the working directory, next to modules named like those of the standard library."""
    directory = tmp_path_factory.mktemp("operator")
    (directory / "bad_handlers.py").write_text(BAD)
    (directory / "beside.py").write_text("VALUE = 'beside'")
    for name in ("token", "signal", "msgspec_", "traceback"):
        (directory / f"{name}.py").write_text("raise SystemExit('a file of the working directory was imported')")
    before, path = Path.cwd(), list(sys.path)
    os.chdir(directory)
    yield load_catalogue(declared={}, modules=["bad_handlers"], environment={})
    os.chdir(before)
    sys.path[:] = path


async def ending(catalogue: Catalogue, name: str, do: str) -> Ending:
    running = Running(make_serial(1, 1), Task("a", handler=name, params={"do": do}), 0.0, (), 0.0)
    with trio.fail_after(60), trio.CancelScope() as scope:
        attempt = LiveAttempt.of(running, catalogue, trio.CancelScope())
        found = await attempt.run(scope)
    assert found is not None
    return msgspec.structs.replace(found, output=None)


@pytest.mark.parametrize("do", EVERYTHING)
async def test_a_process_makes_the_same_record_as_a_thread(bad: Catalogue, do: str) -> None:
    in_a_thread, in_a_process = await ending(bad, "here", do), await ending(bad, "there", do)
    assert in_a_process == in_a_thread
    assert len((in_a_thread.error or "").encode()) <= 8192


async def test_the_working_directory_does_not_shadow_the_standard_library(bad: Catalogue) -> None:
    assert (await ending(bad, "there", "path")).result == b'[true,"beside"]'


async def test_a_fork_of_the_process_reports_nothing(bad: Catalogue, context: Context) -> None:
    assert await run(bad, "forks", context) == "parent"


async def test_half_a_line_of_the_functions_own_spoils_no_report(bad: Catalogue, context: Context) -> None:
    assert await run(bad, "writes_half_a_line", context) == "all the same"


@pytest.mark.parametrize(("name", "how"), [("closes", "exit code 1"), ("terminates", "exit code 143")])
async def test_a_process_that_cannot_report_failed_by_that(
    bad: Catalogue, context: Context, name: str, how: str
) -> None:
    with pytest.raises(HandlerFailedError, match=rf"^the handler's process ended without a result: {how}$"):
        await run(bad, name, context)
