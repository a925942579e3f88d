"""What many tasks at once take a short way through comes to the same as the long way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pexecutor import Ending, Finished, LocalStore, Outcome, PageRequest, Pending, Record, Running, Task
from pexecutor.stores import Watcher
from pexecutor.stores.deliveries import brings_nothing
from pexecutor.stores.local.book import Book
from pexecutor.stores.local.history import HistoryBounds
from pexecutor.stores.local.rare_facts import RareFacts
from pexecutor.stores.local.submission import Submission, end, start
from pexecutor.stores.sqlite.rows import COLUMNS, ENDED_COLUMNS, WAITING_COLUMNS, to_ended_row, to_row, to_waiting_row
from pexecutor.task import Brings

from ..fakes import FakeJournal

NOW = 1_800_000_000.0
SUCCEEDED = Ending(Outcome.SUCCEEDED, result=b"null")

Fields = st.fixed_dictionaries(
    {"name": st.sampled_from("abcdefgh"), "priority": st.integers(-1, 1)},
    optional={
        "delay": st.integers(0, 1),
        "keep": st.integers(0, 9),
        "on_conflict": st.sampled_from(["reject", "join", "latest", "supersede"]),
    },
)
Tasks = st.lists(Fields.map(lambda fields: Task(**fields)), max_size=6)  # type: ignore[arg-type]


async def test_a_submit_at_once_takes_all_of_a_list_or_nothing() -> None:
    store = LocalStore(queue_size=2, tag=1, now=lambda: NOW)
    tasks = [Task("a"), Task("b")]

    assert store.submit_nowait([Task("late", delay=1)]) is None
    assert store.submit_nowait([*tasks, Task("c")]) is None
    assert store.submit_nowait([Task("a"), Task("a")]) is None
    assert store.submit_nowait([]) is None
    assert store.submit_nowait(tasks) == await LocalStore(tag=1, now=lambda: NOW).submit(tasks)
    assert store.submit_nowait([Task("b")]) is None
    assert [record.task.name for record in (await store.page(PageRequest())).records] == ["a", "b"]


async def test_nothing_that_has_to_be_durable_is_taken_at_once() -> None:
    store = LocalStore(journal=FakeJournal())

    async with store.opened():
        assert store.submit_nowait([Task("a")]) is None
        assert (await store.page(PageRequest())).records == []


def new_book(history_records_max: int = 4) -> Book:
    bounds = HistoryBounds(history_records_max, 60)
    return Book(successes=bounds, others=bounds, history_bytes_max=100, forget=lambda _: None)


def submission_on(book: Book, room: int, brings: Callable[[Task], Brings | None] = brings_nothing) -> Submission:
    acceptances = count(1)
    facts = RareFacts()
    facts.watch(brings)
    return Submission(
        book,
        room=room,
        now=NOW,
        draw_serials=lambda number: [next(acceptances) for _ in range(number)],
        facts=facts,
    )


async def put(book: Book, records: Sequence[Record]) -> None:
    async with book.registry.all_locked():
        book.put(records)


def everything(book: Book) -> dict[str, Any]:
    """All that a book knows, in the order in which it knows it."""
    return {
        "records": book._records,
        "names": book.registry._entries,
        "pending": list(book.pending),
        "running": list(book.running.values()),
        "later": list(book.later.from_key(0)),
        "finished": {handler: dict(counts) for handler, counts in book.finished().items()},
        "history": [(record, book.history.number_of(record)) for record in book.history.before()],
        "bytes": book.history._bytes,
        "due": book.next_due(),
    }


def brings_for_some(task: Task) -> Brings | None:
    return None if task.name in "aeh" else Brings(failed=(task.name,))


@pytest.mark.parametrize("brings", [brings_nothing, brings_for_some])
@given(tasks=Tasks, held=st.lists(st.sampled_from("abc"), unique=True), room=st.integers(0, 6))
def test_a_list_that_is_taken_at_once_is_taken_as_one_by_one(
    brings: Callable[[Task], Brings | None], tasks: list[Task], held: list[str], room: int
) -> None:
    book = new_book()
    if held:
        with book.registry.locked_nowait(held):
            book.accept([Pending(1000 + number, Task(name), NOW, ()) for number, name in enumerate(held)])
    at_once, one_by_one = submission_on(book, room, brings), submission_on(book, room, brings)
    at_once.decide(tasks)
    one_by_one._decide_one_by_one(tasks)
    assert (at_once.verdicts, at_once.changes, at_once.places) == (
        one_by_one.verdicts,
        one_by_one.changes,
        one_by_one.places,
    )
    assert at_once.plain in ([], at_once.changes)


@pytest.mark.parametrize("history_records_max", [1, 4, 100])
@pytest.mark.parametrize(("claimed", "ended"), [(0, 0), (3, 2), (5, 5), (9, 9)])
@pytest.mark.parametrize("priorities", [[0] * 9, [1, 0, 0, -1, 1, 0, 1, 1, -1], [0, 0, 0, 0, 1, 1, 1, 1, 1]])
async def test_the_short_ways_through_the_book_come_to_the_same(
    priorities: list[int], claimed: int, ended: int, history_records_max: int
) -> None:
    short, long = new_book(history_records_max), new_book(history_records_max)
    told: dict[Book, list[Record]] = {short: [], long: []}
    for book, records in told.items():
        book.changed = records.extend
    tasks = [
        Task(f"task-{number}", priority=priority, keep=5 if number % 2 else None)
        for number, priority in enumerate(priorities)
    ]
    for first in (0, 4):
        pending = [Pending(number, task, NOW, ()) for number, task in enumerate(tasks)][first : first + 4 + first]
        async with short.registry.all_locked():
            short.accept(pending)
        await put(long, pending)
    running = [start(record, NOW + 1) for record in short.pending.first(claimed)]
    short.start(running)
    await put(long, running)
    finished = [end(record, SUCCEEDED, NOW + 2) for record in running[:ended]]
    async with short.registry.all_locked():
        short.end(finished)
    await put(long, finished)
    assert everything(short) == everything(long)
    assert told[short] == told[long]


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_is_claimed_and_finished_at_once_is_so_as_ever(at_once: bool) -> None:
    told: list[Record] = []
    store = LocalStore(now=lambda: NOW, tag=1)
    store.watch(Watcher(told.extend))
    await store.submit([Task(f"task-{number}", priority=number % 2) for number in range(6)])
    claimed = store.claim_nowait(4) if at_once else await store.claim(4)
    ended = [(running, SUCCEEDED) for running in claimed]
    finished = store.finish_nowait(ended) if at_once else await store.finish(ended)
    assert finished is not None
    assert [record.task.name for record in claimed] == ["task-1", "task-3", "task-5", "task-0"]
    assert told[6:] == [*claimed, *finished]
    assert [record.outcome for record in finished if isinstance(record, Finished)] == [Outcome.SUCCEEDED] * 4
    assert [record.task.name for record in (await store.page(PageRequest())).records] == [
        *("task-2", "task-4"),
        *("task-0", "task-5", "task-3", "task-1"),
    ]


async def test_what_is_to_be_decided_about_is_not_finished_at_once() -> None:
    store = LocalStore()
    await store.submit([Task("failed", retries=1), Task("followed")])
    failed, followed = store.claim_nowait(2)
    await store.submit([Task("followed", on_conflict="latest")])
    assert store.finish_nowait([(failed, Ending(Outcome.FAILED))]) is None
    assert store.finish_nowait([(followed, SUCCEEDED)]) is None
    assert store.statistics().running == 2


async def test_a_start_that_has_to_be_durable_is_not_made_at_once() -> None:
    """Nor any behind it: that would not be the start order."""
    store = LocalStore(journal=FakeJournal(), ends_with_us={"sleep"})
    await store.submit([Task("a"), Task("b"), Task("once", on_crash="fail"), Task("c")])
    assert [record.task.name for record in store.claim_nowait(4)] == ["a", "b"]
    assert store.claim_nowait(4) == []
    assert [record.task.name for record in await store.claim(4)] == ["once", "c"]


async def test_a_start_is_durable_when_the_work_may_outlive_the_process() -> None:
    journal = FakeJournal()
    store = LocalStore(journal=journal, ends_with_us={"sleep"})
    await store.submit([Task("a"), Task("b", handler="backup")])
    await store.claim(1)
    await store.claim(1)
    assert [record.task.name for record in journal.written if isinstance(record, Running)] == ["b"]


async def test_a_start_is_as_durable_as_the_task_that_supersedes_it() -> None:
    journal = FakeJournal()
    store = LocalStore(journal=journal, ends_with_us={"sleep"})
    await store.submit([Task("a")])
    [running] = await store.claim(1)
    assert running not in journal.written
    await store.submit([Task("a", on_conflict="supersede")])
    assert journal.written.index(running) == len(journal.written) - 2


async def test_a_task_that_is_about_to_change_is_not_claimed_at_once() -> None:
    journal = FakeJournal()
    store = LocalStore(journal=journal, ends_with_us={"sleep"})
    await store.submit([Task("a", duration=1)])
    claimed: list[Running] = []
    journal.on_write = lambda _: claimed.extend(store.claim_nowait(1))
    await store.submit([Task("a", duration=2, on_conflict="latest")])
    assert claimed == []
    [running] = store.claim_nowait(1)
    assert running.task.duration == 2


def test_a_short_row_says_what_the_long_one_does() -> None:
    waiting = Pending(1, Task("a", params={"x": 1}), NOW, ())
    finished = end(start(waiting, NOW + 1), Ending(Outcome.FAILED, "no", retryable=False, result=b"1"), NOW + 2)
    cancelled = end(waiting, Ending(Outcome.CANCELLED), NOW + 2)
    for record, short, columns in (
        (waiting, to_waiting_row(waiting), WAITING_COLUMNS),
        (finished, to_ended_row(finished), ENDED_COLUMNS),
        (cancelled, to_ended_row(cancelled), ENDED_COLUMNS),
    ):
        said = dict(zip(COLUMNS, to_row(record), strict=True))
        assert {name: value for name, value in said.items() if value is not None or name in columns} == dict(
            zip(columns, short, strict=True)
        )
