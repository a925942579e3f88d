"""The deployments of the how-to guides: systemd units, a Kubernetes manifest, and proxies in front of a server."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import pytest
import trustme
import yaml  # type: ignore[import-untyped]

from pexecutor.access import hash_token, new_token
from pexecutor.cli.main import cli
from pexecutor.config import Config
from pexecutor.limits.times import STOP_MARGIN_SECONDS

from ..stores.valkey.server import free_port
from .conftest import PROJECT, Launch, ServerProcess, clean_environment
from .guides import DOCS, Kind, parts

EXAMPLES: Final = PROJECT / "examples"

UNITS: Final = ["pexecutor.service", "pexecutor-dump.service", "pexecutor-dump.timer"]
CHECKED_EXAMPLES: Final = {
    *(f"systemd/{unit}" for unit in UNITS),
    "kubernetes/pexecutor.yaml",
    "proxy/nginx.conf",
    "proxy/Caddyfile",
    "many-machines/compose.yaml",
}

START_SECONDS_MAX: Final = 30


def test_each_file_in_a_folder_of_examples_is_checked() -> None:
    assert {str(file.relative_to(EXAMPLES)) for file in EXAMPLES.glob("*/*")} == CHECKED_EXAMPLES


def parameters_of(arguments: Sequence[str]) -> Mapping[str, Any]:
    """Return the parameters that the program reads from these arguments. ``serve`` is the default command."""
    words = ["serve", *arguments] if arguments[0].startswith("-") else list(arguments)
    command: click.Command = cli
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    return command.make_context(command.name, words).params


def settings_on(page: str) -> str:
    """Return the first settings on a page."""
    [shown, *_] = [part.text for part in parts(DOCS / f"{page}.md") if part.kind is Kind.SETTINGS]
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


def status_of(url: str, *options: str) -> int:
    return int(curl(url, *options, "--output", os.devnull, "--write-out", "%{http_code}"))


def curl(url: str, *options: str) -> str:
    """Return curl's output for a URL. curl uses no proxy except the one that a test has started."""
    command = ["curl", "--silent", "--noproxy", "*", "--max-time", "60", *options, url]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=90, check=True).stdout


# Proxies


AUTHORITY: Final = trustme.CA()
NAME: Final = "tasks.example.org"


class Proxy(NamedTuple):
    """A running proxy in front of a server, a client's token, and the authority that the client trusts."""

    http_port: int
    https_port: int
    token: str
    authority: Path

    def curl(self, path: str, *options: str, authorized: bool = True) -> str:
        """Send a request as a client on another machine does, to the host name of the example."""
        authorization = ["--header", f"Authorization: Bearer {self.token}"] if authorized else []
        return curl(f"https://{NAME}{path}", *self._there(), *authorization, *options)

    def _there(self) -> list[str]:
        ports = {443: self.https_port, 80: self.http_port}
        there = [word for port, real in ports.items() for word in ("--connect-to", f"{NAME}:{port}:127.0.0.1:{real}")]
        return [*there, "--cacert", str(self.authority)]

    def status_of(self, path: str, *options: str, authorized: bool = True) -> int:
        options = (*options, "--output", os.devnull, "--write-out", "%{http_code}")
        return int(self.curl(path, *options, authorized=authorized))

    def redirected(self, path: str) -> str:
        """Return the target of the redirect from HTTP."""
        return curl(f"http://{NAME}{path}", *self._there(), "--output", os.devnull, "--write-out", "%{redirect_url}")

    @contextmanager
    def connected(self) -> Iterator[HTTPSConnection]:
        """Open a connection on which the test sends raw bytes."""
        context = ssl.create_default_context(cafile=str(self.authority))
        connection = HTTPSConnection(NAME, timeout=60)
        plain = socket.create_connection(("127.0.0.1", self.https_port), timeout=60)
        connection.sock = context.wrap_socket(plain, server_hostname=NAME)
        try:
            yield connection
        finally:
            connection.close()


@pytest.fixture
def server(launch: Launch, tmp_path: Path) -> tuple[ServerProcess, str]:
    """Start a server with the page's settings and a token."""
    token = new_token()
    settings = settings_on("how-to/reverse-proxy").replace("port = 8080", "port = 0")
    settings = re.sub(r'sha256 = ".*"', f'sha256 = "{hash_token(token)}"', settings)
    (tmp_path / "pexecutor.toml").write_text(settings, encoding="utf-8")
    return launch(["pexecutor", "--config", "pexecutor.toml"], tmp_path), token


def nginx(folder: Path, server_port: int, http_port: int, https_port: int) -> list[str]:
    """Return the nginx command for the example, on loopback ports."""
    text = (EXAMPLES / "proxy" / "nginx.conf").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^ *listen \[::\].*\n", "", text)  # some machines have no IPv6
    text = text.replace("listen 80;", f"listen 127.0.0.1:{http_port};")
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{https_port} ssl;")
    text = text.replace(f"/etc/nginx/{NAME}", f"{folder}/{NAME}").replace(":8080", f":{server_port}")
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{text}}}\n",
        encoding="utf-8",
    )
    return [PROGRAMS["nginx"], "-p", str(folder), "-c", "nginx.conf"]


