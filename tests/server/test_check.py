"""``serve --check`` checks the settings as ``serve`` does, and touches neither a store nor a port."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from .conftest import Run, StartServer

VALID = """
[limits.disk]
concurrency = 2
per = "params.folder"

[handlers.pack]
command = ["true"]
limits = ["disk"]
concurrency = 1

[schedules.nightly]
cron = "0 3 * * *"
timezone = "Europe/Berlin"
task = {name = "pack", handler = "pack"}

[schedules.often]
every = 60000
start_at = 2030-01-31T08:00:00Z
task = {name = "often"}

[schedules.off]
every = 60000
paused = true
task = {name = "off"}

[hooks.deploy]
scheme = "github"
secret = "0123456789abcdef"
task = {name = "deploy", handler = "pack"}

[notify.ops]
url = "https://user:password@hooks.example.org/secret"
on = ["failed", "abandoned"]
"""

TOKEN = f'[tokens.ops]\nsha256 = "{"0" * 64}"\nscope = "admin"\n'


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory, which a check does not create."""
    return tmp_path / "data"


def test_it_prints_what_would_be_served(run: Run, settings: Path, data: Path) -> None:
    settings.write_text(VALID)
    result = run("--check", "--config", str(settings), "--data-dir", str(data), "-port", "8081")
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[:4] == [
        ["address", "http://127.0.0.1:8081"],
        ["store", f"tasks are in {data}/pexecutor.db"],
        ["pool", "5 tasks run at once, 1000 may be pending"],
        ["token", "none: every client on the loopback"],
    ]
    assert [line[:2] for line in lines[4:6]] == [["handler", "pack"], ["handler", "sleep"]]
    assert lines[6:8] == [
        ["limit", "limits.disk", "2 tasks run at once", "for each params.folder"],
        ["limit", "handlers.pack", "1 task runs at once"],
    ]
    nightly, often, off, hook, target = lines[8:]
    assert nightly[:3] == ["schedule", "nightly", "0 3 * * * Europe/Berlin"]
    assert len(nightly[3:]) == 5
    assert often[:5] == ["schedule", "often", "every 1 min", "2030-01-31T08:00:00.000Z", "2030-01-31T08:01:00.000Z"]
    assert off == ["schedule", "off", "every 1 min", "paused"]
    assert hook == ["hook", "deploy", "github", "submits to pack"]
    assert target == ["notify", "ops", "https://hooks.example.org", "on abandoned, failed"]  # the rest may be secret


def test_it_touches_no_store_and_no_port(run: Run, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run("serve", "--check", "-port", port, "--data-dir", str(data)).returncode == 0
        assert run("serve", "--check", "--store", f"valkey://127.0.0.1:{port}").returncode == 0
        taken.setblocking(False)
        with pytest.raises(BlockingIOError):
            taken.accept()
    assert not data.exists()


def test_it_does_not_disturb_a_server_with_the_same_settings(run: Run, start_server: StartServer) -> None:
    server = start_server()
    port = server.url.rpartition(":")[2]
    assert run("--check", "-port", port, "--data-dir", server.data_directory).returncode == 0
    assert server.client.post("/tasks", json={"name": "a"}).status_code == 202


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("pool_size = 0", []),
        ("pool_size = ", []),
        ("unknown = 1", []),
        ('log_level = "loud"', []),
        ('store = "elsewhere://x"', []),
        ('durability = "aof"', []),
        ("[handlers.pack]\ncomand = ['true']", []),
        ("", ["--handlers", "no_such_module"]),
        ('[schedules.often]\nevery = 1\ntask = {name = "a"}', []),
        ('[schedules.often]\nevery = 1000\ntask = {name = "a", handler = "gone"}', []),
        ("[limits.disk]\nconcurrency = 0", []),
        ('[handlers.sleep]\nlimits = ["disk"]', []),
        ("[handlers.sleep]\nretries = -1", []),
        ('[hooks.deploy]\nscheme = "github"\nsecret = "short"\ntask = {name = "a"}', []),
        ('[hooks.deploy]\nscheme = "github"\nsecret = "0123456789abcdef"\ntask = {name = "a", handler = "gone"}', []),
        ('[notify.ops]\nurl = "ftp://example.org"', []),
        ('[tokens.ops]\nscope = "admin"', []),
        (f"allow_anonymous = true\n{TOKEN}", []),
        ('tls_certfile = "missing.pem"', []),
        ('allowed_hosts = ["http://x"]', []),
        ("", ["-host", "0.0.0.0"]),
        ("", ["-host", "no-such-host.invalid"]),
    ],
)
def test_invalid_settings_are_refused_as_by_a_start(run: Run, settings: Path, text: str, flags: list[str]) -> None:
    settings.write_text(text)
    arguments = ["-port", "0", "--config", str(settings), *flags]
    result = run("--check", *arguments)
    assert result == run(*arguments)
    assert result.returncode in (1, 2)
    assert (result.stdout, result.stderr.count("\n")) == ("", 1)


def test_an_open_address_with_a_token_is_allowed(run: Run, settings: Path) -> None:
    settings.write_text(TOKEN)
    result = run("--check", "--config", str(settings), "-host", "0.0.0.0", "-port", "0")
    assert "address\thttp://0.0.0.0:0\tthe system chooses the port\n" in result.stdout
    assert "token\tops\tadmin\n" in result.stdout
