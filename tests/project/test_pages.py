"""The commands, files, programs and sessions of the reference and the explanation work as the pages show."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

from pexecutor import load_catalogue
from pexecutor.config import load_config
from pexecutor.handlers import BUILT_IN
from pexecutor.notifications.settings import load_targets
from pexecutor.schedules.tables import load_tables
from pexecutor.web.api.hooks.hook import Hook

from ..stores.valkey.server import valkey_server
from .conftest import Launch, ServerProcess, clean_environment
from .markdown import normal
from .page import Page, page, pages
from .session import Session

HTTP = page("reference/http-by-example")
HANDLERS = page("reference/handlers")
HOOKS = page("reference/hooks")
NOTIFICATIONS = page("reference/notifications")
SETTINGS = page("reference/settings")
RUNNING = page("reference/running")
CLI = page("reference/cli")
STORES = page("reference/stores")
PYTHON = page("reference/python-api")
CLIENT = page("reference/python-client")
PYTEST = page("reference/pytest")
SCHEDULES = page("reference/schedules")
SECURITY = page("explanation/security")
MANY_MACHINES = page("explanation/many-machines")

LOOKED_AT: Final = {
    (HTTP.path, "console", "A session"),
    (HTTP.path, "text", "A session"),
    (HANDLERS.path, "toml", "Declare handlers"),
    (HANDLERS.path, "toml", "Defaults of a handler"),
    (HANDLERS.path, "python", "Declare handlers"),
    (HANDLERS.path, "sh", "Declare handlers"),
    (HANDLERS.path, "console", "Declare handlers"),
    (HOOKS.path, "toml", "Hooks"),
    (NOTIFICATIONS.path, "toml", "Notifications"),
    (SETTINGS.path, "toml", "Settings"),
    (SCHEDULES.path, "toml", "In the settings"),
    (SETTINGS.path, "sh", "Settings"),
    (RUNNING.path, "sh", "Hypercorn"),
    (RUNNING.path, "text", "A container"),  # the test machines have no container engine
    (CLI.path, "console", "Client commands"),
    (STORES.path, "console", "Check, save and restore a file"),
    (STORES.path, "console", "Test a store against its promises"),
    (STORES.path, "console", "Move tasks to another store"),
    (CLIENT.path, "python", "Python client"),
    (CLIENT.path, "text", "Python client"),
    (PYTEST.path, "python", "pytest plugin"),
    (PYTHON.path, "python", "An executor in your own Trio program"),
    (PYTHON.path, "text", "An executor in your own Trio program"),
    (SECURITY.path, "console", "Access"),
    (MANY_MACHINES.path, "sh", "Many machines"),
}
"""Each page, language and heading whose blocks a test below checks."""


@pytest.mark.parametrize("shown", pages("reference", "explanation"), ids=repr)
def test_every_block_is_looked_at(shown: Page) -> None:
    there_are = {(shown.path, block.language, block.heading) for block in shown.blocks}

    assert there_are == {place for place in LOOKED_AT if place[0] == shown.path}


def test_the_http_api_by_example(server: ServerProcess, tmp_path: Path) -> None:
    session = HTTP.find("console")

    Session(server, tmp_path).play(session)

    status, log = server.end()
    assert status == 0
    assert normal(HTTP.shown_after(session[-1])) == normal(log.splitlines()[-1])


@pytest.fixture
def working(launch: Launch, tmp_path: Path) -> ServerProcess:
    """The server of "Declare handlers"."""
    [declared] = HANDLERS.find("toml", "Declare handlers")
    (tmp_path / "pexecutor.toml").write_text(declared.text, encoding="utf-8")
    (tmp_path / "work.py").write_text(HANDLERS.only("python").text, encoding="utf-8")
    return launch(["bash", "-c", HANDLERS.only("sh").text], tmp_path, PEXECUTOR_PORT="0")


def test_handlers(working: ServerProcess, tmp_path: Path) -> None:
    Session(working, tmp_path).play(HANDLERS.find("console"))

    assert working.stop()[0] == 0


def test_defaults_of_a_handler() -> None:
    [shown] = HANDLERS.find("toml", "Defaults of a handler")
    declared = tomllib.loads(shown.text)["handlers"]
    handlers = load_catalogue(declared=declared, modules=(), environment={})

    assert {view.name: view.defaults.fields().keys() for view in handlers.describe()} == {
        "archive": {"timeout", "retries", "tags"},
        "sleep": {"priority"},
    }


def test_client_commands(working: ServerProcess, tmp_path: Path) -> None:
    Session(working, tmp_path).play(CLI.find("console"))

    assert working.end()[0] == 0


def test_access(launch: Launch, tmp_path: Path) -> None:
    [new_token, *requests] = SECURITY.find("console", "Access")
    command = new_token.text.splitlines()[0].removeprefix("$ ")
    made = subprocess.run(
        shlex.split(command), env=clean_environment(), stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    token, _, lines = made.stdout.partition("\n")
    (tmp_path / "pexecutor.toml").write_text(lines, encoding="utf-8")
    server = launch(["pexecutor", "--port", "0", "--config", "pexecutor.toml"], tmp_path)

    Session(server, tmp_path, TOKEN=token).play([new_token, *requests])


def test_stores(server: ServerProcess, tmp_path: Path) -> None:
    Session(server, tmp_path).play(STORES.find("console"))

    assert server.stop()[0] == 0


def test_settings_file(tmp_path: Path) -> None:
    text = SETTINGS.only("toml").text
    file = tmp_path / "pexecutor.toml"
    file.write_text(text, encoding="utf-8")

    config = load_config(file=file, environment={}, flags={})

    for name, value in tomllib.loads(text).items():
        assert getattr(config, name) == value


def test_schedules_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pexecutor.toml"
    file.write_text(SCHEDULES.only("toml").text, encoding="utf-8")
    config = load_config(file=file, environment={}, flags={})

    assert load_tables(config.schedules, BUILT_IN.check, 0.0).keys() == config.schedules.keys() == {"nightly", "check"}


def test_flags(launch: Launch) -> None:
    server = launch([*shlex.split(SETTINGS.only("sh").text), "--port", "0"])

    status, log = server.stop()

    assert status == 0
    assert '"pool_size": 8' in log
    assert '"queue_size": 200' in log


def test_under_hypercorn(launch: Launch) -> None:
    server = launch(shlex.split(RUNNING.only("sh").text.replace(":8080", ":0")))

    assert server.stop()[0] == 0


def test_many_machines(launch: Launch, tmp_path: Path) -> None:
    with valkey_server(tmp_path) as shared:
        command = MANY_MACHINES.only("sh").text.replace("valkey://queue.example.com:6379/0", shared.url)
        nodes = [launch([*shlex.split(command), "--port", "0"]) for _ in range(2)]

        assert [node.stop()[0] for node in nodes] == [0, 0]


def test_an_executor_in_a_program(tmp_path: Path) -> None:
    block = PYTHON.only("python")
    program = tmp_path / "program.py"
    program.write_text(block.text, encoding="utf-8")

    run = subprocess.run(
        [sys.executable, "-W", "error", str(program)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == PYTHON.shown_after(block)


def test_a_program_with_the_client(tmp_path: Path, launch: Launch) -> None:
    block = CLIENT.only("python")
    program = tmp_path / "program.py"
    program.write_text(block.text, encoding="utf-8")
    server = launch([sys.executable, "-m", "pexecutor", "--port", "0", "--store", "memory"])

    run = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        env={**clean_environment(), "PEXECUTOR_URL": server.announced},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == CLIENT.shown_after(block)
    server.stop()


def test_a_hook_of_the_page_can_be_used() -> None:
    for name, table in tomllib.loads(HOOKS.only("toml").text)["hooks"].items():
        Hook(name, table, {})


def test_notifications() -> None:
    assert load_targets(tomllib.loads(NOTIFICATIONS.only("toml").text)["notify"], [], {})
