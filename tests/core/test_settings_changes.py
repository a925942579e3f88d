"""Changes of settings in depth: resources of handlers, limits, schedules, targets, cancels and a failing store."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import (
    Accepted,
    ConfigError,
    Executor,
    Finished,
    LocalStore,
    NotServingError,
    PageRequest,
    Running,
    ScheduleDeclaration,
    State,
    Task,
    load_catalogue,
    reload_catalogue,
)
from pexecutor.conformance.steps import cancelled_at_step, every_await
from pexecutor.core.settings import ExecutorSettings
from pexecutor.handlers import Catalogue
from pexecutor.handlers.limits import DeclaredLimits, LimitSettings
from pexecutor.handlers.settings import HandlerSettings
from pexecutor.limits.defaults import DECLARE_RETRY_SECONDS, LIMIT_SETTINGS_MAX
from pexecutor.limits.keys import LimitKey
from pexecutor.schedules.tables import DeclaredSchedules
from pexecutor.stores.limits import LimitNumbers, NoSuchHandler
from pexecutor.stores.schedules import Fired

from ..conftest import EPOCH, RunHere, virtual_now
from ..fakes import Doing, FakeJournal, Gate
from ..notifications.deliveries import target
from .test_settings import change, tasks


class Opened:
    """A resource that notes when it is open."""

    def __init__(self, fails: bool = False, seconds: float = 0) -> None:
        self.fails = fails
        self.seconds = seconds
        self.is_open = False
        self.times = 0

    def __call__(self) -> AbstractAsyncContextManager[None]:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        assert not self.is_open
        await trio.sleep(self.seconds)
        if self.fails:
            raise OSError("no descriptor is left")
        self.is_open, self.times = True, self.times + 1
        try:
            yield
        finally:
            self.is_open = False


# Resources


async def test_resources_are_open_as_long_as_an_attempt_may_need_them(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    gate, first, second = Gate(), Opened(), Opened()
    executor = await run_here(handlers=Catalogue({"work": gate}, [first]), pool_size=2)
    await executor.submit(tasks(2, "work"))
    await wait_all_tasks_blocked()

    await change(executor, handlers=Catalogue({"work": (other := Gate())}, [second]), pool_size=3)
    await executor.cancel(await _id_of(executor, "work-0"))
    await executor.submit([Task("later", handler="work")])
    await wait_all_tasks_blocked()
    assert (first.is_open, second.is_open) == (True, True), "an old attempt runs, and a new one"
    other.open()
    await wait_all_tasks_blocked()
    assert (first.is_open, second.is_open) == (True, True), "the old one still runs"
    gate.open()
    await wait_all_tasks_blocked()
    assert (first.is_open, second.is_open) == (False, True)
    executor.drain()
    await executor.stopped.wait()
    assert (first.times, second.times) == (1, 1)
    assert not second.is_open


async def _id_of(executor: Executor, name: str) -> str:
    [record] = (await executor.page(PageRequest(name=name))).records
    return record.id


async def test_a_task_that_is_accepted_while_a_resource_opens_keeps_its_handler(
    run_here: RunHere, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    handlers = Catalogue({"work": Gate(), "sleep": Gate()})
    executor = await run_here(LocalStore(known_handlers=handlers), handlers=handlers)
    resource = Opened(seconds=5)
    nursery.start_soon(_submit_later, executor)

    with pytest.raises(ConfigError, match="the handler `work` is not declared"):
        await change(executor, handlers=Catalogue({"sleep": Gate()}, [resource]))

    await wait_all_tasks_blocked()
    assert executor.handlers is handlers
    assert (resource.times, resource.is_open) == (1, False)


async def _submit_later(executor: Executor) -> None:
    await trio.sleep(1)
    await executor.submit(tasks(1, "work"))


async def test_a_resource_that_comes_back_stays_open(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate, resource = Gate(), Opened()
    executor = await run_here(handlers=Catalogue({"work": gate}, [resource]))
    await executor.submit(tasks(1, "work"))
    await wait_all_tasks_blocked()

    await change(executor, handlers=Catalogue({"work": gate}))
    await change(executor, handlers=Catalogue({"work": gate}, [resource]))
    gate.open()
    await wait_all_tasks_blocked()
    assert (resource.is_open, resource.times) == (True, 1)
    await change(executor, handlers=Catalogue({"work": gate}))
    await wait_all_tasks_blocked()
    assert not resource.is_open
    await change(executor, handlers=Catalogue({"work": gate}, [resource]))
    assert (resource.is_open, resource.times) == (True, 2)


async def test_a_resource_that_cannot_be_opened_leaves_everything_as_it_was(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    good = Opened()
    executor = await run_here(handlers=Catalogue({"work": Gate()}))
    before = executor.settings

    with pytest.raises(OSError, match="no descriptor is left"):
        await change(executor, pool_size=9, handlers=Catalogue({"work": Gate()}, [good, Opened(fails=True)]))

    await wait_all_tasks_blocked()
    assert executor.settings is before
    assert (good.is_open, good.times) == (False, 1)


async def test_attempts_that_are_cancelled_still_have_their_resources(autojump_clock: MockClock) -> None:
    resource, seen = Opened(), list[bool]()

    class CleansUp(Gate):
        async def _wait(self, *_: Any) -> None:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
                    seen.append(resource.is_open)

    executor = Executor(LocalStore(), handlers=Catalogue({"work": Gate()}))
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        await change(executor, handlers=Catalogue({"work": CleansUp()}, [resource]))
        await executor.submit(tasks(1, "work"))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert seen == [True]
    assert not resource.is_open


def test_a_reload_keeps_functions_and_the_http_client(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = ["tests.handlers.functions.functions"]
    old_tables = {"call": {"url": "http://127.0.0.1/a"}, "run": {"command": ["true"]}}
    old = load_catalogue(declared=old_tables, modules=modules, environment={}).claiming_unknown()
    new_tables = {"call": {"url": "http://127.0.0.1/b"}, "sleep": {"priority": 5, "concurrency": 2}}
    new = reload_catalogue(old, declared=new_tables, environment={}, limits={})

    assert set(old.names()) - set(new.names()) == {"run"}
    assert new.resources == old.resources
    assert new["resize"] is old["resize"]
    assert new.claims_unknown
    assert new.defaults is not None
    assert new.limits.handler_numbers == {"sleep": 2}
    assert reload_catalogue(new, declared={}, environment={}, limits={}).resources == ()
    with pytest.raises(ConfigError, match="there are two handlers `resize`"):
        reload_catalogue(old, declared={"resize": {"command": ["true"]}}, environment={}, limits={})


# Limits


def limited(gate: Gate, concurrency: int, *, api: int | None = None, per: str | None = None) -> Catalogue:
    limits = {} if api is None else {"api": LimitSettings(concurrency=api, per=per)}
    settings = {"work": HandlerSettings(concurrency=concurrency, limits=tuple(limits))}
    return Catalogue({"work": gate, "sleep": gate}, (), settings, DeclaredLimits(limits, settings))


async def test_numbers_apply_at_once_and_pauses_stay(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate = Gate()
    executor = await run_here(handlers=limited(gate, 2), pool_size=10)
    await executor.submit(tasks(9, "work"))
    await wait_all_tasks_blocked()
    assert len(gate.at_work) == 2

    await change(executor, handlers=limited(gate, 5))
    await wait_all_tasks_blocked()
    assert len(gate.at_work) == 5
    await executor.limits.pause(None, "ops")
    await change(executor, handlers=limited(gate, 1))
    gate.open()
    await wait_all_tasks_blocked()
    assert len(gate.ended) == 5, "running tasks ended, and everything is still paused"
    gate.close()
    await executor.limits.resume(None, "ops")
    await wait_all_tasks_blocked()
    assert len(gate.at_work) == 1
    assert executor.limits.now().numbers == LimitNumbers({}, {"work": 1})


async def test_changed_limits_of_a_handler_apply_to_later_tasks(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate = Gate()
    executor = await run_here(handlers=limited(gate, 9), pool_size=10)
    await executor.submit([Task("before", handler="work", params={"account": "a"})])
    await change(executor, handlers=limited(gate, 9, api=1, per="params.account"))
    accounts = {"one": "a", "two": "a", "three": "b"}
    await executor.submit([Task(name, handler="work", params={"account": of}) for name, of in accounts.items()])
    await wait_all_tasks_blocked()

    assert gate.at_work == {"before", "one", "three"}
    assert executor.limits.now().slots[LimitKey("api", "a")] == 1


async def test_more_limits_than_a_store_keeps_are_refused(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(handlers=Catalogue({"work": Gate()}))
    await executor.limits.pause("work", "ops")
    limits = {f"limit-{number}": LimitSettings(concurrency=1) for number in range(LIMIT_SETTINGS_MAX)}
    handlers = Catalogue({"work": Gate()}, limits=DeclaredLimits(limits, {}))

    with pytest.raises(ConfigError, match=f"{LIMIT_SETTINGS_MAX + 1} limits, .* at most {LIMIT_SETTINGS_MAX} together"):
        executor.check_settings(msgspec.structs.replace(executor.settings, handlers=handlers))


# Schedules


def declared(shared: bool = False, **every: int) -> DeclaredSchedules:
    tables = {name: ScheduleDeclaration(Task(f"of-{name}"), every=period) for name, period in every.items()}
    return DeclaredSchedules(tables, shared=shared)


async def test_an_equal_table_adds_no_run_during_a_running_occurrence(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, declared=declared(s=60_000))
    await trio.sleep(61)
    before = await executor.schedules.get("s")
    assert gate.at_work == {"of-s"}

    for _ in range(100):
        await change(executor, declared=declared(s=60_000), pool_size=executor.pool_size % 7 + 1)
    await wait_all_tasks_blocked()

    assert await executor.schedules.get("s") == before
    assert gate.started == ["of-s"]
    gate.open()
    await trio.sleep(60)
    after = await executor.schedules.get("s")
    assert [type(each) for each in after.occurrences] == [Fired, Fired]
    assert gate.started == ["of-s", "of-s"]


async def test_tables_are_added_changed_and_removed(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(declared=declared(changed=60_000, gone=60_000))
    await executor.schedules.put("of-the-api", ScheduleDeclaration(Task("t"), every=60_000))
    await trio.sleep(1)

    await change(executor, declared=declared(changed=5_000, added=60_000))

    schedules = {schedule.name: schedule for schedule in await executor.schedules.page(10)}
    assert set(schedules) == {"added", "changed", "of-the-api"}
    assert schedules["changed"].definition.every == 5_000
    assert schedules["changed"].next is not None
    assert schedules["changed"].next.at <= EPOCH + 6


async def test_a_schedule_whose_task_the_new_handlers_refuse_is_refused(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    executor = await run_here()
    new = msgspec.structs.replace(executor.settings, handlers=Catalogue({"work": Gate()}), declared=declared(s=60_000))
    with pytest.raises(
        ConfigError, match=r"schedules.s.task.handler: unknown handler `sleep`; the handlers are: `work`"
    ):
        executor.check_settings(new)


async def test_a_table_that_is_gone_stays_in_a_shared_store(
    run_here: RunHere, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    executor = await run_here(declared=declared(shared=True, gone=60_000))
    await change(executor, declared=declared(shared=True))

    assert [schedule.name for schedule in await executor.schedules.page(10)] == ["gone"]
    assert "the settings have no table for these schedules" in caplog.text


async def test_a_schedule_that_needs_a_removed_handler_is_skipped(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate = Gate()
    executor = await run_here(handlers=Catalogue({"work": gate, "other": gate}))
    await executor.schedules.put("s", ScheduleDeclaration(Task("t", handler="work"), every=60_000))
    await change(executor, handlers=Catalogue({"other": gate}))
    await trio.sleep(125)
    assert executor.statistics().occurrences == {"s": {"no_such_handler": 1}}

    await change(executor, handlers=Catalogue({"work": gate, "other": gate}))
    await trio.sleep(61)
    assert gate.at_work == {"t"}


# A store in trouble


async def test_a_store_that_fails_is_tried_again_and_the_log_says_so(
    run_here: RunHere, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    journal = FakeJournal()
    executor = await run_here(LocalStore(now=virtual_now, journal=journal), handlers=limited(Gate(), 2))
    journal.fails_at = set(range(1, 1000))

    await change(executor, handlers=limited(Gate(), 3), declared=declared(s=60_000), pool_size=7)

    assert executor.pool_size == 7
    assert "the limits of the settings cannot be stored yet" in caplog.text
    assert "the schedules of the settings cannot be stored yet" in caplog.text
    assert executor.limits.now().numbers == LimitNumbers({}, {"work": 2})
    await change(executor, handlers=limited(Gate(), 4), declared=declared(t=60_000))
    journal.fails_at = set()
    await trio.sleep(2 * DECLARE_RETRY_SECONDS)
    assert executor.limits.now().numbers == LimitNumbers({}, {"work": 4}), "of the latest settings"
    assert [schedule.name for schedule in await executor.schedules.page(10)] == ["t"]
    await executor.submit(tasks(1, "work"))


async def test_changes_while_the_store_is_down_do_not_add_up(run_here: RunHere, autojump_clock: MockClock) -> None:
    journal = FakeJournal()
    executor = await run_here(LocalStore(now=virtual_now, journal=journal), handlers=limited(Gate(), 2))
    journal.fails_at = set(range(1, 1000))
    living = []
    for number in range(5):
        await change(executor, handlers=limited(Gate(), 3 + number), declared=declared(s=60_000))
        await wait_all_tasks_blocked()
        living.append(trio.lowlevel.current_statistics().tasks_living)

    assert living == [living[0]] * 5


@pytest.mark.parametrize("write", range(1, 5))
async def test_each_write_of_a_change_can_fail(run_here: RunHere, autojump_clock: MockClock, write: int) -> None:
    journal = FakeJournal()
    executor = await run_here(
        LocalStore(now=virtual_now, journal=journal), handlers=limited(Gate(), 2), declared=declared(gone=60_000)
    )
    journal.fails_at = {journal.writes + write}
    await change(executor, handlers=limited(Gate(), 3), declared=declared(s=60_000, t=60_000))
    await trio.sleep(2 * DECLARE_RETRY_SECONDS)

    assert executor.limits.now().numbers == LimitNumbers({}, {"work": 3})
    assert [schedule.name for schedule in await executor.schedules.page(10)] == ["s", "t"]


# Cancels


async def test_a_change_that_is_cancelled_at_any_await_is_made_completely_or_not_at_all(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    outcomes = set()
    for step in every_await():
        store = LocalStore(now=virtual_now, journal=FakeJournal())
        first, second = Opened(), Opened()
        old = ExecutorSettings(2, Catalogue({"sleep": (gate := Gate())}, [first]), declared(old=60_000), {})
        new = ExecutorSettings(5, _with_resource(limited(gate, 3), second), declared(new=60_000), {"ops": target()})
        executor = await run_here(store, pool_size=2, handlers=old.handlers, declared=old.declared)
        before = executor.settings
        cancelled = await cancelled_at_step(step, _applying(executor, new))
        await wait_all_tasks_blocked()

        is_new = executor.settings is new
        assert is_new or executor.settings is before
        assert (first.is_open, second.is_open) == (not is_new, is_new)
        assert [each.name for each in await executor.schedules.page(9)] == ["new" if is_new else "old"]
        assert executor.limits.now().numbers == (LimitNumbers({}, {"work": 3}) if is_new else LimitNumbers())
        outcomes.add(is_new)
        executor.drain()
        await executor.stopped.wait()
        if not cancelled:
            break
    assert outcomes == {False, True}, "the loop met both cases"


def _applying(executor: Executor, new: ExecutorSettings) -> Callable[[], Any]:
    return lambda: executor.apply_settings(new)


def _with_resource(catalogue: Catalogue, resource: Opened) -> Catalogue:
    return Catalogue(catalogue.untabled(), [resource], limits=catalogue.limits)


async def test_a_drain_during_a_change_ends_both(run_here: RunHere, autojump_clock: MockClock) -> None:
    for step in range(1, 12):
        executor = await run_here(LocalStore(now=virtual_now, journal=FakeJournal()), handlers=limited(Gate(), 2))
        resource = Opened()
        results: list[str] = []

        async def apply(
            executor: Executor = executor, resource: Opened = resource, results: list[str] = results
        ) -> None:
            try:
                await change(executor, handlers=_with_resource(limited(Gate(), 3), resource), pool_size=9)
                results.append("changed")
            except NotServingError:
                results.append("refused")

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(apply)
                for _ in range(step):
                    await trio.lowlevel.checkpoint()
                executor.drain()
            await executor.stopped.wait()
        assert len(results) == 1
        assert not resource.is_open


async def test_a_task_that_is_being_accepted_keeps_its_handler(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate, journal = Gate(), FakeJournal(awaits=5)
    handlers = Catalogue({"work": gate, "other": gate})
    store = LocalStore(now=virtual_now, journal=journal, known_handlers=handlers)
    executor = await run_here(store, handlers=handlers)
    results: list[str] = []

    def remove(_: int) -> None:
        try:
            executor.check_settings(msgspec.structs.replace(executor.settings, handlers=Catalogue({"other": gate})))
        except ConfigError as error:
            results.append(str(error))

    journal.on_write = remove
    await executor.submit(tasks(2, "work"))
    assert results[0].startswith("the handler `work` is not declared and 2 tasks in flight need it")


class Outlives(Gate):
    """A handler whose work may outlive the process."""

    ends_with_us = False


async def test_starts_of_a_handler_that_may_outlive_the_process_become_durable(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    journal = FakeJournal()
    store = LocalStore(now=virtual_now, journal=journal, ends_with_us={"work"})
    executor = await run_here(store, handlers=Catalogue({"work": Gate()}), pool_size=1)
    await executor.submit([Task("before", handler="work")])
    await wait_all_tasks_blocked()
    await change(executor, handlers=Catalogue({"work": Outlives()}), pool_size=2)
    await executor.submit([Task("after", handler="work")])
    await wait_all_tasks_blocked()

    assert [record.task.name for record in journal.written if isinstance(record, Running)] == ["after"]


async def test_tasks_of_a_removed_handler_fail_if_the_settings_say_so(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    gate = Gate()
    handlers = Catalogue({"work": gate, "sleep": gate}).claiming_unknown()
    executor = await run_here(handlers=handlers, pool_size=1)
    await executor.submit(tasks(2, "work"))
    await wait_all_tasks_blocked()
    await change(executor, handlers=handlers.continued_by(Catalogue({"sleep": gate})))
    gate.open()
    await wait_all_tasks_blocked()

    [failed, succeeded] = (await executor.page(PageRequest(State.FINISHED))).records
    assert (failed.state, succeeded.task.name) == (State.FINISHED, "work-0")
    assert isinstance(failed, Finished)
    assert failed.ending.error == "the handler `work` no longer exists"


async def test_tasks_of_a_removed_handler_wait_in_an_executor_of_your_own(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    gate = Gate()
    executor = await run_here(handlers=Catalogue({"work": gate, "sleep": gate}), pool_size=1)
    [_, waiting] = await executor.submit(tasks(2, "work"))
    await wait_all_tasks_blocked()
    await change(executor, handlers=Catalogue({"sleep": gate}))
    gate.open()
    await wait_all_tasks_blocked()

    assert isinstance(waiting, Accepted)
    assert await executor.limits.why(waiting.record.id) == (NoSuchHandler("work"),)
    await change(executor, handlers=Catalogue({"work": gate, "sleep": gate}))
    await wait_all_tasks_blocked()
    assert gate.ended == ["work-0", "work-1"]


async def test_a_retry_has_the_new_handler(run_here: RunHere, autojump_clock: MockClock) -> None:
    async def fail(*_: Any) -> None:
        raise ValueError("broken")

    executor = await run_here(handlers=Catalogue({"work": Doing(fail)}))
    [verdict] = await executor.submit([Task("t", handler="work", retries=1, retry_delay=10_000)])
    await wait_all_tasks_blocked()
    await change(executor, handlers=Catalogue({"work": (gate := Gate())}))
    gate.open()
    assert isinstance(verdict, Accepted)
    record = await executor.wait(verdict.record.id)
    assert [attempt.outcome for attempt in record.attempts] == ["failed", "succeeded"]


async def test_a_hundred_changes_under_load_lose_nothing(run_here: RunHere, autojump_clock: MockClock) -> None:
    ran: Counter[str] = Counter()

    async def work(_: Any, task: Task) -> None:
        await trio.sleep(0.01)
        ran[task.name] += 1

    def catalogue(number: int) -> Catalogue:
        settings = {"work": HandlerSettings(concurrency=number % 7 + 1)}
        handlers = {"work": Doing(work), f"other-{number % 3}": Doing(work)}
        return Catalogue(handlers, [Opened()], settings, DeclaredLimits({}, settings))

    store = LocalStore(now=virtual_now, queue_size=10_000)
    executor = await run_here(store, handlers=catalogue(0), pool_size=3)
    for number in range(100):
        await executor.submit([Task(f"{number}-{index}", handler="work") for index in range(10)])
        await change(executor, handlers=catalogue(number), pool_size=number % 9 + 1, declared=declared())
        await trio.sleep(0.003)
    await trio.sleep(60)

    assert ran == {f"{number}-{index}": 1 for number in range(100) for index in range(10)}
    assert executor.statistics().store.finished == {"succeeded": 1000}
    assert executor.statistics().released == 0
