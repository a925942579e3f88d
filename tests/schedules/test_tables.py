"""The tables ``[schedules.NAME]`` of the settings: what is refused, and what becomes of the store at a start."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime

import msgspec
import pytest
import trio
from trio.testing import MockClock

from pexecutor import Executor, LocalStore, StoreUnavailableError, Task
from pexecutor.config import Config
from pexecutor.errors import ConfigError
from pexecutor.handlers import BUILT_IN
from pexecutor.limits.defaults import DECLARE_RETRY_SECONDS
from pexecutor.schedules.declaration import ScheduleDeclaration
from pexecutor.schedules.tables import DeclaredSchedules, load_tables
from pexecutor.server import make_executor
from pexecutor.stores.schedules import Schedule, ScheduleBounds

from ..conftest import EPOCH, virtual_now

NIGHTLY = 'cron = "0 3 * * *"\ntask = {name = "dump", handler = "sleep", duration = 5}'


def load(text: str) -> dict[str, ScheduleDeclaration]:
    return load_tables(tomllib.loads(text)["schedules"], BUILT_IN.check, EPOCH)


def test_a_table_has_the_keys_of_the_api() -> None:
    loaded = load(
        f'[schedules.nightly]\n{NIGHTLY}\ntimezone = "Europe/Berlin"\njitter = 1000\ncatch_up = "none"\nlate_max = 0\n'
        'until = 2030-01-31T08:00:00+01:00\npaused = true\n[schedules."every minute"]\nevery = 60000\n'
        'start_at = 2026-01-31T08:00:00Z\ntask = {name = "t"}\n'
    )
    nightly = ScheduleDeclaration(
        Task("dump", duration=5),
        cron="0 3 * * *",
        timezone="Europe/Berlin",
        jitter=1000,
        catch_up="none",
        late_max=0,
        until=datetime(2030, 1, 31, 7, tzinfo=UTC),
        paused=True,
    )
    start = datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert loaded == {"nightly": nightly, "every minute": ScheduleDeclaration(Task("t"), every=60_000, start_at=start)}


TASK = 'task = {name = "t"}'


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (f'cron = "0 25 * * *"\n{TASK}', r'schedules.s.cron: .* its hour is invalid .*, for example "0 3 \* \* \*"'),
        (
            f'cron = "@daily"\n{TASK}',
            r"schedules.s.cron: '@daily' is not supported: write .*; for example: cron = \"0 3",
        ),
        (f'cron = "0 3 * * *"\ntimezone = "Berlin"\n{TASK}', "schedules.s.timezone: 'Berlin' is unknown: .* such as"),
        (f"every = 10\n{TASK}", "schedules.s.every: .*1000.*; for example: every = 60000"),
        (f'every = "1m"\n{TASK}', "schedules.s.every: expected `int.*`, got `str`; for example: every = 60000"),
        ("every = 60000", "schedules.s: `task` is required; for example: task = {name"),
        ('every = 60000\ntask = "t"', "schedules.s.task: .*; for example: task = {name"),
        ("every = 60000\ntask = {}", "schedules.s: `task.name` is required; for example: task = {name"),
        (
            'every = 60000\ntask = {name = "t", handler = "dump"}',
            "schedules.s.task.handler: unknown handler `dump`.*; for example: task = {name",
        ),
        (
            'every = 60000\ntask = {name = "t", run_at = 2030-01-31T08:00:00Z}',
            "schedules.s.task.run_at: the schedule has the times; .*; for example: task = ",
        ),
        (f"evry = 60000\n{TASK}", r"unknown key `evry` in \[schedules.s\]: did you mean `every`.*; for example: "),
        (TASK, 'schedules.s: give either `cron` or `every`, for example cron = "0 3 \\* \\* \\*" or every = 60000'),
        (f"every = 60000\nstart_at = 2030-01-31T08:00:00\n{TASK}", "schedules.s.start_at: .*such as 2030-01-31T08:00"),
        (f"every = 60000\nuntil = 2030-01-31\n{TASK}", "schedules.s.until: .*such as 2030-01-31T08:00"),
        (f'every = 60000\ncatch_up = "all"\n{TASK}', 'schedules.s.catch_up: .*; for example: catch_up = "none"'),
        (
            f"every = 60000\njitter = 60001\n{TASK}",
            "schedules.s.jitter: `jitter` must be.*; for example: jitter = 5000",
        ),
        (f"every = 60000\nlate_max = -1\n{TASK}", "schedules.s.late_max: .*; for example: late_max = 600000"),
        (f'every = 60000\npaused = "no"\n{TASK}', "schedules.s.paused: .*; for example: paused = true"),
        (f"every = 99999999999999999999999\n{TASK}", "schedules.s.every: .*; for example: every = 60000"),
    ],
)
def test_an_invalid_table_is_refused_with_a_valid_line(table: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(f"[schedules.s]\n{table}")


@pytest.mark.parametrize("name", ["a/b", "..", ""])
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r'for example "nightly"'):
        load(f'[schedules."{name}"]\n{NIGHTLY}')


def test_an_example_of_each_key_is_valid() -> None:
    for line in (
        'timezone = "Europe/Berlin"\ncron = "0 3 * * *"',
        "every = 60000\nstart_at = 2030-01-31T08:00:00Z\njitter = 5000\nuntil = 2030-01-31T08:00:00Z",
        'cron = "0 3 * * *"\ncatch_up = "none"\nlate_max = 600000\npaused = true',
    ):
        assert load(f'[schedules.s]\n{line}\ntask = {{name = "report", handler = "sleep"}}')


# The start


class Starts:
    """Executors on one store, one after another, each with the tables of its settings."""

    def __init__(self) -> None:
        self.store = LocalStore(now=virtual_now)

    async def start(self, *tables: str, shared: bool = False) -> list[Schedule]:
        """Start and stop an executor; return the schedules that it had."""
        declared = load("".join(f"[schedules.{table}\n" for table in tables)) if tables else {}
        executor = Executor(self.store, declared=DeclaredSchedules(declared, shared=shared))
        async with trio.open_nursery() as nursery:
            await nursery.start(executor.run)
            schedules = await executor.schedules.page(100)
            nursery.cancel_scope.cancel()
        return schedules


HOURLY = 's]\nevery = 3600000\ntask = {name = "t"}\n'


async def test_the_tables_are_stored_before_the_executor_has_started(autojump_clock: MockClock) -> None:
    [schedule] = await Starts().start(HOURLY)

    assert (schedule.name, schedule.owner, schedule.paused) == ("s", "file", False)
    assert schedule.next is not None
    assert schedule.next.at == EPOCH + 3600


async def test_the_fields_of_a_table_take_no_default_of_their_handler(autojump_clock: MockClock) -> None:
    table = {"every": 1000, "task": {"name": "t", "priority": 0, "retries": 2}}
    config = msgspec.structs.replace(
        Config(), store="memory", handlers={"sleep": {"priority": 9, "retries": 5, "keep": 7}}, schedules={"s": table}
    )
    executor = make_executor(config)
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        [schedule] = await executor.schedules.page(100)
        submitted = await executor.schedules.run_now("s")
        nursery.cancel_scope.cancel()

    assert schedule.definition.given == ("priority",)
    assert submitted.task == Task("t", retries=2, keep=7)


async def test_a_restart_with_an_equal_table_changes_nothing(autojump_clock: MockClock) -> None:
    starts = Starts()
    first = await starts.start(HOURLY)
    await trio.sleep(1800)
    assert await starts.start(HOURLY) == first


async def test_a_restart_keeps_a_pause_of_the_api(autojump_clock: MockClock) -> None:
    starts = Starts()
    await starts.start(HOURLY)
    await Executor(starts.store).schedules.pause("s", paused=True)
    [schedule] = await starts.start(HOURLY)
    assert schedule.paused
    [schedule] = await starts.start(HOURLY + "paused = false\n")
    assert not schedule.paused


async def test_a_changed_table_replaces_the_schedule(autojump_clock: MockClock) -> None:
    starts = Starts()
    [first] = await starts.start(HOURLY)
    [second] = await starts.start(HOURLY.replace("3600000", "60000"))
    assert second.definition.every == 60_000
    assert second.generation > first.generation


async def test_a_table_that_is_gone_is_removed_from_a_local_store(autojump_clock: MockClock) -> None:
    starts = Starts()
    executor = Executor(starts.store)
    await executor.schedules.put("api", ScheduleDeclaration(Task("a"), every=60_000))
    await starts.start(HOURLY, HOURLY.replace("s]", "b]"))
    assert [schedule.name for schedule in await starts.start(HOURLY)] == ["api", "s"]
    assert [schedule.name for schedule in await starts.start()] == ["api"]


async def test_many_tables_that_are_gone_are_removed(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pexecutor.schedules.tables.PAGE_SCHEDULES", 2)
    starts = Starts()
    await starts.start(*(HOURLY.replace("s]", f"s{number}]") for number in range(7)))
    assert [schedule.name for schedule in await starts.start(HOURLY)] == ["s"]


async def test_a_table_that_is_gone_stays_on_a_shared_store(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    starts = Starts()
    await starts.start(HOURLY, HOURLY.replace("s]", "other]"), shared=True)
    assert not caplog.messages
    schedules = await starts.start(HOURLY, shared=True)
    assert [schedule.name for schedule in schedules] == ["other", "s"]
    [message] = caplog.messages
    assert "no table for these schedules" in message
    assert message.endswith("?force=true removes one: other")


async def test_the_file_takes_over_a_schedule_of_the_api(autojump_clock: MockClock) -> None:
    starts = Starts()
    await Executor(starts.store).schedules.put("s", ScheduleDeclaration(Task("t"), every=3_600_000))
    [schedule] = await starts.start(HOURLY)
    assert schedule.owner == "file"


async def test_an_executor_without_a_file_removes_nothing(autojump_clock: MockClock) -> None:
    starts = Starts()
    await starts.start(HOURLY)
    executor = Executor(starts.store)
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        assert len(await executor.schedules.page(10)) == 1
        nursery.cancel_scope.cancel()


async def test_a_store_that_cannot_be_written_holds_up_no_start(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = LocalStore(now=virtual_now)
    real = store.schedules.put
    fails = True

    async def put(schedule: Schedule) -> Schedule | None:
        if fails:
            raise StoreUnavailableError("the disk is full")
        return await real(schedule)

    store.schedules.put = put  # type: ignore[method-assign]
    executor = Executor(store, declared=DeclaredSchedules(load(f"[schedules.{HOURLY}")))
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        await trio.sleep(DECLARE_RETRY_SECONDS * 3.5)
        assert await executor.schedules.page(10) == []
        fails = False
        await trio.sleep(DECLARE_RETRY_SECONDS)
        assert len(await executor.schedules.page(10)) == 1
        nursery.cancel_scope.cancel()
    assert caplog.messages == ["the schedules of the settings cannot be stored yet: the disk is full"]


async def test_a_table_beyond_the_bound_is_logged(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    starts = Starts()
    starts.store = LocalStore(now=virtual_now, schedule_bounds=ScheduleBounds(1))
    schedules = await starts.start(HOURLY, HOURLY.replace("s]", "t]"))
    assert [schedule.name for schedule in schedules] == ["s"]
    [message] = caplog.messages
    assert message.startswith("the schedule 't' of the settings was not stored: ")
    assert "`schedules_max`" in message
