"""The deployments of the how-to guides: systemd units, a Kubernetes manifest, and a Compose file."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml  # type: ignore[import-untyped]

from pexecutor.cli.main import cli
from pexecutor.config import Config
from pexecutor.limits.times import STOP_MARGIN_SECONDS, WRITE_SECONDS_MAX
from pexecutor.stores.sqlite.database import Database

from .conftest import PROJECT, Launch, clean_environment
from .guides import DOCS, Kind, parts

EXAMPLES: Final = PROJECT / "examples"

UNITS: Final = [
    *("pexecutor.service", "pexecutor.socket"),
    *("pexecutor-dump.service", "pexecutor-dump.timer"),
    *("pexecutor-backup.service", "pexecutor-backup.timer"),
]
CHECKED_EXAMPLES: Final = {
    *(f"systemd/{unit}" for unit in UNITS),
    "kubernetes/pexecutor.yaml",
    "proxy/nginx.conf",
    "proxy/haproxy.cfg",
    "proxy/Caddyfile",
    "many-machines/compose.yaml",
    *("clients/flask_app.py", "clients/fastapi_app.py", "clients/django_app.py"),  # by test_client_examples.py
    *("compose/compose.yaml", "compose/environment", "compose/settings/pexecutor.toml"),
}

START_SECONDS_MAX: Final = 30


def test_each_file_in_a_folder_of_examples_is_checked() -> None:
    assert {str(file.relative_to(EXAMPLES)) for file in EXAMPLES.glob("*/**/*") if file.is_file()} == CHECKED_EXAMPLES


def parameters_of(arguments: Sequence[str]) -> Mapping[str, Any]:
    """Return the parameters that the program reads from these arguments. ``serve`` is the default command."""
    words = ["serve", *arguments] if arguments[0].startswith("-") else list(arguments)
    command: click.Command = cli
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    return command.make_context(command.name, words).params


def settings_on(page: str) -> str:
    """Return the settings on a page."""
    [shown] = [part.text for part in parts(DOCS / f"{page}.md") if part.kind is Kind.SETTINGS]
    return shown


def drain_seconds(parameters: Mapping[str, Any]) -> float:
    return float(parameters["drain_timeout_seconds"] or Config().drain_timeout_seconds)


# systemd


def unit(name: str) -> configparser.ConfigParser:
    found = configparser.ConfigParser(delimiters=["="], comment_prefixes=["#"], interpolation=None, strict=True)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read_string((EXAMPLES / "systemd" / name).read_text(encoding="utf-8"))
    return found


def exec_start(name: str) -> list[str]:
    program, *arguments = shlex.split(unit(name)["Service"]["ExecStart"])
    assert program == "/opt/pexecutor/bin/pexecutor"
    return arguments


@pytest.mark.parametrize("verifier", [found] if (found := shutil.which("systemd-analyze")) else [])
def test_systemd_takes_the_units(verifier: str, tmp_path: Path) -> None:
    program = shutil.which("pexecutor", path=clean_environment()["PATH"])
    assert program is not None
    for name in UNITS:
        text = (EXAMPLES / "systemd" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("/opt/pexecutor/bin/pexecutor", program), encoding="utf-8")

    verified = subprocess.run(
        [verifier, "verify", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_unit_gives_a_drain_its_time() -> None:
    service = unit("pexecutor.service")["Service"]
    drain = drain_seconds(parameters_of(exec_start("pexecutor.service")))

    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > drain + STOP_MARGIN_SECONDS


def test_the_unit_reports_reloads_and_is_watched() -> None:
    service, socket_unit = unit("pexecutor.service"), unit("pexecutor.socket")

    assert service["Service"]["Type"] == "notify"
    assert service["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert float(service["Service"]["WatchdogSec"]) > WRITE_SECONDS_MAX, "a slow write is noticed before the watchdog"
    assert service["Unit"]["Requires"] == service["Install"]["Also"] == "pexecutor.socket"
    assert socket_unit["Socket"]["ListenStream"] == f"{Config().host}:{Config().port}"


def test_the_backup_service_makes_a_backup(machine: Path) -> None:
    [shell, option, command] = shlex.split(unit("pexecutor-backup.service")["Service"]["ExecStart"].replace("%%", "%"))
    tasks, copies = machine / "var/lib/pexecutor", machine / "var/lib/pexecutor-backups"
    copies.mkdir()
    database = Database(tasks / "pexecutor.db")
    database.open()
    database.close(in_order=True)
    command = command.replace("/opt/pexecutor/bin/pexecutor", "pexecutor").replace("/var/lib/pexecutor", str(tasks))

    subprocess.run([shell, option, command], cwd=copies, env=clean_environment(), timeout=60, check=True)

    [copy] = copies.iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d\.db", copy.name)


def test_the_units_page_has_the_drain_timeout_of_the_unit() -> None:
    assert f"drain_timeout_seconds = {Config().drain_timeout_seconds:g}\n" in settings_on("how-to/systemd")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that stands for a machine on which a reader followed the page; it holds the paths of the units."""
    etc, bin_, tasks = tmp_path / "etc/pexecutor", tmp_path / "usr/local/bin", tmp_path / "var/lib/pexecutor"
    for directory in (etc, bin_, tasks / "notes"):
        directory.mkdir(parents=True)
    settings = settings_on("how-to/systemd").replace("/usr/local/bin", str(bin_))
    (etc / "pexecutor.toml").write_text(settings, encoding="utf-8")
    (bin_ / "dump.sh").write_text('#!/bin/sh\ntar --create --gzip --file "$2" -- "$1"\n', encoding="utf-8")
    (bin_ / "dump.sh").chmod(0o755)
    return tmp_path


