"""Whatever a handler raises, returns, reports or logs, its ending can be stored and shown.

``HYPOTHESIS_EXAMPLES=10000`` tries more examples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import Accepted, Context, HandlerFailedError, Outcome, State, Task
from pexecutor.core.attempt import LiveAttempt
from pexecutor.handlers import Catalogue
from pexecutor.handlers.functions.function import FunctionHandler
from pexecutor.stores.sqlite.rows import from_row, to_row
from pexecutor.task import Ending, Finished, Running, make_serial
from pexecutor.values import ERROR_BYTES_MAX, RESULT_BYTES_MAX, RETRY_AFTER_SECONDS_MAX, exception_text

from ..conftest import RunHere
from ..fakes import Doing
from ..hostile import (
    EXAMPLES,
    Endless,
    FalseGroup,
    NamelessClass,
    NoText,
    RaisesAtEverything,
    Unreadable,
    any_number,
    any_object,
    any_text,
)
from ..misbehaving import OwnError, UnfinishedError

_classes: Final = [
    ValueError,
    OSError,
    KeyError,
    StopIteration,
    StopAsyncIteration,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    OwnError,
    RaisesAtEverything,
    NoText,
    Endless,
    Unreadable,
    NamelessClass("Nameless", (BaseException,), {}),
]


def _made(kind: int, arguments: list[Any]) -> BaseException:
    """Make an exception by number, because not every exception class has a readable repr."""
    error: BaseException = _classes[kind](*arguments)
    return error


_failed = st.builds(HandlerFailedError, any_text, retryable=any_object, retry_after_seconds=any_object)
_single = (
    st.builds(_made, st.integers(0, len(_classes) - 1), st.lists(any_object, max_size=2))
    | _failed
    | st.builds(UnfinishedError)
    | st.builds(lambda text: trio.Cancelled._create(source="unknown", reason=text), any_text)
    | st.just(FalseGroup("false", [ValueError("true")]))
)
any_exception: Final = st.recursive(
    _single,
    lambda inner: st.builds(BaseExceptionGroup, any_text, st.lists(inner, min_size=1, max_size=3)),
    max_leaves=6,
)
_keys = any_text | st.integers() | st.none() | st.tuples(st.integers())
any_result: Final = st.recursive(
    any_object | st.datetimes() | st.uuids() | any_text.map(lambda text: msgspec.Raw(text.encode(errors="replace"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=20,
)

Deed = Callable[[Context], Any]


def _raise(error: BaseException) -> Deed:
    def do(_: Context) -> Any:
        raise error

    return do


any_deed: Final[st.SearchStrategy[Deed]] = st.one_of(
    any_exception.map(_raise),
    any_result.map(lambda result: lambda _: result),
    any_object.map(lambda message: lambda context: context.log(message)),
    st.lists(any_number | any_object, min_size=1, max_size=2).map(
        lambda numbers: lambda context: context.progress(*numbers)
    ),
)


async def _ending(deed: Deed) -> Ending:
    async def work(context: Context, _task: Task) -> Any:
        return deed(context)

    running = Running(make_serial(1, 1), Task("a"), 0.0, (), 0.0)
    attempt = LiveAttempt.of(running, Catalogue({"sleep": Doing(work)}), trio.CancelScope())
    with trio.CancelScope() as scope:
        ending = await attempt.run(scope)
    assert ending is not None
    if attempt.context.done is not None:
        assert msgspec.json.decode(msgspec.json.encode([attempt.context.done, attempt.context.total]))[0] >= 0
    return ending


@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(any_deed)
def test_whatever_a_handler_does_its_attempt_has_an_ending(deed: Deed) -> None:
    ending = trio.run(_ending, deed)

    record = Finished(make_serial(1, 1), Task("a"), 0.0, (), 1.0, ending)
    assert from_row(to_row(record)) == record
    assert ending.outcome in (Outcome.SUCCEEDED, Outcome.FAILED)
    assert (ending.error is None) == (ending.outcome is Outcome.SUCCEEDED)
    assert len((ending.error or "").encode()) <= ERROR_BYTES_MAX
    assert type(ending.retryable) is bool
    assert 0 <= ending.retry_after_seconds <= RETRY_AFTER_SECONDS_MAX
    if ending.result is not None:
        msgspec.json.decode(ending.result)
        assert len(ending.result) <= RESULT_BYTES_MAX
        assert b"\n" not in ending.result


@pytest.mark.parametrize(
    "change",
    [
        lambda output: delattr(output, "stdout"),
        lambda output: setattr(output, "log", None),
        lambda output: setattr(output.body, "seen", "many"),
        lambda output: setattr(output.stderr, "_held", 5),
    ],
)
async def test_a_function_may_change_its_output_to_anything(change: Callable[[Any], None]) -> None:
    def spoil(context: Context) -> int:
        context.log("a line")
        change(context.output)
        assert context.snapshot() is None or msgspec.json.encode(context.snapshot())
        return 1

    assert (await _ending(spoil)).outcome is Outcome.SUCCEEDED


async def test_an_error_that_cannot_be_read_ends_the_attempt_of_a_thread() -> None:
    def fail(_context: Context) -> None:
        raise Unreadable("unreadable")

    handler = FunctionHandler(fail, "here", "fail", process=False)
    with trio.fail_after(5), pytest.raises(Unreadable):
        await handler.run(Context("a", "a"), Task("a"))


@pytest.mark.parametrize("depth", [1000, 15_000])
def test_an_exception_is_named_however_deep_its_groups_are(depth: int) -> None:
    error: BaseException = SystemExit(3)
    for _ in range(depth):
        error = BaseExceptionGroup("group", [error])

    assert exception_text(error) == "SystemExit: 3"


class Unsplittable(BaseExceptionGroup[BaseException]):
    """An exception group that cannot be split."""

    def derive(self, _exceptions: object) -> NoReturn:
        raise SystemExit("derive")

    def split(self, _condition: object) -> NoReturn:
        raise SystemExit("split")


def _deep(cancelled: trio.Cancelled) -> BaseException:
    error: BaseException = cancelled
    for _ in range(1000):
        error = BaseExceptionGroup("deeper", [error])
    return error


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (_deep, None),
        (lambda cancelled: Unsplittable("group", [cancelled]), None),
        (lambda cancelled: BaseExceptionGroup("group", [cancelled] * 30_000), None),
        (
            lambda _: BaseExceptionGroup(
                "group", [*(trio.Cancelled._create(source="unknown") for _ in range(30_000)), ValueError("real")]
            ),
            "cancelled; then the handler failed: real",
        ),
        (
            lambda cancelled: Unsplittable("group", [cancelled, ValueError("real")]),
            "cancelled; then the handler failed: real",
        ),
    ],
    ids=["deep", "unsplittable", "large", "large with an error", "unsplittable with an error"],
)
async def test_a_handler_may_answer_a_cancel_with_any_group(
    autojump_clock: MockClock,
    run_here: RunHere,
    raised: Callable[[trio.Cancelled], BaseException],
    error: str | None,
) -> None:
    async def work(_context: Context, task: Task) -> None:
        if task.name == "next":
            return
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            raise raised(cancelled) from None

    executor = await run_here(handler=Doing(work), pool_size=1)
    cut_off, follower = await executor.submit([Task("cut off"), Task("next")])
    assert isinstance(cut_off, Accepted)
    assert isinstance(follower, Accepted)
    await wait_all_tasks_blocked()
    await executor.cancel(cut_off.record.id)
    ended = await executor.wait(cut_off.record.id)
    assert isinstance(ended, Finished)
    assert (ended.outcome, ended.ending.error) == (Outcome.CANCELLED, error)
    assert (await executor.wait(follower.record.id)).state is State.FINISHED
