"""The location of a server's tasks, the errors if it cannot be used, and an operator's work with the file."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pexecutor import Pending, Task
from pexecutor.stores.sqlite.database import Database
from pexecutor.task import make_serial

from .conftest import Run, StartServer


@pytest.fixture
def file(data_dir: Path) -> Path:
    """A file that contains a task."""
    path = data_dir / "pexecutor.db"
    database = Database(path)
    tag = database.open().tag
    database.write([Pending(make_serial(tag, 1), Task("a", duration=5, priority=3), 0.5, ())], [], 1)
    database.close()
    return path


def test_it_says_where_tasks_are(start_server: StartServer, data_dir: Path) -> None:
    server = start_server()
    assert server.announced() == f"its tasks are in {data_dir}/pexecutor.db"
    assert server.client.get("/readyz").json()["statistics"]["store"]["durable"] is True


def test_tasks_may_live_in_memory(start_server: StartServer, data_dir: Path) -> None:
    server = start_server("--store", "memory")
    assert server.announced() == "its tasks live in memory"
    assert server.client.get("/readyz").json()["statistics"]["store"]["durable"] is False
    assert not data_dir.exists()


def test_without_a_directory_it_is_the_users(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEXECUTOR_DATA_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert f"there is no file {tmp_path}/share/pexecutor/pexecutor.db" in run("db", "check").stderr


def overwrite(path: Path) -> None:
    path.write_bytes(b"this is no database at all, " * 100)


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version = 99")


def need_a_handler(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute('UPDATE tasks SET task = \'{"name":"a","handler":"backup"}\'')


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (
            overwrite,
            "is damaged (file is not a database): run `pexecutor db check` for details, `pexecutor db export`",
        ),
        (make_newer, "was written by a newer pexecutor"),
        (need_a_handler, "the handler `backup` is not declared and 1 stored task needs it"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_exit_1(
    run: Run, file: Path, break_it: Callable[[Path], None], complaint: str
) -> None:
    break_it(file)
    before = file.read_bytes()
    result = run("-port", "0", "--log-level", "error")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert complaint in result.stderr
    assert break_it is need_a_handler or file.read_bytes() == before


def test_a_task_without_a_handler_may_fail_instead(start_server: StartServer, file: Path) -> None:
    need_a_handler(file)
    server = start_server("--unknown-handlers", "fail")
    [task] = server.client.get("/tasks").json()
    record = server.client.get(f"/tasks/{task['id']}?wait=10").json()
    assert (record["outcome"], record["error"]) == ("failed", "the handler `backup` no longer exists")


class TestDb:
    def test_check(self, run: Run, file: Path) -> None:
        assert run("db", "check") == (0, f"{file}: 1 in flight, 0 finished\n", "")

    def test_check_of_a_damaged_file(self, run: Run, file: Path) -> None:
        with closing(sqlite3.connect(file)) as opened, opened:
            opened.execute("UPDATE tasks SET task = '{}'")
        result = run("db", "check")
        assert (result.returncode, result.stdout) == (1, f"{file}: 0 in flight, 0 finished\n")
        assert "is required" in result.stderr
        assert result.stderr.endswith(
            "pexecutor: the file is damaged: `pexecutor db export` saves the tasks that can be read\n"
        )

    def test_an_export_can_be_submitted_again(self, run: Run, file: Path, start_server: StartServer) -> None:
        result = run("db", "export")
        assert result == (0, '{"name":"a","duration":5,"priority":3}\n', "tasks in flight: 1\n")
        server = start_server("--store", "memory")
        reply = server.client.post("/tasks", content=result.stdout, headers={"Content-Type": "application/x-ndjson"})
        assert reply.json()["SubmittedTasks"] == 1

    def test_export_into_a_file(self, run: Run, file: Path, tmp_path: Path) -> None:
        assert run("db", "export", str(tmp_path / "tasks.ndjson")).stdout == ""
        assert (tmp_path / "tasks.ndjson").read_text() == '{"name":"a","duration":5,"priority":3}\n'

    def test_an_export_of_schedules_can_be_put_again(self, run: Run, start_server: StartServer) -> None:
        server = start_server()
        nightly = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "task": {"name": "dump", "retries": 2}}
        server.client.put("/schedules/nightly", json={**nightly, "paused": True}).raise_for_status()
        result = run("db", "export", "--kind", "schedules")
        assert (result.returncode, result.stderr) == (0, "schedules: 1\n")
        exported = json.loads(result.stdout)
        assert exported == {"name": "nightly", **nightly, "paused": True}
        del exported["name"]
        assert server.client.put("/schedules/nightly", json=exported).status_code == 200
        assert run("db", "export", "--kind", "answers") == (0, "", "answers: 0\n")

    def test_an_export_has_the_remembered_answers(self, run: Run, start_server: StartServer) -> None:
        server = start_server()
        reply = server.client.post("/tasks", json={"name": "keyed"}, headers={"Idempotency-Key": "k-1"})
        assert reply.status_code == 202
        [line] = run("db", "export", "--kind", "answers").stdout.splitlines()
        assert json.loads(line)["key"] == "k-1"
        assert json.loads(line)["tasks"] == [reply.json()["id"]]

    def test_a_backup_of_a_server_at_work_can_be_gone_on_with(
        self, run: Run, start_server: StartServer, data_dir: Path
    ) -> None:
        server = start_server()
        task_id = server.client.post("/tasks", json={"name": "a", "delay": 600_000}).json()["id"]
        assert run("db", "backup", str(data_dir / "restored" / "pexecutor.db")).returncode == 1, "no such directory"
        (data_dir / "restored").mkdir()
        assert run("db", "backup", str(data_dir / "restored" / "pexecutor.db")) == (0, "", "")
        restored = start_server("--data-dir", str(data_dir / "restored"))
        assert restored.client.get(f"/tasks/{task_id}").json()["name"] == "a"
        assert restored.client.post("/tasks", json={"name": "a"}).status_code == 409


def test_under_hypercorn_a_file_in_use_is_an_error_at_the_start(start_server: StartServer) -> None:
    server = start_server()
    command = [sys.executable, "-m", "hypercorn", "-k", "trio", "pexecutor.asgi:create_app()", "-b", "127.0.0.1:0"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert f"in use by the server with pid {server.pid}" in run.stderr