def caddy(folder: Path, server_port: int, http_port: int, https_port: int) -> list[str]:
    """Return the Caddy command for the example, on loopback ports."""
    text = (EXAMPLES / "proxy" / "Caddyfile").read_text(encoding="utf-8").replace(":8080", f":{server_port}")
    certificate = f"{NAME} {{\n\ttls {folder}/{NAME}.pem {folder}/{NAME}.key\n\tbind 127.0.0.1\n"
    ours = f"{{\n\tadmin off\n\thttp_port {http_port}\n\thttps_port {https_port}\n\tdefault_bind 127.0.0.1\n}}\n"
    (folder / "Caddyfile").write_text(ours + text.replace(f"{NAME} {{\n", certificate), encoding="utf-8")
    return [PROGRAMS["caddy"], "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


COMMANDS: Final = {"nginx": nginx, "caddy": caddy}
PROGRAMS: Final = {
    name: found for name in COMMANDS if (found := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"))
}


@pytest.fixture(params=PROGRAMS)
def proxy(request: pytest.FixtureRequest, server: tuple[ServerProcess, str], tmp_path: Path) -> Iterator[Proxy]:
    """Run the proxy of an example in front of the server."""
    made = AUTHORITY.issue_cert(NAME)
    made.private_key_pem.write_to_path(tmp_path / f"{NAME}.key")
    for part in made.cert_chain_pems:
        part.write_to_path(tmp_path / f"{NAME}.pem", append=True)
    AUTHORITY.cert_pem.write_to_path(tmp_path / "authority.pem")
    running, token = server
    ports = free_port(), free_port()
    command = COMMANDS[request.param](tmp_path, running.port, *ports)
    environment = os.environ | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            found = Proxy(*ports, token, tmp_path / "authority.pem")
            wait_until_it_serves(process, found, tmp_path / "log")
            yield found
        finally:
            process.kill()


def wait_until_it_serves(process: subprocess.Popen[bytes], proxy: Proxy, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            assert proxy.status_of("/livez") == 200
            return
        except subprocess.CalledProcessError:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.05)


def test_tokens_and_names_are_looked_at_behind_a_proxy(proxy: Proxy) -> None:
    task = ("--json", '{"name":"report"}')

    assert proxy.status_of("/tasks", authorized=False) == 401
    assert proxy.status_of("/tasks", *task) == 202
    assert proxy.status_of("//tasks", "--path-as-is") == 404, "a path is passed on as it is written"
    assert proxy.redirected("/tasks").startswith(f"https://{NAME}")


def test_a_large_list_passes_a_proxy(proxy: Proxy, tmp_path: Path) -> None:
    tasks = [{"name": f"{number:0>255}", "delay": 600_000} for number in range(9000)]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")

    reply = json.loads(proxy.curl("/tasks?verdicts=none", "--json", f"@{tmp_path}/tasks.json"))

    assert (reply["RequestedTask"], reply["SubmittedTasks"]) == (9000, 1000)


def test_a_browser_signs_in_behind_a_proxy(proxy: Proxy) -> None:
    body = json.dumps({"token": proxy.token})
    origin = ("--header", f"Origin: https://{NAME}")

    reply = proxy.curl("/session", "--json", body, *origin, "--include", authorized=False)

    assert re.search(r"(?mi)^set-cookie: pexecutor_session=.*; Secure;", reply), reply


def test_events_pass_a_proxy_at_once(proxy: Proxy) -> None:
    with proxy.connected() as connection:
        connection.request("GET", "/events", headers={"Authorization": f"Bearer {proxy.token}"})
        events = connection.getresponse()
        assert events.readline().startswith(b"id: "), "the stream has begun, and nothing has happened"

        proxy.curl("/tasks", "--json", '{"name":"report"}')

        while b'"name":"report"' not in (line := events.readline()):
            assert line, "the stream has ended"


def test_a_stream_of_tasks_passes_a_proxy_at_once(proxy: Proxy) -> None:
    with proxy.connected() as connection:
        connection.putrequest("POST", "/tasks")
        connection.putheader("Authorization", f"Bearer {proxy.token}")
        connection.putheader("Content-Type", "application/x-ndjson")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        line = b'{"name":"first"}\n'
        connection.send(b"%x\r\n%b\r\n" % (len(line), line))

        deadline = time.monotonic() + START_SECONDS_MAX
        while '"name":"first"' not in proxy.curl("/tasks?name=first"):
            assert time.monotonic() < deadline, "the line has not arrived before the end of the stream"
            time.sleep(0.05)

        connection.send(b"0\r\n\r\n")
        assert json.load(connection.getresponse())["SubmittedTasks"] == 1
