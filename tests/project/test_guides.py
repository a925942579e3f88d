"""The tutorial and the how-to guides: the tests type their sessions, load their files, and account for every block."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import pytest

from pexecutor.access import Tokens
from pexecutor.config import load_config
from pexecutor.handlers import load_catalogue
from pexecutor.notifications.settings import load_targets
from pexecutor.web.api.hooks.hook import Hook

from ..stores.valkey.server import free_port, valkey_server
from .conftest import PROJECT, Launch, clean_environment
from .guides import DOCS, Guide, Kind, Part, guides, name_of, parts
from .test_deployments import CHECKED_EXAMPLES, parameters_of

PAGES: Final = guides()
PARTS: Final = [part for page in PAGES for part in parts(page)]

NEEDS_ROOT: Final = "needs root and a running systemd; test_deployments checks the units and runs their commands"
NEEDS_ENGINE: Final = "needs a container engine; test_dockerfile does what the image is told without one"
NEEDS_CLUSTER: Final = "needs a cluster; test_deployments checks the manifest and runs its command"
NEEDS_NAME: Final = "needs a public name and a certificate; tests/server runs the proxies' files on the loopback"
INSTALLS: Final = "downloads dependencies; test_readme installs from a copy of the project in the same way"

NOT_RUN: Final = {
    ("tutorial/nightly-dump", "python3 -m venv ~/pexecutor && ~/pexecutor/bin/pip install ."): INSTALLS,
    ("how-to/upgrade", "~/pexecutor/bin/pip install --upgrade ."): INSTALLS,
    ("how-to/systemd", "python3 -m venv /opt/pexecutor && /opt/pexecutor/bin/pip install ."): INSTALLS,
    ("how-to/systemd", "install -m 600 /dev/null /etc/pexecutor/environment"): NEEDS_ROOT,
    ("how-to/systemd", "systemctl daemon-reload"): NEEDS_ROOT,
    ("how-to/systemd", "journalctl --unit pexecutor --follow"): NEEDS_ROOT,
    (
        "how-to/systemd",
        "systemd-run --pipe --wait -p User=pexecutor -p EnvironmentFile=-/etc/pexecutor/environment \\",
    ): NEEDS_ROOT,
    ("how-to/systemd", "systemctl restart pexecutor"): NEEDS_ROOT,
    ("how-to/systemd", "systemctl stop pexecutor.socket pexecutor.service"): NEEDS_ROOT,
    ("how-to/systemd", "/opt/pexecutor/bin/pip install --upgrade . && systemctl restart pexecutor"): INSTALLS,
    ("how-to/systemd", "systemctl enable --now pexecutor-backup.timer"): NEEDS_ROOT,
    ("how-to/systemd", "systemctl enable --now pexecutor-dump.timer"): NEEDS_ROOT,
    ("how-to/reverse-proxy", "nginx -t && nginx -s reload"): NEEDS_NAME,
    ("how-to/reverse-proxy", "haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl reload haproxy"): NEEDS_NAME,
    ("how-to/reverse-proxy", "caddy reload --config /etc/caddy/Caddyfile"): NEEDS_NAME,
    (
        "how-to/reverse-proxy",
        "export PEXECUTOR_URL=https://tasks.example.org PEXECUTOR_TOKEN=pex_...",
    ): NEEDS_NAME,
    ("how-to/kubernetes", "kubectl create secret generic pexecutor --from-file=pexecutor.toml"): NEEDS_CLUSTER,
    ("how-to/kubernetes", "kubectl apply -f pexecutor.yaml"): NEEDS_CLUSTER,
    (
        "how-to/kubernetes",
        "kubectl create secret generic pexecutor --from-file=pexecutor.toml --dry-run=client -o yaml \\",
    ): NEEDS_CLUSTER,
    ("how-to/container", "docker build -t pexecutor ."): NEEDS_ENGINE,
    ("how-to/container", "docker run --rm pexecutor token new ci --scope submit"): NEEDS_ENGINE,
    (
        "how-to/container",
        "docker run -d --name pexecutor -p 8080:8080 --stop-timeout 45 --restart unless-stopped \\",
    ): NEEDS_ENGINE,
    ("how-to/container", "docker run -d --name pexecutor -p 127.0.0.1:8080:8080 --stop-timeout 45 \\"): NEEDS_ENGINE,
    ("how-to/container", "docker exec pexecutor pexecutor db check"): NEEDS_ENGINE,
}
"""Blocks that no test runs, by page and first line, with the reason."""


def of_kind(kind: Kind) -> list[Part]:
    return [part for part in PARTS if part.kind is kind]


def test_each_block_is_checked_or_says_why_not() -> None:
    not_run = {(part.page, part.text.splitlines()[0]) for part in of_kind(Kind.NOT_RUN)}

    assert not_run == set(NOT_RUN)


FOLLOWED: Final = [page for page in PAGES if any(part.kind is Kind.SERVER for part in parts(page))]


def test_each_page_with_a_session_starts_a_server() -> None:
    assert {part.page for part in of_kind(Kind.SESSION)} <= {name_of(page) for page in FOLLOWED}


@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
def test_a_reader_sees_what_the_page_shows(
    page: Path, tmp_path: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "pexecutor").symlink_to(sys.prefix)  # the folder into which the pages install
    monkeypatch.delenv("PEXECUTOR_DATA_DIR")  # the pages use the default folder, below the home directory
    ports = {8080: free_port()}
    with ExitStack() as stack:
        if ":6379" in page.read_text(encoding="utf-8"):
            ports[6379] = stack.enter_context(valkey_server(tmp_path / "valkey", "--appendonly", "yes")).port
        Guide(page, home, launch, ports).follow()


SETTINGS: Final = [*of_kind(Kind.SETTINGS), *(part for part in of_kind(Kind.FILE) if part.caption.endswith(".toml"))]


SECRETS: Final = {
    "GITHUB_SECRET": "x" * 16,
    "ALERT_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "SLACK_URL": "https://hooks.slack.example/services/T0/B0/x",
}


@pytest.mark.parametrize("part", SETTINGS, ids=repr)
def test_settings_can_be_used(part: Part, tmp_path: Path) -> None:
    file = tmp_path / "pexecutor.toml"
    file.write_text(part.text, encoding="utf-8")

    config = load_config(file=file, environment={}, flags={})

    handlers = load_catalogue(declared=config.handlers, modules=(), environment={}, limits=config.limits)
    Tokens(config.tokens)
    for name, hook in config.hooks.items():
        Hook(name, hook, SECRETS)
    load_targets(config.notify, handlers.names(), SECRETS)


def test_each_example_that_a_page_includes_is_checked() -> None:
    included = {(DOCS / part.page).parent.joinpath(part.caption).resolve() for part in of_kind(Kind.EXAMPLE)}

    assert {str(path.relative_to(PROJECT / "examples")) for path in included} == CHECKED_EXAMPLES


def container_commands() -> Iterator[list[str]]:
    """Yield the arguments that the pages pass to the image's program, without the engine's options."""
    for part in of_kind(Kind.NOT_RUN):
        for line in part.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            if words[:2] in (["docker", "run"], ["docker", "exec"]):
                yield words[len(words) - words[::-1].index("pexecutor") :]


@pytest.mark.parametrize("arguments", list(container_commands()), ids=" ".join)
def test_the_program_takes_what_a_container_is_given(arguments: list[str]) -> None:
    parameters_of(arguments)


def test_each_container_has_time_for_a_drain() -> None:
    runs = [line for part in of_kind(Kind.NOT_RUN) for line in part.text.splitlines() if "docker run -d" in line]

    assert runs
    assert all("--stop-timeout 45 " in line for line in runs)


def test_an_image_on_top_of_ours_keeps_its_user() -> None:
    [extended] = [part.text for part in of_kind(Kind.FILE) if part.caption == "Dockerfile"]
    users = [line for line in extended.splitlines() if line.startswith("USER ")]

    assert extended.startswith("FROM pexecutor\n")
    assert f"{users[-1]}\n" in (PROJECT / "Dockerfile").read_text(encoding="utf-8")


def test_an_older_version_refuses_the_file_of_a_newer_one(tmp_path: Path) -> None:
    [part] = of_kind(Kind.OLDER_PRINTS)
    serve_and_check = [["--port", "0"], ["db", "check"]]
    environment = clean_environment() | {"PEXECUTOR_DATA_DIR": "."}
    file = tmp_path / "pexecutor.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA application_id = 0x70657865")
        connection.execute("PRAGMA user_version = 1000")

    for arguments in serve_and_check:
        refused = subprocess.run(
            ["pexecutor", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert refused.returncode == 1
        assert re.sub(r"\d+", "0", refused.stderr.splitlines()[-1]) == re.sub(r"\d+", "0", part.text.strip())
