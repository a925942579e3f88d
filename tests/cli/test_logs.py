"""Tests of ``logs``: the whole output, and new output while the task runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pexecutor.cli.logs import AttemptReader, Stamped
from pexecutor.client.log_stream import LogRow, LogStream
from pexecutor.errors import UnreachableError

from ..server.process import ServerProcess, eventually
from .conftest import SECONDS_MAX, Run, take_step
from .test_waiting import started


def test_each_stream_goes_where_it_belongs(run: Run) -> None:
    code = "import sys; print('to out'); print('to err', file=sys.stderr)"
    run("submit", "both", "--handler", "speak", f"code={code}", "--wait")
    assert run("logs", "both") == (0, "to out\n", "to err\n")


def test_what_a_function_logged(run: Run) -> None:
    task_id = run("submit", "failed", "--handler", "fails", "--wait").fields[0][0]
    status, log, err = run("logs", task_id)
    assert (status, err) == (0, "")
    assert log.startswith("about to fail\nTraceback (most recent call last):\n")
    assert log.endswith("RuntimeError: because\n")
    assert run("logs", task_id, "-f") == (0, log, "")
    lines = list(map(json.loads, run("logs", task_id, "--json").out.splitlines()))
    assert "".join(line["text"] for line in lines) == log
    assert {line["stream"] for line in lines} == {"log"}


def test_each_line_with_its_time_and_stream(run: Run) -> None:
    code = "import sys; print('to out', flush=True); print('to err', file=sys.stderr)"
    task_id = run("submit", "stamped", "--handler", "speak", f"code={code}", "--wait").fields[0][0]
    status, out, err = run("logs", task_id, "--timestamps")
    assert (status, err) == (0, "")
    assert sorted(line.partition(" ")[2] for line in out.splitlines()) == ["stderr to err", "stdout to out"]
    assert all(line.partition(" ")[0].endswith("Z") for line in out.splitlines())


def test_an_attempt_is_chosen_by_its_number(run: Run) -> None:
    task_id = run("submit", "thrice", "--handler", "fails", "--retries", "1", "--retry-delay", "0", "--wait").fields[0][
        0
    ]
    first, second = (run("logs", task_id, "--attempt", number) for number in "12")
    assert (first.status, first.out) == (0, second.out)
    assert first.out.startswith("about to fail")
    status, out, err = run("logs", task_id, "--attempt", "3")
    assert (status, out) == (10, "")
    assert "has no attempt 3: it has had 2" in err


def test_nothing_is_nothing(run: Run) -> None:
    run("submit", "silent", "--wait")
    assert run("logs", "silent") == (0, "", "")
    assert run("logs", "silent", "--json") == (0, "", "")
    assert run("logs", "nobody").status == 10


def test_a_running_task_is_followed(server: ServerProcess, run: Run, steps_file: Path) -> None:
    run("submit", "walk", "--handler", "steps", f"file={steps_file}", "steps=3")
    take_step(steps_file)
    eventually(lambda: run("logs", "walk").out == "step 1 of 3\n")
    with started("logs", "-f", "walk", url=server.url) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "step 1 of 3\n"
        take_step(steps_file)
        assert following.stdout.readline() == "step 2 of 3\n"
        take_step(steps_file)
        out, err = following.communicate(timeout=SECONDS_MAX)
    assert (following.returncode, out, err) == (0, "step 3 of 3\n", "")


def test_it_is_followed_as_json(server: ServerProcess, run: Run, steps_file: Path) -> None:
    run("submit", "walk-2", "--handler", "steps", f"file={steps_file}", "steps=1")
    with started("logs", "--follow", "walk-2", "--json", url=server.url) as following:
        take_step(steps_file)
        out, _ = following.communicate(timeout=SECONDS_MAX)
    row = json.loads(out.splitlines()[-1])
    assert (row["offset"], row["stream"], row["text"]) == (0, "log", "step 1 of 1\n")


def test_each_attempt_is_told_from_its_start(server: ServerProcess, run: Run, tmp_path: Path) -> None:
    code = f"""
import pathlib, sys, time
marker = pathlib.Path({str(tmp_path / "marker")!r})
first = not marker.exists()
marker.touch()
print("first try" if first else "second", flush=True)
gate = pathlib.Path({str(tmp_path / "gate")!r})
while first and not gate.exists():
    time.sleep(0.01)
