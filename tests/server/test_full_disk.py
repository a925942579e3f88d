"""Tests with a full disk: a file system of one mebibyte, in its own mount namespace."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

import pytest

from .conftest import StartServer
from .process import ServerProcess, eventually

MOUNT = 'mount -t tmpfs -o size=1m tmpfs "$0" && echo mounted && exec sleep 600'


class SmallDisk:
    """A disk of one mebibyte. ``path`` is its path inside the namespace, ``seen`` the path for the test."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        command = ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT, str(path)]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "mounted\n", "util-linux is needed, and namespaces that one may make"
        self.path = path
        self.seen = Path("/proc", str(self._holder.pid), "root", *path.parts[1:])

    @property
    def within(self) -> tuple[str, ...]:
        """The prefix of a command that sees the disk."""
        return ("nsenter", "--preserve-credentials", "--user", "--mount", "--target", str(self._holder.pid))

    def fill(self) -> None:
        """Fill the disk completely."""
        with (self.seen / "filler").open("ab", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(b"x" * 4096)

    def make_place(self) -> None:
        (self.seen / "filler").unlink()

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    disk.close()


def submit_until_refused(server: ServerProcess) -> tuple[list[str], str]:
    """Submit until the server refuses; return the names that were accepted and the reason for the refusal."""
    accepted: list[str] = []
    while True:
        name = f"task-{len(accepted)}"
        reply = server.client.post("/tasks", json={"name": name, "delay": 600_000, "params": {}, "keep": 1})
        if reply.status_code == 503:
            return accepted, str(reply.json()["detail"])
        assert reply.status_code == 202, reply.text
        accepted.append(name)


def test_nothing_is_forgotten_and_it_ends_by_itself(start_server: StartServer, disk: SmallDisk) -> None:
    in_python = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
    serve = (sys.executable, "-m", "pexecutor", "-port", "0", "--log-format", "json", "--data-dir", str(disk.path))
    server = start_server(command=("-c", in_python, *disk.within, *serve))
    quick = server.client.post("/tasks", json={"name": "quick", "duration": 700}).json()["id"]
    eventually(lambda: server.client.get(f"/tasks/{quick}").json()["state"] == "running")
    disk.fill()

    accepted, why = submit_until_refused(server)
    assert why == "the store cannot be written: the disk is full"
    ready = server.client.get("/readyz")
    assert (ready.status_code, ready.json()["detail"]) == (503, why)
    assert [record["name"] for record in server.client.get("/tasks?state=scheduled").json()] == accepted
    assert server.client.get(f"/tasks/{quick}?wait=1.5").json()["state"] == "running", "its outcome cannot be recorded"
    assert server.client.post("/tasks", json={"name": "quick"}).status_code == 409

    disk.make_place()
    eventually(lambda: server.client.get("/readyz").status_code == 200)
    assert server.client.get(f"/tasks/{quick}?wait=10").json()["outcome"] == "succeeded"
    assert server.client.post("/tasks", json={"name": f"task-{len(accepted)}", "delay": 600_000}).status_code == 202
    told = ["submits are refused", "the store can be written again"]
    logged = {"serving", "submitted"}
    eventually(lambda: [event["event"] for event in server.log_events() if event["event"] not in logged] == told)

    server.signal(SIGKILL)
    server.wait()
    server = start_server(command=("-c", in_python, *disk.within, *serve))
    names = [record["name"] for record in server.client.get("/tasks?state=scheduled").json()]
    assert names == [*accepted, f"task-{len(accepted)}"]
