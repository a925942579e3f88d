"""Tests of logs with real commands: much output, a full disk, the death of the server, and two nodes.

The sizes are scaled down. With ``WHOLE_LOGS=1`` in the environment, each command prints 1 GiB, and the settings are the
defaults; that takes some minutes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL

import pytest

from pexecutor.config import DEFAULTS

from ..stores.valkey.server import valkey_server
from .conftest import StartServer
from .process import ServerProcess, eventually
from .test_full_disk import SmallDisk, disk

__all__ = ["disk"]

AT_FULL_SIZE = "WHOLE_LOGS" in os.environ
SHARE = 1 if AT_FULL_SIZE else 64
PRINTED_BYTES = 1024**3 // SHARE
LOG_BYTES_MAX = DEFAULTS.log_bytes_max // SHARE
LOGS_BYTES_MAX = DEFAULTS.logs_bytes_max // SHARE if AT_FULL_SIZE else 10 * LOG_BYTES_MAX
SETTLE_SECONDS = 600 if AT_FULL_SIZE else 60
MEMORY_BYTES_MAX = 64 * 1024 * 1024
"""How much the server may grow while a command prints."""

LINE = b"%015d\n"
LINE_BYTES = 16

PRINTER = f"""
import os, sys
number, count = 0, int(sys.argv[1]) // {LINE_BYTES}
while number < count:
    some = range(number, min(count, number + 4096))
    os.write(1, b"".join([b"%015d\\\\n" % one for one in some]))
    number = some.stop
"""

VARIETY = """
import os
os.write(1, "한국어 로그\\\\n".encode())
os.write(1, b"caf\\\\xe9 in Latin-1\\\\n")
for percent in range(0, 101, 10):
    os.write(1, b"\\\\r%3d%%" % percent)
