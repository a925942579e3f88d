"""Reloads of real processes, for each way to launch a server: under load, and with a token that is removed."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from pexecutor.access import hash_token

from .conftest import is_ready, kill_group, launch_on_free_port
from .process import WAIT_SECONDS_MAX, eventually

RELOADS: Final = int(os.environ.get("RELOADS_UNDER_LOAD", "20"))
"""How many reloads there are under load. The variable must not begin with ``PEXECUTOR_``: it would be a setting."""

REVOKED_SECONDS_MAX: Final = 1.0

TOKENS: Final = {name: f"pex_{name:x<43}" for name in ("ops", "leaver", "spare")}

LAUNCHES: Final = ("pexecutor", "fast", "hypercorn")


class Server:
    """A server process with its settings file, which the test rewrites."""

    def __init__(self, launch: str, folder: Path, stack: ExitStack) -> None:
        self._file = folder / "settings.toml"
        self._first = 'server = "fast"\n' if launch == "fast" else ""
        self._log = folder / "log"
        self.write()
        self.process, self.url = launch_on_free_port(
            "hypercorn" if launch == "hypercorn" else "pexecutor", self._file, folder / "data", self._log
        )
        stack.callback(kill_group, self.process)
        self.client = stack.enter_context(self.new_client("ops"))
        eventually(lambda: is_ready(self.client))
        self.served_by = _worker_of(self.process.pid) if launch == "hypercorn" else self.process.pid

    def new_client(self, token: str | None) -> httpx2.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {TOKENS[token]}"}
        return httpx2.Client(base_url=self.url, timeout=WAIT_SECONDS_MAX, verify=False, headers=headers)

    def write(self, *tokens: str, pool_size: int = 4, more: str = "") -> None:
        text = (
            f'{self._first}pool_size = {pool_size}\nlog_format = "json"\n[handlers.nap]\ncommand = ["sleep", "600"]\n'
        )
        for name in ("ops", *tokens):
            text += f'[tokens.{name}]\nsha256 = "{hash_token(TOKENS[name])}"\nscope = "admin"\n'
        temporary = self._file.with_suffix(".new")
        temporary.write_text(text + more)
        temporary.replace(self._file)

    def reload(self) -> dict[str, Any]:
        reply = self.client.post("/reload")
        assert reply.status_code == 200, reply.text
        result: dict[str, Any] = reply.json()
        return result

    def lines(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def hang_up(self) -> dict[str, Any]:
        """Send SIGHUP to the process that serves; return the log line about the reload."""

        def reported() -> list[dict[str, Any]]:
            """Return the lines about reloads by a signal; the log is written in the background."""
            lines = [*self.lines("settings reloaded"), *self.lines("settings not reloaded")]
            return sorted((line for line in lines if "request_id" not in line), key=lambda line: line["timestamp"])

        before = len(reported())
        os.kill(self.served_by, signal.SIGHUP)
        eventually(lambda: len(reported()) > before)
        return reported()[-1]


def _worker_of(parent: int) -> int:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    [worker] = [one for one in children if "spawn_main" in Path(f"/proc/{one}/cmdline").read_text()]
    return int(worker)


@pytest.fixture(scope="module", params=LAUNCHES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ExitStack() as stack:
        yield Server(request.param, tmp_path_factory.mktemp("reload"), stack)


class Submitter(threading.Thread):
    """Submits tasks one after the other on one connection, and counts the statuses of the replies."""

    def __init__(self, client: httpx2.Client, name: str, stopping: threading.Event) -> None:
        super().__init__()
        self._client, self._name, self._stopping = client, name, stopping
        self.statuses: list[int | str] = []

    def run(self) -> None:
        while not self._stopping.is_set():
            task = {"name": f"{self._name}-{len(self.statuses)}", "duration": 1}
            try:
                self.statuses.append(self._client.post("/tasks", json=task).status_code)
            except httpx2.TransportError as error:
                self.statuses.append(repr(error))
            time.sleep(0.002)


def test_reloads_under_load_refuse_no_request_and_touch_no_task(server: Server) -> None:
    naps = [server.client.post("/tasks", json={"name": f"nap-{n}", "handler": "nap"}).json()["id"] for n in range(2)]
    eventually(lambda: len(server.client.get("/tasks/running").json()) == 2)
    stopping = threading.Event()
    with ExitStack() as stack:
        clients = [stack.enter_context(server.new_client("ops")) for _ in range(3)]
        submitters = [Submitter(client, f"s{n}", stopping) for n, client in enumerate(clients)]
        for submitter in submitters:
            submitter.start()
            stack.callback(submitter.join)
        stack.callback(stopping.set)
        for number in range(RELOADS):
            odd = number % 2 == 1
            more = f'[handlers.h{number}]\ncommand = ["true"]\n'
            server.write(*(["spare"] if odd else []), pool_size=6 if odd else 3, more=more)
            changed = server.hang_up()["changed"] if odd else [one["setting"] for one in server.reload()["changed"]]
            assert "pool_size" in changed
    statuses = [status for submitter in submitters for status in submitter.statuses]
    assert set(statuses) == {202}
    assert len(statuses) > RELOADS
    for task_id in naps:
        record = server.client.get(f"/tasks/{task_id}").json()
        assert (record["state"], record["attempts"]) == ("running", [])
        server.client.delete(f"/tasks/{task_id}")
    eventually(lambda: all(not server.client.get(f"/tasks/{state}").json() for state in ("running", "pending")))
    finished = server.client.get("/readyz").json()["statistics"]["store"]["finished"]
    assert (finished["succeeded"], finished["cancelled"]) == (len(statuses), 2)


def test_a_signal_with_a_broken_file_is_one_line_and_changes_nothing(server: Server) -> None:
    server.write()
    server.reload()
    server.write(pool_size=9, more="port = = 1\n")
    line = server.hang_up()
    assert (line["level"], line["event"]) == ("error", "settings not reloaded")
    assert "is not valid TOML" in line["reason"]
    assert "at line " in line["reason"]
    assert server.client.get("/readyz").json()["statistics"]["pool_size"] == 4


@contextmanager
def reading(client: httpx2.Client, path: str) -> Iterator[Callable[[], float]]:
    """Open a stream, and read it in a thread; yield a function that waits for its end, and returns when it came."""
    ended: list[float] = []

    def read(parts: Iterator[bytes]) -> None:
        try:
            for _ in parts:
                pass
        except httpx2.TransportError:  # cut off
            pass
        ended.append(time.monotonic())

    with client.stream("GET", path) as reply:
        assert reply.status_code == 200
        thread = threading.Thread(target=read, args=[reply.iter_raw()])
        thread.start()
        yield lambda: eventually(lambda: ended)[0]
        thread.join()


@pytest.mark.parametrize("how", ["SIGHUP", "POST"])
def test_a_removed_token_is_refused_within_a_second(server: Server, how: str) -> None:
    server.write("leaver")
    server.reload()
    nap = server.client.post("/tasks", json={"name": "nap", "handler": "nap"}).json()["id"]
    eventually(lambda: server.client.get("/tasks/running").json())
    with ExitStack() as stack:
        kept, *streamers = [stack.enter_context(server.new_client("leaver")) for _ in range(3)]
        signed_in = stack.enter_context(server.new_client(None))
        assert signed_in.post("/session", json={"token": TOKENS["leaver"]}).status_code == 204
        assert [client.get("/tasks").status_code for client in (kept, signed_in)] == [200, 200]
        paths = ("/events", f"/tasks/{nap}/log?follow=true")
        streams = [stack.enter_context(reading(client, path)) for client, path in zip(streamers, paths, strict=True)]
        server.write()
        began = time.monotonic()
        if how == "SIGHUP":
            server.hang_up()
        else:
            server.reload()
        assert [client.get("/tasks").status_code for client in (kept, signed_in)] == [401, 401]
        assert kept.post("/tasks", json={"name": "a"}).status_code == 401
        ends = [ended() - began for ended in streams]
        assert max(ends) < REVOKED_SECONDS_MAX
    server.client.delete(f"/tasks/{nap}")
    eventually(lambda: not server.client.get("/tasks/running").json())


TAKE_THE_TERMINAL: Final = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_sighup_reloads_until_the_terminal_is_closed_and_drains_then(tmp_path: Path) -> None:
    file, log = tmp_path / "settings.toml", tmp_path / "log"
    file.write_text('log_format = "json"\n')
    ours, theirs = pty.openpty()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", TAKE_THE_TERMINAL, "-m", "pexecutor", "--port", "0", "--config", str(file)],
            stdin=theirs,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    os.close(theirs)
    try:

        def events() -> list[str]:
            lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
            return [line["event"] + " " + line.get("signal", "") for line in lines]

        eventually(lambda: "serving " in events())
        process.send_signal(signal.SIGHUP)
        eventually(lambda: "settings reloaded " in events())
        os.close(ours)
        assert process.wait(WAIT_SECONDS_MAX) == 0
        assert events()[1:] == ["settings reloaded ", "signalled to stop SIGHUP", "draining ", "stopped "]
    finally:
        kill_group(process)
