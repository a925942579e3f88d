"""A function's misuse of Trio affects only its attempt: the attempt fails with a reason, and the next task runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pexecutor import Executor, Finished, LocalStore, Outcome, Task
from pexecutor.handlers import Catalogue, Context
from pexecutor.handlers.functions.containment import call_contained
from pexecutor.handlers.sleep import Sleep

from ...fakes import Doing

Work = Callable[[Context], Awaitable[Any]]


async def leave_a_scope(_: Context) -> None:
    trio.CancelScope().__enter__()


async def leave_two_scopes_of_which_one_is_cancelled(_: Context) -> None:
    trio.CancelScope().__enter__()
    trio.CancelScope().__enter__().cancel()


async def leave_a_scope_and_raise(_: Context) -> None:
    trio.CancelScope().__enter__()
    raise LookupError("no such image")


async def leave_a_nursery(_: Context) -> None:
    nursery = await trio.open_nursery().__aenter__()
    nursery.start_soon(trio.sleep_forever)


async def leave_a_nursery_without_tasks(_: Context) -> None:
    await trio.open_nursery().__aenter__()


async def leave_a_nursery_within_a_scope(_: Context) -> None:
    trio.CancelScope().__enter__()
    nursery = await trio.open_nursery().__aenter__()
    trio.CancelScope().__enter__()
    nursery.start_soon(trio.sleep_forever)


async def leave_out_of_order(_: Context) -> None:
    outer, inner = trio.CancelScope(), trio.CancelScope()
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)


async def fail() -> None:
    raise LookupError("it failed")


async def fail_later() -> None:
    await trio.sleep(0.2)
    raise SystemExit(4)


async def start_in_the_nursery_around(_: Context) -> None:
    around = trio.lowlevel.current_task().parent_nursery
    assert around is not None
    around.start_soon(fail)


async def cancel_the_nursery_around(_: Context) -> None:
    around = trio.lowlevel.current_task().parent_nursery
    assert around is not None
    around.cancel_scope.cancel()
    await trio.sleep(1)


async def leave_the_scope_around(_: Context) -> None:
    around = trio.lowlevel.current_task().parent_nursery
    assert around is not None
    around.cancel_scope.__exit__(None, None, None)


async def start_a_system_task(_: Context) -> None:
    trio.lowlevel.spawn_system_task(fail)


async def start_a_system_task_that_fails_later(_: Context) -> None:
    trio.lowlevel.spawn_system_task(fail_later)
    await trio.sleep_forever()


async def start_a_system_task_from_a_thread(_: Context) -> None:
    await trio.to_thread.run_sync(lambda: trio.from_thread.run_sync(trio.lowlevel.spawn_system_task, fail_later))


async def leave_a_scope_from_a_thread(_: Context) -> None:
    await trio.to_thread.run_sync(lambda: trio.from_thread.run_sync(trio.CancelScope().__enter__))


CASES: list[tuple[Work, str]] = [
    (leave_a_scope, "the handler left a cancel scope open"),
    (
        leave_two_scopes_of_which_one_is_cancelled,
        "the handler left a cancel scope open; the handler left a cancel scope open",
    ),
    (leave_a_scope_and_raise, "no such image; and the handler left a cancel scope open"),
    (leave_a_nursery, "the handler left a nursery open, with the Trio tasks trio.sleep_forever"),
    (leave_a_nursery_without_tasks, "the handler left a nursery open"),
    (leave_a_nursery_within_a_scope, "the handler left a nursery open, with the Trio tasks trio.sleep_forever"),
    (leave_out_of_order, "Cancel scope stack corrupted"),
    (start_in_the_nursery_around, "the handler started a Trio task, which failed: it failed"),
    (cancel_the_nursery_around, "Cancelled"),
    (leave_the_scope_around, "the handler left a cancel scope that it had not entered"),
    (
        start_a_system_task,
        "the handler started the Trio system task tests.handlers.functions.test_containment.fail, which failed",
    ),
    (start_a_system_task_that_fails_later, "which failed: SystemExit: 4"),
    (start_a_system_task_from_a_thread, "which failed: SystemExit: 4"),
    (leave_a_scope_from_a_thread, "the handler left a cancel scope open"),
]


@pytest.fixture
async def run(nursery: trio.Nursery) -> AsyncIterator[Callable[..., Awaitable[Finished]]]:
    """Run a function as a handler and then a task that sleeps, on an executor with one worker."""
    work: list[Work] = []
    executor = Executor(
        LocalStore(queue_size=10),
        pool_size=1,
        handlers=Catalogue({"sleep": Sleep(), "work": Doing(lambda context, _task: work[-1](context))}),
    )
    await nursery.start(executor.run)

    async def start(function: Work, **settings: Any) -> Finished:
        work.append(function)
        records = await ended(Task("a", handler="work", **settings), Task("b", duration=1))
        assert records[1].outcome is Outcome.SUCCEEDED
        return records[0]

    async def ended(*tasks: Task) -> list[Finished]:
        verdicts = await executor.submit(tasks)
        with trio.fail_after(20):
            records = [await executor.wait(verdict.record.id, seconds_max=15) for verdict in verdicts]  # type: ignore[union-attr]
        assert all(isinstance(record, Finished) for record in records), records
        return records  # type: ignore[return-value]

    yield start
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("function", "error"), CASES, ids=lambda case: getattr(case, "__name__", ""))
async def test_what_is_left_open_fails_the_attempt_and_is_named(
    run: Callable[..., Awaitable[Finished]], function: Work, error: str
) -> None:
    record = await run(function)
    assert record.outcome is Outcome.FAILED
    assert error in (record.ending.error or "")


async def test_a_timeout_is_one_also_for_a_function_that_leaves_a_scope_open(
    run: Callable[..., Awaitable[Finished]],
) -> None:
    async def work(_: Context) -> None:
        trio.CancelScope().__enter__()
        await trio.sleep_forever()

    record = await run(work, timeout=50)
    assert record.outcome is Outcome.TIMED_OUT
    assert record.ending.error == "timed out after 50 ms; then the handler failed: the handler left a cancel scope open"


async def test_a_callback_of_run_sync_soon_that_fails_ends_nothing(run: Callable[..., Awaitable[Finished]]) -> None:
    async def work(_: Context) -> str:
        trio.lowlevel.current_trio_token().run_sync_soon(lambda: 1 / 0)
        await trio.sleep(0.1)
        return "done"

    assert (await run(work)).ending.result == b'"done"'


async def test_a_system_task_that_goes_on_holds_the_attempt_for_a_while_only(
    run: Callable[..., Awaitable[Finished]],
) -> None:
    async def work(_: Context) -> str:
        trio.lowlevel.spawn_system_task(trio.sleep_forever)
        return "done"

    assert (await run(work)).ending.result == b'"done"'


async def test_what_is_cancelled_before_it_begins_does_not_begin(autojump_clock: MockClock) -> None:
    begun: list[bool] = []

    async def work() -> None:
        begun.append(True)

    with trio.CancelScope() as scope:
        scope.cancel()
        await call_contained(work)
    assert scope.cancelled_caught
    assert not begun


async def test_trio_still_has_the_attributes_that_containment_needs() -> None:
    task = trio.lowlevel.current_task()
    with trio.CancelScope() as scope:
        await trio.lowlevel.checkpoint()
        assert task._cancel_status._scope is scope
        assert task._cancel_status.parent is not None
    assert callable(task._activate_cancel_status)
    assert task._runner.system_nursery is not None
    assert callable(task._runner.system_nursery._child_finished)


async def test_ctrl_c_does_not_arrive_in_a_function(run: Callable[..., Awaitable[Finished]]) -> None:
    async def work(_: Context) -> bool:
        return trio.lowlevel.currently_ki_protected()

    assert (await run(work)).ending.result == b"true"
