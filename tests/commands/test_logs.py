"""``logs``: the output that is kept, and that which comes while the task runs."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from pexecutor.commands.logs import Stream
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
    assert run("logs", task_id) == (0, "about to fail\n", "")
    assert run("logs", task_id, "-f") == (0, "about to fail\n", "")
    assert run("logs", task_id, "--json").json == {"log": "about to fail\n", "log_bytes": 14}


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


class TestStream:
    """What is new of a stream whose end is all that is kept."""

    @pytest.mark.parametrize("seed", range(20))
    def test_the_pieces_come_to_the_whole(self, seed: int) -> None:
        chance = random.Random(seed)
        whole = "".join(chance.choices("aé€😀\n", k=100_000)).encode()
        tail, stream, told, place = Tail(), Stream(), "", 0
        while place < len(whole):
            size = chance.choice([1, 2, 3, 1000, 60_000])
            tail.append(whole[place : place + size])
            place = min(len(whole), place + size)
            text, lost = stream.news(tail.text(), tail.seen, ended=place == len(whole))
            told += text
            assert lost == 0
        assert len(told) >= 100_000 - told.count("\N{REPLACEMENT CHARACTER}") - 100
        assert told[:10_000] == whole.decode()[:10_000], "what is kept whole is told exactly"

    def test_what_is_lost_is_counted(self) -> None:
        tail, stream = Tail(), Stream()
        tail.append(b"a" * 10)
        assert stream.news(tail.text(), tail.seen, ended=False) == ("a" * 10, 0)
        tail.append(b"b" * 100_000)
        text, lost = stream.news(tail.text(), tail.seen, ended=False)
        assert (text, lost) == ("b" * 65536, 100_000 - 65536)
        assert stream.news(tail.text(), tail.seen, ended=True) == ("", 0)

    def test_bytes_that_are_no_text(self) -> None:
        tail, stream = Tail(), Stream()
        tail.append(b"a\xff\xfeb")
        assert stream.news(tail.text(), tail.seen, ended=False) == ("a��b", 0)
        tail.append(b"c\xe2\x82")
        assert stream.news(tail.text(), tail.seen, ended=False) == ("c", 0)
        tail.append(b"\xac")
        assert stream.news(tail.text(), tail.seen, ended=False) == ("€", 0)
        tail.append(b"\xe2")
        assert stream.news(tail.text(), tail.seen, ended=True) == ("�", 0)
