"""Tests of ``logs``: the output that is kept, and new output while the task runs."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pexecutor.cli.logs import Stream
from pexecutor.handlers.output import Tail

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
    assert run("logs", task_id, "--json").json == {"log": log, "log_bytes": len(log)}


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
    assert json.loads(out.splitlines()[-1]) == {"log": "step 1 of 1\n", "log_bytes": 12}


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


class TestStream:
    """The new part of an output stream of which only the end is kept."""

    @given(st.data())
    @settings(max_examples=200, deadline=None)
    def test_every_byte_that_is_kept_is_printed_once(self, data: st.DataObject) -> None:
        pieces = data.draw(
            st.lists(st.one_of(st.binary(max_size=20), st.text(max_size=9).map(str.encode)), max_size=12)
        )
        whole, tail, stream, printed = b"".join(pieces), Tail(16), Stream(), b""
        for number, piece in enumerate(pieces, 1):
            tail.append(piece)
            if number < len(pieces) and data.draw(st.booleans()):
                continue
            new, lost = stream.news(kept(tail), tail.seen, ended=number == len(pieces))
            printed += b"?" * lost + new
        assert len(printed) == len(whole)
        assert all(said in (ord("?"), byte) for said, byte in zip(printed, whole, strict=True))
        if len(whole) <= tail.bytes_max:
            assert printed == whole

    @given(st.lists(st.text(max_size=20).map(str.encode), max_size=12), st.integers(1, 7))
    def test_no_character_is_cut_between_two_looks(self, texts: list[bytes], size: int) -> None:
        whole = b"".join(texts)
        tail, stream = Tail(), Stream()
        for place in range(0, len(whole), size):
            tail.append(whole[place : place + size])
            new, lost = stream.news(kept(tail), tail.seen, ended=place + size >= len(whole))
            new.decode()
            assert lost == 0

    def test_what_is_lost_is_counted(self) -> None:
        tail, stream = Tail(), Stream()
        tail.append(b"a" * 10)
        assert stream.news(kept(tail), tail.seen, ended=False) == (b"a" * 10, 0)
        tail.append(b"b" * 100_000)
        new, lost = stream.news(kept(tail), tail.seen, ended=False)
        assert (new, lost) == (b"b" * 65536, 100_000 - 65536)
        assert stream.news(kept(tail), tail.seen, ended=True) == (b"", 0)

    def test_an_older_server_has_only_the_text(self) -> None:
        stream = Stream()
        assert stream.news("a\ufffd\n".encode(), 3, ended=True) == ("a\ufffd\n".encode(), 0)


def kept(tail: Tail) -> bytes:
    """Return the output that the command reads from a record."""
    text, encoded = tail.texts()
    return base64.b64decode(encoded) if encoded else text.encode()
