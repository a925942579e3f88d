"""The client against a real server: submit, find, wait, cancel and change tasks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pexecutor import (
    AsyncClient,
    ConfigError,
    DuplicateError,
    InvalidScheduleError,
    InvalidTaskError,
    NotFoundError,
    RefusedError,
    State,
    StillWaitingError,
    TaskCancelledError,
    TaskFailedError,
    TaskTimedOutError,
)

from ..server.process import ServerProcess
from .drivers import Run

FAR = timedelta(hours=1)


def test_a_task_returns_its_result(run: Run, server: ServerProcess, name: str) -> None:
    async def test(client: AsyncClient) -> None:
        handle = await client.submit(name, "adds", params={"left": 1, "right": 2}, tags=["sums"], timeout=FAR)
        assert (handle.name, handle.record.tags, handle.record.timeout) == (name, ("sums",), 3_600_000)
        assert await handle.result(20) == 3
        assert (handle.record.state, handle.record.outcome) == ("finished", "succeeded")
        again = await client.get(handle.id)
        assert again.record == handle.record
        assert [row.text for row in [row async for row in handle.logs()]] == ["1 + 2\n"]

    run(test, server.url)


def test_a_task_without_success_is_an_error_that_tells_why(run: Run, server: ServerProcess, name: str) -> None:
    async def test(client: AsyncClient) -> None:
        handle = await client.submit(name, "fails", params={"why": "no disk"})
        with pytest.raises(TaskFailedError, match="failed: no disk") as failed:
            await handle.result(20)
        assert failed.value.log_end.startswith("about to fail\n")
        assert failed.value.record.id == handle.id
        handle = await client.submit(name, duration=60_000, timeout=timedelta(milliseconds=10))
        with pytest.raises(TaskTimedOutError):
            await handle.result(20)

    run(test, server.url)


def test_a_held_name_is_an_error_with_the_holder(run: Run, server: ServerProcess, name: str) -> None:
    async def test(client: AsyncClient) -> None:
        held = await client.submit(name, delay=FAR)
        with pytest.raises(DuplicateError, match="is held") as duplicate:
            await client.submit(name)
        assert duplicate.value.holder.id == held.id
        assert duplicate.value.holder.due_at is not None
        assert (await client.submit(name, on_conflict="join")).id == held.id
        await held.cancel()

    run(test, server.url)


def test_a_cancelled_task(run: Run, server: ServerProcess, name: str) -> None:
    async def test(client: AsyncClient) -> None:
        handle = await client.submit(name, delay=FAR)
        assert (await handle.why())[0].reason == "due"
        with pytest.raises(StillWaitingError, match="still scheduled"):
            await handle.wait(0.01)
        assert (await handle.change(priority=7)).priority == 7
        assert (await handle.cancel()).outcome == "cancelled"
        assert (await handle.cancel()).outcome == "cancelled"
        with pytest.raises(TaskCancelledError):
            await handle.result()
        with pytest.raises(RefusedError, match="already ended") as late:
            await handle.change(run_at="now")
        assert late.value.status == 409

    run(test, server.url)


def test_an_invalid_task_is_an_error_with_its_faults(run: Run, server: ServerProcess, name: str) -> None:
    async def test(client: AsyncClient) -> None:
        with pytest.raises(InvalidTaskError) as invalid:
            await client.submit(name, retries=101)
        assert [fault.field for fault in invalid.value.errors] == ["retries"]
        with pytest.raises(ConfigError, match="`run_at` has no time zone"):
            await client.submit(name, run_at=datetime(2030, 1, 1))
        with pytest.raises(InvalidTaskError) as invalid:
            await client.submit_many({"name": f"{name} {number}" if number < 1000 else ""} for number in range(1001))
        assert [fault.index for fault in invalid.value.errors] == [1000]

    run(test, server.url)


def test_an_unknown_task_is_not_found(run: Run, server: ServerProcess) -> None:
    async def test(client: AsyncClient) -> None:
        with pytest.raises(NotFoundError, match="no task has the id"):
            await client.get("a3f09c-42")

    run(test, server.url)


def test_many_tasks_get_a_verdict_each(run: Run, server: ServerProcess, name: str) -> None:
    async def test(client: AsyncClient) -> None:
        tasks = await client.submit_many({"name": f"{name} {number % 1050}", "delay": FAR} for number in range(1100))
        assert [verdict.index for verdict in tasks.verdicts] == [*range(1100)]
        assert (len(tasks.accepted), len(tasks.duplicates), len(tasks.rejected)) == (1050, 50, 0)
        assert tasks.duplicates[0].id == tasks.verdicts[0].id
        listed = [record.name async for record in client.list(name_prefix=f"{name} ", state="scheduled")]
        assert sorted(listed) == sorted(f"{name} {number}" for number in range(1050))
        counts = await client.cancel_many(name_prefix=f"{name} ", dry_run=True)
        assert (counts.matched, counts.changed) == (1050, 0)
        moved = await client.prioritize_many(3, ids=[tasks.verdicts[0].id or "", "000000-1"])
        assert (moved.changed, moved.unknown) == (1, 1)
        assert counts.unknown == 0
        assert (await client.cancel_many(name_prefix=f"{name} ")).changed == 1050
        again = await client.retry_many(name=f"{name} 1", outcome="cancelled")
        assert again.changed == 1

    run(test, server.url)


def test_listings_are_filtered_by_tags_and_times(run: Run, server: ServerProcess, name: str) -> None:
    async def test(client: AsyncClient) -> None:
        before = datetime.now(UTC)
        handle = await client.submit(name, tags=["a", name])
        await handle.wait(20)
        found = [record.id async for record in client.list(tags=["a", name], since=before - FAR, state="finished")]
        assert found == [handle.id]
        assert [record async for record in client.list(tags=["b", name])] == []
        assert [record async for record in client.list(name=name, until=before - FAR)] == []

    run(test, server.url)


def test_the_server_shows_its_handlers_and_state(run: Run, server: ServerProcess, name: str) -> None:
    async def test(client: AsyncClient) -> None:
        assert {"adds", "fails"} <= {handler.name for handler in await client.handlers()}
        status = await client.status()
        assert status.is_ready
        assert status.store.queue_size == 20_000
        pauses = await client.pause("adds")
        assert [(pause.what, pause.handler) for pause in pauses] == [("handler", "adds")]
        handle = await client.submit(name, "adds", params={"left": 1, "right": 1})
        assert (await handle.refresh()).state is State.PENDING
        assert (await handle.why())[0].reason == "paused"
        assert await client.resume("adds") == ()
        assert await handle.result(20) == 2
        with pytest.raises(NotFoundError):
            await client.pause("nothing")

    run(test, server.url)


def test_schedules(run: Run, server: ServerProcess, name: str) -> None:
    async def test(client: AsyncClient) -> None:
        stored = await client.schedules.put(name, {"name": name, "delay": FAR}, every=timedelta(days=1), jitter=5)
        assert (stored.every, stored.jitter, stored.task["delay"]) == (86_400_000, 5, 3_600_000)
        assert (await client.schedules.pause(name)).paused
        assert not (await client.schedules.resume(name)).paused
        handle = await client.schedules.run(name)
        with pytest.raises(DuplicateError) as duplicate:
            await client.schedules.run(name)
        assert duplicate.value.holder.id == handle.id
        assert (await client.schedules.get(name)).occurrences[0].task_id == handle.id
        assert name in [schedule.name async for schedule in client.schedules.list()]
        await client.schedules.delete(name)
        with pytest.raises(NotFoundError):
            await client.schedules.delete(name)
        with pytest.raises(InvalidScheduleError, match="cron"):
            await client.schedules.put(name, {"name": name}, cron="never")
        await handle.cancel()

    run(test, server.url)


def test_another_program_is_no_server(run: Run, server: ServerProcess) -> None:
    async def test(client: AsyncClient) -> None:
        with pytest.raises(NotFoundError):
            await client.status()

    run(test, f"{server.url}/elsewhere")