os.write(1, b"\\\\n\\\\x1b[31mred\\\\x1b[0m\\\\nNUL \\\\0 NUL\\\\n")
os.write(1, b"no line end")
"""

LONG_LINE = """
import os, sys
for _ in range(int(sys.argv[1]) // 60000):
    os.write(1, "가나다라".encode() * 5000)
os.write(1, b"\\\\nend\\\\n")
"""

SILENT = "import time, sys\ntime.sleep(0)"


def settings(path: Path, **codes: str) -> str:
    """Write a file with a command for each program, and return its path."""
    tables = [
        f'[handlers.{name}]\ncommand = ["{sys.executable}", "-c", """{code}""", "{{size}}"]\n'
        for name, code in codes.items()
    ]
    path.write_text("".join(tables), encoding="utf-8")
    return str(path)


def bounds(log: int = LOG_BYTES_MAX, logs: int = LOGS_BYTES_MAX) -> dict[str, str]:
    return {"PEXECUTOR_LOG_BYTES_MAX": str(log), "PEXECUTOR_LOGS_BYTES_MAX": str(logs)}


@pytest.fixture
def start(start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StartServer:
    """Start a server with scaled bounds and the commands of this module."""
    monkeypatch.setenv("PEXECUTOR_LOG_BYTES_MAX", str(LOG_BYTES_MAX))
    monkeypatch.setenv("PEXECUTOR_LOGS_BYTES_MAX", str(LOGS_BYTES_MAX))
    file = settings(tmp_path / "settings.toml", much=PRINTER, variety=VARIETY, line=LONG_LINE, silent=SILENT)

    def start(*flags: str, **others: tuple[str, ...]) -> ServerProcess:
        return start_server("--config", file, *flags, **others)

    return start


def submit(server: ServerProcess, name: str, handler: str, size: int = 0) -> str:
    task = {"name": name, "handler": handler, "params": {"size": size}}
    reply = server.client.post("/tasks", json=task)
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def ended(server: ServerProcess, task_id: str) -> str:
    """Wait for the outcome of a task, and return it."""
    end = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end:
        record = server.client.get(f"/tasks/{task_id}?wait=20").json()
        if record["state"] == "finished":
            return str(record["outcome"])
    raise AssertionError("it did not end")


def log_of(server: ServerProcess, task_id: str, query: str = "", **headers: str) -> bytes:
    reply = server.client.get(f"/tasks/{task_id}/log{query}", headers=headers)
    assert reply.is_success, reply.text
    return reply.content


def size_of(directory: Path) -> int:
    """Return the size of the files in a directory; one that is just deleted counts nothing."""
    return sum(_size(file) for file in directory.glob("*"))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def watching(server: ServerProcess, directory: Path) -> Iterator[list[tuple[int, int]]]:
    """Note the size of the files and of the server's memory, in bytes, again and again."""
    seen: list[tuple[int, int]] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            resident = Path(f"/proc/{server.pid}/statm").read_text(encoding="ascii").split()[1]
            seen.append((size_of(directory), int(resident) * os.sysconf("SC_PAGE_SIZE")))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


class Followers(threading.Thread):
    """A client that follows a log."""

    def __init__(self, server: ServerProcess, task_id: str) -> None:
        super().__init__()
        self._server, self._path = server, f"/tasks/{task_id}/log?follow=true"
        self.received = 0
        self.first = b""
        self.last = b""

    def run(self) -> None:
        with self._server.client.stream("GET", self._path, timeout=SETTLE_SECONDS) as reply:
            for data in reply.iter_raw():
                self.received += len(data)
                self.first = self.first or data[:LINE_BYTES]
                self.last = (self.last + data)[-LINE_BYTES:]


def lines(begin: int, end: int) -> bytes:
    """Return what the printer prints between two places that are line ends."""
    return b"".join(LINE % number for number in range(begin // LINE_BYTES, end // LINE_BYTES))


def test_a_command_that_prints_much_keeps_its_beginning_and_its_end(start: StartServer, tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    server = start("--logs-dir", str(directory))
    ended(server, submit(server, "warm", "much", 1024))
    with watching(server, directory) as seen:
        task_id = submit(server, "much", "much", PRINTED_BYTES)
        followers = [Followers(server, task_id) for _ in range(2)]
        for follower in followers:
            follower.start()
        assert ended(server, task_id) == "succeeded"
        for follower in followers:
            follower.join()
    last = LINE % (PRINTED_BYTES // LINE_BYTES - 1)
    assert {(follower.first, follower.last) for follower in followers} == {(LINE % 0, last)}
    assert max(size for size, _ in seen) <= LOG_BYTES_MAX + 2048, "two logs, of which one is small"
    assert max(memory for _, memory in seen) - seen[0][1] < MEMORY_BYTES_MAX

    def part(requested: str) -> tuple[int, int]:
        reply = server.client.get(f"/tasks/{task_id}/log", headers={"Range": f"bytes={requested}"})
        assert reply.status_code == 206
        sent, _, total = reply.headers["content-range"].removeprefix("bytes ").partition("/")
        begin, end = map(int, sent.split("-"))
        assert int(total) == PRINTED_BYTES
        assert reply.content == lines(begin, end + 1)
        return begin, end + 1

    begin, gap_begin = part("0-")
    assert (begin, gap_begin > LOG_BYTES_MAX // 10 * 0.95) == (0, True)
    gap_end, end = part(f"{PRINTED_BYTES // 2 // LINE_BYTES * LINE_BYTES}-")
    assert end == PRINTED_BYTES
    assert end - gap_end >= (LOG_BYTES_MAX - LOG_BYTES_MAX // 10) // 2 * 0.95
    resumed = gap_end + (end - gap_end) // 2 // LINE_BYTES * LINE_BYTES
    assert part(f"{resumed}-") == (resumed, end)
    whole = log_of(server, task_id)
    assert whole.startswith(lines(0, gap_begin))
    assert whole.endswith(lines(gap_end, end))


def test_many_commands_that_print_much_stay_within_the_bound_on_all_logs(start: StartServer, tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    server = start("--logs-dir", str(directory), "--pool-size", "10")
    with watching(server, directory) as seen:
        tasks = [submit(server, f"much-{number}", "much", PRINTED_BYTES) for number in range(40)]
        assert {ended(server, task_id) for task_id in tasks} == {"succeeded"}
    assert max(size for size, _ in seen) <= LOGS_BYTES_MAX
    assert max(memory for _, memory in seen) - seen[0][1] < 2 * MEMORY_BYTES_MAX
    assert log_of(server, tasks[-1]).startswith(LINE % 0)


def test_bytes_of_every_kind(start: StartServer) -> None:
    server = start()
    task_id = submit(server, "variety", "variety")
    assert ended(server, task_id) == "succeeded"
    progress = b"".join(b"\r%3d%%" % percent for percent in range(0, 101, 10))
    printed = (
        "한국어 로그\n".encode() + b"caf\xe9 in Latin-1\n" + progress + b"\n\x1b[31mred\x1b[0m\nNUL \0 NUL\nno line end"
    )
    assert log_of(server, task_id) == printed
    rows = [json.loads(row) for row in log_of(server, task_id, Accept="application/x-ndjson").splitlines()]
    assert "".join(row["text"] for row in rows) == printed.decode(errors="replace")


def test_a_long_line_is_cut_between_characters(start: StartServer) -> None:
    server = start()
    task_id = submit(server, "line", "line", 100_000_000 // SHARE)
    assert ended(server, task_id) == "succeeded"
    beginning, marker, end = log_of(server, task_id).decode().split("\n", 2)
    assert set(beginning) == set("가나다라")
    assert marker.endswith("bytes of the output are not kept]")
    assert end.endswith("라\nend\n")


def test_a_full_disk_stops_no_task(start: StartServer, disk: SmallDisk) -> None:
    in_python = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
    serve = (sys.executable, "-m", "pexecutor", "-port", "0", "--log-format", "json")
    server = start("--logs-dir", str(disk.path / "logs"), command=("-c", in_python, *disk.within, *serve))
    disk.fill()
    tasks = [submit(server, f"much-{number}", "much", PRINTED_BYTES // 16) for number in range(4)]
    assert {ended(server, task_id) for task_id in tasks} == {"succeeded"}
    last = LINE % (PRINTED_BYTES // 16 // LINE_BYTES - 1)
    assert all(log_of(server, task_id).endswith(last) for task_id in tasks)
    assert "No space left on device" in server.log_text()
    disk.make_place()
    task_id = submit(server, "again", "much", 1024)
    ended(server, task_id)
    assert log_of(server, task_id) == lines(0, 1024)
    assert (disk.seen / "logs").is_dir()


def test_a_server_that_was_killed_leaves_a_log_that_can_be_read(start: StartServer, tmp_path: Path) -> None:
    server = start("--logs-dir", str(tmp_path / "logs"))
    done = submit(server, "done", "much", 1024)
    ended(server, done)
    cut_off = submit(server, "cut off", "much", 64 * 1024**3)
    eventually(lambda: len(log_of(server, cut_off)) > 1000)
    server.signal(SIGKILL)
    server.wait()
    again = start("--logs-dir", str(tmp_path / "logs"))
    assert log_of(again, done) == lines(0, 1024)
    assert again.client.get(f"/tasks/{cut_off}").json()["state"] in ("running", "finished", "pending")
    # The start was not written, so the attempt runs again, and its new log replaces the old one.
    eventually(lambda: log_of(again, cut_off, "?attempt=1").startswith(LINE % 0))
    again.client.delete(f"/tasks/{cut_off}")


def test_tasks_without_output_make_no_file(start: StartServer, tmp_path: Path) -> None:
    server = start("--logs-dir", str(tmp_path / "logs"))
    for number in range(3):
        task_id = submit(server, f"silent-{number}", "silent")
        assert ended(server, task_id) == "succeeded"
        assert log_of(server, task_id) == b""
    assert not (tmp_path / "logs").exists()


def test_a_node_without_the_log_names_the_node_that_has_it(start: StartServer, tmp_path: Path) -> None:
    with valkey_server(tmp_path / "valkey") as valkey:
        store = ("--store", f"valkey://127.0.0.1:{valkey.port}/0", "--data-dir", str(tmp_path / "data"))
        first, second = start(*store, "--durability", "none"), start(*store, "--durability", "none")
        task_id = submit(first, "much", "much", 1_000_000)
        ended(first, task_id)
        replies = [server.client.get(f"/tasks/{task_id}/log") for server in (first, second)]
        [own] = [reply for reply in replies if "pexecutor-log-node" not in reply.headers]
        [other] = [reply for reply in replies if "pexecutor-log-node" in reply.headers]
        nodes = {node["name"] for node in first.client.get("/nodes").json()}
        assert other.headers["pexecutor-log-node"] in nodes
        assert own.content.startswith(LINE % 0)
        assert other.content.endswith(LINE % (1_000_000 // LINE_BYTES - 1))
        assert len(other.content) < 70_000 < len(own.content)