sys.exit(first)
"""
    run("submit", "again", "--handler", "speak", f"code={code}", "--retries", "1", "--retry-delay", "0")
    with started("logs", "-f", "again", url=server.url) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "first try\n"
        (tmp_path / "gate").touch()
        out, _ = following.communicate(timeout=SECONDS_MAX)
    assert out == "second\n"


BYTES = bytes(range(256)) + "h\u00e9 \u20ac \U0001f600\r\n".encode() + b"\xff\xfe last line without an end"


def test_bytes_are_printed_as_they_are(server: ServerProcess, run: Run) -> None:
    code = f"import sys; sys.stdout.buffer.write({BYTES!r}); sys.stderr.buffer.write({BYTES[::-1]!r})"
    run("submit", "bytes", "--handler", "speak", f"code={code}", "--wait")
    with started("logs", "bytes", url=server.url, text=False) as printing:
        assert printing.communicate(timeout=SECONDS_MAX) == (BYTES, BYTES[::-1])


def test_a_running_task_that_prints_bytes_is_followed(server: ServerProcess, run: Run, tmp_path: Path) -> None:
    code = f"""
import os, pathlib, time
for number in range(1, 4):
    os.write(1, b"line %d caf\\xe9 \\xe2" % number)
    while not pathlib.Path({str(tmp_path)!r}, str(number)).exists():
        time.sleep(0.01)
    os.write(1, b"\\x82\\xac\\n")
"""
    run("submit", "latin", "--handler", "speak", f"code={code}")
    with started("logs", "-f", "latin", url=server.url, text=False) as following:
        assert following.stdout is not None
        for number in range(1, 4):
            (tmp_path / str(number)).touch()
            assert following.stdout.readline() == b"line %d caf\xe9 \xe2\x82\xac\n" % number
        assert following.communicate(timeout=SECONDS_MAX) == (b"", b"")


def row(offset: int, text: str, stream: str = "stdout", **others: Any) -> bytes:
    return msgspec.json.encode({"offset": offset, "stream": stream, "text": text, **others})


class FakeClient:
    """A client whose logs are given; an exception among the lines is raised there."""

    def __init__(self, *logs: list[bytes | Exception], node: str | None = None, reason: str | None = None) -> None:
        self._logs = list(logs)
        self._why = node, reason

    @contextmanager
    def log(self, task_id: str, *, attempt: int | None, follow: bool) -> Iterator[LogStream]:
        def lines() -> Iterator[bytes]:
            for line in self._logs.pop(0):
                if isinstance(line, Exception):
                    raise line
                yield line

        yield LogStream(lines(), *self._why)


def test_after_a_lost_connection_each_byte_is_printed_once() -> None:
    printed = []
    client: Any = FakeClient(
        [row(0, "one\n"), row(4, "tw"), UnreachableError("lost")],
        [row(0, "one\n"), row(4, "two\n"), row(8, "three\n")],
    )
    reader = AttemptReader(client, "1-1", 1, lambda _, data, __: printed.append(data))
    with pytest.raises(UnreachableError):
        reader.read(follow=True)
    reader.read(follow=True)
    assert printed == [b"one\n", b"tw", b"o\n", b"three\n"]


@pytest.mark.parametrize(
    ("why", "remark"),
    [
        ({"reason": "it runs\x1belsewhere"}, "pexecutor: it runs elsewhere\n"),
        ({"node": "n1", "reason": "x"}, "pexecutor: this is the end of the output; the node n1 has all of it\n"),
        ({}, ""),
    ],
)
def test_why_a_log_is_not_whole_is_reported_once(
    capfd: pytest.CaptureFixture[str], why: dict[str, str], remark: str
) -> None:
    client: Any = FakeClient([row(0, "one\n")], [row(4, "two\n")], **why)
    reader = AttemptReader(client, "1-1", 1, lambda *_: None)
    reader.read(follow=True)
    reader.read(follow=True)
    assert capfd.readouterr().err == remark


def test_a_gap_is_reported_once() -> None:
    printed = []
    gap = msgspec.json.encode({"offset": 4, "missing_bytes": 100})
    log: list[bytes | Exception] = [row(0, "one\n"), gap, row(104, "two\n")]
    client: Any = FakeClient(log, log)
    reader = AttemptReader(client, "1-1", 1, lambda row, data, _: printed.append(data or row.missing_bytes))
    reader.read(follow=True)
    reader.read(follow=True)
    assert printed == [b"one\n", 100, b"two\n"]


def test_a_line_that_another_stream_interrupts_is_printed_in_parts(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    stamped = Stamped()
    for data, stream in ((b"half", "stdout"), (b"warning\n", "stderr"), (b" line\n", "stdout")):
        stamped.print(LogRow(0, stream, time="T"), data, b"")
    stamped.print(LogRow(0, missing_bytes=7), b"", b"")
    out = capfdbinary.readouterr().out
    assert out == b"T stdout half\nT stderr warning\nT stdout  line\n- gap 7 bytes were not kept\n"
