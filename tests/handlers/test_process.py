"""What passes between a function's process and the server, and how the process ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from pexecutor import Catalogue, Context, HandlerFailedError, Task, load_catalogue

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
    file = tmp_path_factory.mktemp("modules") / "signal.py"  # called like one of the standard library, on purpose
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
    with pytest.raises(HandlerFailedError, match=r"^its process ended without a result: ended by SIGKILL$"):
        await run(catalogue, "killed", context)


async def test_what_is_no_report_is_passed_over(catalogue: Catalogue, context: Context) -> None:
    assert await run(catalogue, "meddling", context) == "all the same"
