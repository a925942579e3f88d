"""The file of a running server: the server refuses other names of the file, and notices when the file is removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import StartServer
from .process import eventually


def symbolic_link(path: Path, other: Path) -> None:
    other.symlink_to(path)


def hard_link(path: Path, other: Path) -> None:
    other.hardlink_to(path)


@pytest.mark.parametrize("link", [symbolic_link, hard_link])
def test_a_second_server_is_refused_under_another_name(
    start_server: StartServer, tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    path = tmp_path / "tasks.db"
    first = start_server("--store", f"sqlite:{path}")
    other = tmp_path / "other" / "tasks.db"
    other.parent.mkdir()
    link(path, other)
    with pytest.raises(AssertionError, match="is in use by"):
        start_server("--store", f"sqlite:{other}")
    assert first.client.post("/tasks", json=[{"name": "a"}]).json()["SubmittedTasks"] == 1


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_deleted_file_is_trouble_and_nothing_is_lost_in_it(
    start_server: StartServer, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / "tasks.db"
    server = start_server("--store", f"sqlite:{path}")
    assert server.client.post("/tasks", json={"name": "a", "delay": 600_000}).status_code == 202
    path.with_name(path.name + suffix).unlink()
    reply = server.client.post("/tasks", json={"name": "b"})
    assert reply.status_code == 503
    assert f"tasks.db{suffix} was deleted or moved away while the server was using it: " in reply.json()["detail"]
    eventually(lambda: server.client.get("/readyz").status_code == 503)
    assert [event["event"] for event in server.log_events()].count("submits are refused") == 1


def test_it_is_missed_without_a_submit(start_server: StartServer, tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    server = start_server("--store", f"sqlite:{path}")
    path.unlink()
    eventually(lambda: server.client.get("/readyz").status_code == 503)
    assert "was deleted" in server.client.get("/readyz").json()["statistics"]["store"]["trouble"]