def on(machine: Path, arguments: list[str]) -> list[str]:
    """Return a unit's command with the paths of the machine."""
    return ["pexecutor", *(re.sub(r"^/(?=etc|var)", f"{machine}/", word) for word in arguments)]


def test_the_service_and_the_timers_service_do_their_work(launch: Launch, machine: Path) -> None:
    tasks = machine / "var/lib/pexecutor"
    server = launch(on(machine, exec_start("pexecutor.service")), tasks, PEXECUTOR_PORT="0")

    dump = subprocess.run(
        on(machine, exec_start("pexecutor-dump.service")),
        env=clean_environment() | {"PEXECUTOR_URL": f"http://127.0.0.1:{server.port}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert dump.returncode == 0, dump
    assert (tasks / "nightly.tar.gz").exists()
    assert server.stop()[0] == 0


def test_the_service_stays_down_when_the_settings_are_faulty(machine: Path) -> None:
    (machine / "etc/pexecutor/pexecutor.toml").write_text("pool_size = 0\n", encoding="utf-8")

    refused = subprocess.run(
        on(machine, exec_start("pexecutor.service")), env=clean_environment(), capture_output=True, check=False
    )

    assert str(refused.returncode) == unit("pexecutor.service")["Service"]["RestartPreventExitStatus"]


def test_the_timer_starts_the_service_of_its_name() -> None:
    assert unit("pexecutor-dump.timer")["Timer"]["OnCalendar"] == "*-*-* 03:00:00"
    assert "Unit" not in unit("pexecutor-dump.timer")["Timer"]
    assert unit("pexecutor-dump.service")["Service"]["Type"] == "oneshot"


# Kubernetes and Compose


def manifests() -> dict[str, Any]:
    text = (EXAMPLES / "kubernetes" / "pexecutor.yaml").read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


POD: Final = manifests()["StatefulSet"]["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]
PROBES: Final = {name: CONTAINER[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}


def test_the_pod_gives_a_drain_its_time() -> None:
    drain = drain_seconds(parameters_of(CONTAINER["args"]))

    assert POD["terminationGracePeriodSeconds"] >= drain + STOP_MARGIN_SECONDS


def test_the_pod_fits_the_image() -> None:
    image = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    [tasks] = [mount["mountPath"] for mount in CONTAINER["volumeMounts"] if mount["name"] == "tasks"]
    user, group = POD["securityContext"]["runAsUser"], POD["securityContext"]["runAsGroup"]

    assert f"USER {user}:{group}\n" in image
    assert f"VOLUME {tasks}\n" in image
    assert f"EXPOSE {CONTAINER['ports'][0]['containerPort']}\n" in image
    assert POD["securityContext"]["fsGroup"] == group


def test_the_parts_of_the_manifest_fit_each_other() -> None:
    service, stateful_set = manifests()["Service"], manifests()["StatefulSet"]
    template = stateful_set["spec"]["template"]
    [claim] = stateful_set["spec"]["volumeClaimTemplates"]
    volumes = {claim["metadata"]["name"], *(volume["name"] for volume in POD["volumes"])}

    assert (
        service["spec"]["selector"] == stateful_set["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    )
    assert stateful_set["spec"]["serviceName"] == service["metadata"]["name"]
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == volumes
    [port] = CONTAINER["ports"]
    assert {probe["port"] for probe in PROBES.values()} == {port["name"]} == {service["spec"]["ports"][0]["targetPort"]}


def test_the_probes_are_answered(launch: Launch, tmp_path: Path) -> None:
    settings = tmp_path / "pexecutor.toml"
    settings.write_text(settings_on("how-to/kubernetes"), encoding="utf-8")
    arguments = [word.replace("/etc/pexecutor/", f"{tmp_path}/") for word in CONTAINER["args"]]
    variables = {variable["name"]: variable["value"] for variable in CONTAINER["env"]}
    server = launch(["pexecutor", *arguments], **variables, PEXECUTOR_PORT="0")

    for probe in PROBES.values():
        assert status_of(f"http://127.0.0.1:{server.port}{probe['path']}") == 200
    for host in variables["PEXECUTOR_ALLOWED_HOSTS"].split(","):
        assert status_of(f"http://127.0.0.1:{server.port}/tasks", "--header", f"Host: {host}:8080") == 401
    assert status_of(f"http://127.0.0.1:{server.port}/tasks", "--header", "Host: another") == 421


def test_each_node_of_the_compose_file_can_drain() -> None:
    text = (EXAMPLES / "many-machines" / "compose.yaml").read_text(encoding="utf-8")
    nodes = [service for service in yaml.safe_load(text)["services"].values() if "build" in service]

    assert len(nodes) == 3
    for node in nodes:
        drain = drain_seconds(parameters_of(node["command"]))
        assert float(node["stop_grace_period"].removesuffix("s")) >= drain + STOP_MARGIN_SECONDS


def test_the_compose_file_mounts_settings_that_can_be_used(tmp_path: Path) -> None:
    folder = EXAMPLES / "compose"
    service = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))["services"]["pexecutor"]
    mounted = dict(volume.split(":")[:2] for volume in service["volumes"])
    [settings, tasks] = mounted.items()
    shown = parameters_of(service["command"])["file"]
    file = folder / settings[0] / Path(shown).relative_to(settings[1])
    [variables] = service["env_file"]
    environment = dict(
        line.split("=", 1) for line in (folder / variables).read_text(encoding="utf-8").splitlines() if line[0] != "#"
    )

    checked = subprocess.run(
        ["pexecutor", "serve", "--check", "--config", str(file)],
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, "")
    assert f"VOLUME {tasks[1]}\n" in (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    drain = tomllib.loads(file.read_text(encoding="utf-8"))["drain_timeout_seconds"]
    assert float(service["stop_grace_period"].removesuffix("s")) >= drain + STOP_MARGIN_SECONDS


def status_of(url: str, *options: str) -> int:
    return int(curl(url, *options, "--output", os.devnull, "--write-out", "%{http_code}"))


def curl(url: str, *options: str) -> str:
    """Return curl's output for a URL. curl uses no proxy except the one that a test has started."""
    command = ["curl", "--silent", "--noproxy", "*", "--max-time", "60", *options, url]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=90, check=True).stdout
