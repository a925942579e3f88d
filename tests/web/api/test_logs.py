"""Tests of `GET /tasks/{id}/log`: attempts, forms, ranges and followers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
import trio

from pexecutor import Context, Task
from pexecutor.handlers import Catalogue
from pexecutor.logs.attempt_log import AttemptLog
from pexecutor.logs.bounds import LogBounds
from pexecutor.logs.directory import KeptDirectory
from pexecutor.logs.files import LogFiles
from pexecutor.task import parse_task_id
from pexecutor.web.api.log_source import ELSEWHERE, LogSource

from ...fakes import Doing
from ..conftest import Served, ServeHere

NDJSON = {"Accept": "application/x-ndjson"}


class Printer:
    """A handler that prints what it is given, and ends when it is told to."""

    def __init__(self) -> None:
        self.to_print, self._printed = trio.open_memory_channel[bytes](100)

    async def print(self, context: Context, _: Task) -> None:
        context.log("begin")
        async for data in self._printed.clone():
            context.output.stdout.append(data)

    def end(self) -> None:
        self.to_print.close()


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
def serve(serve_here: ServeHere, tmp_path: Path) -> Serve:
    """Serve with log files in a directory of the test."""

    async def start(handler: Any, *, log_bytes_max: int = 10_000_000, node: str = "", **settings: Any) -> Served:
        logs = LogFiles(KeptDirectory(tmp_path / "logs"), LogBounds(log_bytes_max), node=node)
        return await serve_here(catalogue=Catalogue({"sleep": Doing(handler)}), logs=logs, **settings)

    return start


async def submitted(served: Served, *, ended: bool = True, **fields: Any) -> str:
    """Submit a task and return the path of its log."""
    query = "?wait=20" if ended else ""
    reply = await served.client.post(f"/tasks{query}", json={"name": "a", **fields})
    assert reply.is_success, reply.text
    return f"/tasks/{reply.json()['id']}/log"


async def print_streams(context: Context, _: Task) -> None:
    context.output.stdout.append(b"one\n")
    context.output.stderr.append(b"caf\xe9\n")
    context.output.stdout.append(b"three\n")


async def print_nothing(_context: Context, _task: Task) -> None:
    pass


async def print_much(context: Context, _: Task) -> None:
    for number in range(20_000):
        context.output.stdout.append(b"%09d\n" % number)


async def test_the_bytes_are_sent_as_they_were_printed(serve: Serve) -> None:
    served = await serve(print_streams)
    reply = await served.client.get(await submitted(served))
    assert (reply.status_code, reply.content) == (200, b"one\ncaf\xe9\nthree\n")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["accept-ranges"] == "bytes"


async def test_lines_have_their_time_and_stream(serve: Serve) -> None:
    served = await serve(print_streams)
    reply = await served.client.get(await submitted(served), headers=NDJSON)
    rows = list(map(json.loads, reply.text.splitlines()))
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert [(row["offset"], row["stream"], row["text"]) for row in rows] == [
        *((0, "stdout", "one\n"), (4, "stderr", "caf\ufffd\n"), (9, "stdout", "three\n"))
    ]
    assert all(row["time"].endswith("Z") for row in rows)


async def test_a_task_without_output_has_an_empty_log(serve: Serve, tmp_path: Path) -> None:
    served = await serve(print_nothing)
    log = await submitted(served)
    for query in ("", "?follow=true", "?attempt=1"):
        reply = await served.client.get(log + query)
        assert (reply.status_code, reply.content) == (200, b"")
    assert not await trio.Path(tmp_path / "logs").exists()


async def test_a_task_that_waits_has_an_empty_log(serve: Serve) -> None:
    served = await serve(print_streams)
    reply = await served.client.get(await submitted(served, ended=False, delay=60_000))
    assert (reply.status_code, reply.content) == (200, b"")


async def test_head_sends_no_content(serve: Serve) -> None:
    served = await serve(print_streams)
    reply = await served.client.head(await submitted(served))
    assert (reply.status_code, reply.content) == (200, b"")


async def test_each_attempt_has_its_own_log(serve: Serve) -> None:
    async def fail(context: Context, _: Task) -> None:
        context.log(f"attempt {context.attempt}")
        if context.attempt < 3:
            raise RuntimeError("again")

    served = await serve(fail)
    log = await submitted(served, retries=2, retry_delay=0)
    for query, number in (("", 3), ("?attempt=1", 1), ("?attempt=2", 2), ("?attempt=3", 3)):
        assert (await served.client.get(log + query)).text.splitlines()[0] == f"attempt {number}"
    unknown = await served.client.get(f"{log}?attempt=4")
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")
    assert "has no attempt 4: it has had 3" in unknown.json()["detail"]


async def test_ranges_count_the_whole_output(serve: Serve) -> None:
    whole = b"".join(b"%09d\n" % number for number in range(20_000))
    served = await serve(print_much, log_bytes_max=100_000)
    log = await submitted(served)

    async def part(requested: str) -> tuple[int, int, bytes]:
        reply = await served.client.get(log, headers={"Range": f"bytes={requested}"})
        assert reply.status_code == 206
        sent, _, total = reply.headers["content-range"].removeprefix("bytes ").partition("/")
        begin, end = map(int, sent.split("-"))
        assert total == str(len(whole))
        assert reply.content == whole[begin : end + 1]
        return begin, end, reply.content

    assert (await part("3-5"))[:2] == (3, 5)
    begin, end, _ = await part("-100")
    assert (begin, end) == (len(whole) - 100, len(whole) - 1)
    _, head_end, head = await part("0-")
    assert head.endswith(b"\n")
    gap_begin, _, rest = await part(f"{head_end + 1}-")
    assert gap_begin > head_end + 1
    assert rest == whole[gap_begin:]
    assert (await part("100000-100009"))[:2] == (gap_begin, gap_begin + 9)
    behind = await served.client.get(log, headers={"Range": f"bytes={len(whole)}-"})
    assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{len(whole)}")

    marker = f"[pexecutor: {gap_begin - head_end - 1} bytes of the output are not kept]\n".encode()
    assert (await served.client.get(log)).content == head + marker + rest
    rows = [json.loads(row) for row in (await served.client.get(log, headers=NDJSON)).text.splitlines()]
    assert {"offset": head_end + 1, "missing_bytes": gap_begin - head_end - 1} in rows


async def test_without_files_the_end_of_the_output_is_sent(serve_here: ServeHere) -> None:
    async def print_both(context: Context, _: Task) -> None:
        context.output.stderr.append(b"err\n")
        context.output.stdout.append(b"x" * 100_000 + b"\nlast\n")

    served = await serve_here(handler=Doing(print_both))
    log = await submitted(served)
    assert (await served.client.get(log)).text == "[pexecutor: 100001 bytes of the output are not kept]\nlast\nerr\n"
    reply = await served.client.get(log, headers={"Range": "bytes=5-"})
    assert reply.headers["content-range"] == "bytes 100001-100009/100010"
    rows = [json.loads(row) for row in (await served.client.get(log, headers=NDJSON)).text.splitlines()]
    assert rows[1:] == [
        {"offset": 100_001, "stream": "stdout", "text": "last\n"},
        {"offset": 100_006, "stream": "stderr", "text": "err\n"},
    ]


async def test_a_node_that_does_not_have_the_log_names_the_one_that_has_it(serve: Serve) -> None:
    served = await serve(print_streams, node="host-1-a1b2c3")
    log = await submitted(served)
    assert "pexecutor-log-node" not in (await served.client.get(log)).headers
    [record] = await served.listing()
    logs, serial = served.executor.logs, parse_task_id(record["id"])
    assert logs is not None
    assert serial is not None
    logs.forget([serial])
    for headers in ({}, NDJSON):
        reply = await served.client.get(log, headers=headers)
        assert reply.headers["pexecutor-log-node"] == "host-1-a1b2c3"
    assert (await served.client.get(log)).content == b"one\nthree\ncaf\xe9\n"


@pytest.mark.parametrize("query", ["", "?follow=true"])
async def test_the_end_of_the_output_is_sent_if_the_files_cannot_be_read(
    serve: Serve, tmp_path: Path, query: str
) -> None:
    served = await serve(print_streams)
    log = await submitted(served)
    assert "pexecutor-log-reason" not in (await served.client.get(log)).headers
    await trio.Path(tmp_path / "logs").rename(tmp_path / "away")
    for headers in ({}, NDJSON):
        reply = await served.client.get(log + query, headers=headers)
        assert reply.headers["pexecutor-log-reason"].startswith("the files of this log cannot be read (No such file")
        assert "missing_bytes" not in reply.text
    assert (await served.client.get(log + query)).content == b"one\nthree\ncaf\xe9\n"


async def test_unreadable_files_of_an_earlier_attempt_are_a_gap_with_a_reason(serve: Serve, tmp_path: Path) -> None:
    served = await serve(print_and_fail)
    log = await submitted(served, retries=1, retry_delay=0)
    assert (await served.client.get(f"{log}?attempt=1")).content == b"one\n"
    await trio.Path(tmp_path / "logs").rename(tmp_path / "away")
    reply = await served.client.get(f"{log}?attempt=1")
    assert reply.content == b"[pexecutor: 4 bytes of the output are not kept]\n"
    assert "cannot be read" in reply.headers["pexecutor-log-reason"]


async def print_and_fail(context: Context, _: Task) -> None:
    context.output.stdout.append(b"one\n")
    raise ValueError


async def test_the_log_of_an_attempt_on_another_node_says_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    printer = Printer()
    served = await serve(printer.print, node="host-1-a1b2c3")
    log = await submitted(served, ended=False)
    await served.until(lambda now: now.busy == 1)
    assert "pexecutor-log-reason" not in (await served.client.get(log)).headers
    monkeypatch.setattr(served.executor, "context", lambda _: None)
    monkeypatch.setattr(LogSource, "find", lambda *_: None)  # as on a node that runs other tasks
    reply = await served.client.get(log)
    assert (reply.content, reply.headers["pexecutor-log-reason"]) == (b"", ELSEWHERE)
    printer.end()


async def test_metrics_show_the_logs(serve: Serve) -> None:
    served = await serve(print_much, log_bytes_max=20_000)
    await submitted(served)
    await submitted(served)
    lines = (await served.client.get("/metrics")).text.splitlines()
    shown = dict(line.rsplit(" ", 1) for line in lines if line.startswith("pexecutor_logs"))
    assert 20_000 < float(shown.pop("pexecutor_logs_bytes")) <= 40_000
    assert shown == {
        "pexecutor_logs": "2.0",
        "pexecutor_logs_trimmed_total": "2.0",
        "pexecutor_logs_removed_total": "0.0",
        "pexecutor_logs_given_up_total": "0.0",
    }


class Follower:
    """What a follower has received of a log."""

    def __init__(self) -> None:
        self.received = b""
        self.reply: httpx2.Response | None = None

    async def follow(self, served: Served, path: str, **headers: str) -> None:
        async with served.client.stream("GET", f"{path}?follow=true", headers=headers) as reply:
            self.reply = reply
            async for data in reply.aiter_raw():
                self.received += data

    async def until(self, data: bytes) -> None:
        with trio.fail_after(10):
            while not self.received.endswith(data):  # noqa: ASYNC110  (a client has no event)
                await trio.sleep(0.001)


async def test_two_followers_get_everything_until_the_attempt_ends(serve: Serve, nursery: trio.Nursery) -> None:
    printer = Printer()
    served = await serve(printer.print)
    log = await submitted(served, ended=False)
    first, second = Follower(), Follower()
    with trio.fail_after(20):
        async with trio.open_nursery() as following:
            following.start_soon(first.follow, served, log)
            await first.until(b"begin\n")
            await printer.to_print.send(b"one\n")
            await first.until(b"one\n")
            following.start_soon(second.follow, served, log)
            await second.until(b"begin\none\n")
            await printer.to_print.send(b"no line end")
            for follower in (first, second):
                await follower.until(b"no line end")
            printer.end()
    assert first.received == second.received == b"begin\none\nno line end"


async def test_a_follower_that_comes_before_the_attempt_waits_for_it(serve: Serve) -> None:
    served = await serve(print_streams)
    log = await submitted(served, ended=False, delay=300)
    follower = Follower()
    with trio.fail_after(20):
        await follower.follow(served, log)
    assert follower.received == b"one\ncaf\xe9\nthree\n"


class Followed(NamedTuple):
    """A log that is followed while its attempt runs; the follower has received the first line."""

    path: str
    follower: Follower
    files: LogFiles
    log: AttemptLog


@asynccontextmanager
async def followed(served: Served) -> AsyncIterator[Followed]:
    """Submit a task that prints, and follow it until the log ends."""
    path = await submitted(served, ended=False)
    follower = Follower()
    with trio.fail_after(20):
        async with trio.open_nursery() as following:
            following.start_soon(follower.follow, served, path)
            await follower.until(b"begin\n")
            files = served.executor.logs
            assert files is not None
            [log] = files.writing.values()
            yield Followed(path, follower, files, log)


async def test_a_followed_log_that_is_given_up_ends_with_what_is_missing(serve: Serve) -> None:
    printer = Printer()
    served = await serve(printer.print)
    async with followed(served) as it:
        it.files.give_up(it.log, "a test")
        await printer.to_print.send(b"the end\n")
        printer.end()
    assert it.follower.received == b"begin\n[pexecutor: 8 bytes of the output are not kept]\n"
    assert (await served.client.get(it.path)).text == "the end\nbegin\n"


async def test_a_followed_log_whose_record_goes_ends_with_what_is_missing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_record(*_: object) -> None:
        return None

    printer = Printer()
    served = await serve(printer.print)
    async with followed(served) as it:
        it.log.take(0.0, 0, b"the end\n")  # the follower reads it only after a pause
        monkeypatch.setattr(LogSource, "latest", no_record)
        it.files.forget([it.log.serial])
    assert it.follower.received == b"begin\n[pexecutor: 8 bytes of the output are not kept]\n"
    printer.end()


async def test_a_follower_gets_the_head_of_the_reply_before_there_is_any_output(serve: Serve) -> None:
    served = await serve(print_streams)
    log = await submitted(served, ended=False, delay=60_000)
    with trio.fail_after(10):
        async with served.client.stream("GET", f"{log}?follow=true") as reply:
            assert reply.status_code == 200


async def test_no_more_followers_than_the_limit(serve: Serve) -> None:
    printer = Printer()
    served = await serve(printer.print, event_streams_max=1)
    log = await submitted(served, ended=False)
    async with served.client.stream("GET", f"{log}?follow=true"):
        refused = await served.client.get(f"{log}?follow=true")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert (await served.client.get(log)).text == "begin\n"
    printer.end()
