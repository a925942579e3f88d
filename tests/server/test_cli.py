"""Flags, environment and settings file, and a one-line error for each invalid setting."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pexecutor.cli.main import cli
from pexecutor.config import Config, load_config, service_variables
from pexecutor.errors import ConfigError

from .conftest import Run, StartServer
from .process import ServerProcess, eventually


def pool_and_queue(server: ServerProcess) -> tuple[int, int]:
    statistics = server.client.get("/readyz").json()["statistics"]
    return statistics["pool_size"], statistics["store"]["queue_size"]


@pytest.mark.parametrize(
    "flags",
    [
        ["-pool-size", "2", "-queue-size", "3", "-port", "0"],
        ["-pool-size=2", "-queue-size=3", "-port=0"],
        ["--pool-size", "2", "--queue-size", "3", "--port", "0"],
        ["--pool-size=2", "--queue-size=3", "--port=0"],
    ],
)
def test_flags_are_written_as_in_the_original(flags: list[str]) -> None:
    parsed = cli.commands["serve"].make_context("serve", list(flags)).params
    assert (parsed["pool_size"], parsed["queue_size"], parsed["port"]) == ("2", "3", "0")


def test_flags_without_a_command_are_for_serving(start_server: StartServer) -> None:
    assert pool_and_queue(start_server("-pool-size", "2", "--queue-size=3")) == (2, 3)


def test_defaults_are_those_of_the_original(start_server: StartServer) -> None:
    assert pool_and_queue(start_server()) == (5, 1000)


def test_file_is_overridden_by_environment_and_that_by_flags(
    start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("pool_size = 2\nqueue_size = 3\nport = 1\n")
    monkeypatch.setenv("PEXECUTOR_QUEUE_SIZE", "4")
    monkeypatch.setenv("PEXECUTOR_PORT", "2")
    server = start_server("-port", "0", "--config", str(file), command=("-m", "pexecutor"))
    assert pool_and_queue(server) == (2, 4)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["-pool-size", "0"], "--pool-size cannot be '0'"),
        (["-queue-size=-1"], "--queue-size cannot be '-1'"),
        (["-port", "65536"], "--port cannot be '65536'"),
        (["-port", "http"], "--port cannot be 'http'"),
        (["--drain-timeout", "-1"], "--drain-timeout cannot be '-1'"),
        (["--drain-timeout", "nan"], "--drain-timeout cannot be 'nan'"),
        (["--log-level", "loud"], "--log-level cannot be 'loud'"),
        (["-pool-siez", "3"], "-p"),
        (["--config", "/nowhere/at/all.toml"], "cannot read /nowhere/at/all.toml"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_an_impossible_flag_is_one_line_and_exit_2(run: Run, flags: list[str], complaint: str) -> None:
    result = run(*flags)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("pexecutor: ")
    assert result.stderr.count("\n") == 1
    assert complaint in result.stderr


def test_an_impossible_variable_is_named(run: Run) -> None:
    result = run(PEXECUTOR_POOL_SIZE="many")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "PEXECUTOR_POOL_SIZE cannot be 'many'" in result.stderr
    result = run(PEXECUTOR_POOLSIZE="1")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "PEXECUTOR_POOLSIZE is not a setting" in result.stderr


def test_variables_for_clients_are_no_settings() -> None:
    environment = {"PEXECUTOR_URL": "http://elsewhere:1", "PEXECUTOR_TOKEN": "secret", "PEXECUTOR_PORT": "1"}
    assert load_config(file=None, environment=environment, flags={}) == Config(port=1)


KUBERNETES = {
    "PEXECUTOR_PORT": "tcp://10.0.0.1:8080",
    "PEXECUTOR_SERVICE_HOST": "10.0.0.1",
    "PEXECUTOR_SERVICE_PORT": "8080",
    "PEXECUTOR_SERVICE_PORT_HTTP": "8080",
    "PEXECUTOR_SERVICE_PORT_METRICS_2": "8081",
    "PEXECUTOR_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    "PEXECUTOR_PORT_8080_TCP_PROTO": "tcp",
    "PEXECUTOR_PORT_8080_TCP_PORT": "8080",
    "PEXECUTOR_PORT_8080_TCP_ADDR": "10.0.0.1",
    "PEXECUTOR_PORT_53_UDP": "udp://[fd00::1]:53",
    "PEXECUTOR_PORT_53_UDP_PROTO": "udp",
    "PEXECUTOR_PORT_9_SCTP_ADDR": "10.0.0.1",
    "PEXECUTOR_WEB_PORT": "tcp://10.0.0.1:8080",
    "PEXECUTOR_WEB_SERVICE_HOST": "10.0.0.1",
    "PEXECUTOR_WEB_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    "PEXECUTOR_HEADLESS_1_SERVICE_PORT_HTTP": "80",
}


def test_variables_that_kubernetes_sets_for_a_service_are_no_settings() -> None:
    assert load_config(file=None, environment=KUBERNETES, flags={}) == Config()
    assert load_config(file=None, environment={**KUBERNETES, "PEXECUTOR_HOST": "::1"}, flags={}) == Config(host="::1")
    assert service_variables({**KUBERNETES, "PEXECUTOR_HOST": "::1", "PATH": "tcp://x"}) == sorted(KUBERNETES)


def test_they_are_one_warning_at_the_start(start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in KUBERNETES.items():
        monkeypatch.setenv(variable, value)
    server = start_server()
    [warning] = eventually(lambda: [event for event in server.log_events() if event["level"] == "warning"])
    assert warning["variables"] == sorted(KUBERNETES)


@pytest.mark.parametrize(
    "variable", ["PEXECUTOR_PORTS", "PEXECUTOR_SERVICE", "PEXECUTOR_PORT_X_TCP", "PEXECUTOR_HOSTS"]
)
def test_others_that_look_alike_are_refused(variable: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        load_config(file=None, environment={variable: "1"}, flags={})


@pytest.mark.parametrize(
    ("variable", "flag", "value"),
    [
        ("PEXECUTOR_PORT", "port", "1"),
        ("PEXECUTOR_POOL_SIZE", "pool_size", "2"),
        ("PEXECUTOR_STORE", "store", "memory"),
        ("PEXECUTOR_LOG_LEVEL", "log_level", "debug"),
        ("PEXECUTOR_ALLOW_ANONYMOUS", "allow_anonymous", True),
        ("PEXECUTOR_DRAIN_TIMEOUT_SECONDS", "drain_timeout_seconds", "3"),
    ],
)
@pytest.mark.parametrize("wrong", ["abc", "", "tcp://10.0.0.1:8080", "-1", "\udce9"])
def test_a_variable_that_a_flag_overrides_is_not_looked_at(variable: str, flag: str, value: object, wrong: str) -> None:
    config = load_config(file=None, environment={variable: wrong}, flags={flag: value})
    assert config == load_config(file=None, environment={}, flags={flag: value})


@pytest.mark.parametrize("field", msgspec.structs.fields(Config), ids=lambda field: field.name)
def test_an_empty_variable_counts_as_unset(field: msgspec.structs.FieldInfo) -> None:
    assert load_config(file=None, environment={f"PEXECUTOR_{field.name.upper()}": ""}, flags={}) == Config()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("pool_size = 0", "pool_size in "), ("pool_size = ", "not valid TOML"), ("pol_size = 1", "is not a setting")],
)
def test_an_impossible_file_is_named(run: Run, tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    result = run("--config", str(file))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert str(file) in result.stderr
    assert complaint in result.stderr


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_may_begin_with_a_byte_order_mark_and_is_utf_8(tmp_path: Path, coding: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("pool_size = 3\r\n", encoding=coding)
    if coding.startswith("utf-8"):
        assert load_config(file=file, environment={}, flags={}).pool_size == 3
    else:
        with pytest.raises(ConfigError, match="UTF-16: save it as UTF-8"):
            load_config(file=file, environment={}, flags={})


def test_a_port_in_use_is_one_line_and_exit_1(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("-port", str(taken.getsockname()[1]))
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "choose another port with --port" in result.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_one_line_and_exit_1(run: Run, host: str) -> None:
    result = run("-host", host, "-port", "0")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert host in result.stderr


def test_help_and_version(run: Run) -> None:
    assert "serve" in run("--help").stdout
    assert "--pool-size" in run("serve", "--help").stdout
    assert run("--version").stdout.startswith("pexecutor")


def test_the_exit_status_is_that_of_the_process() -> None:
    command = [sys.executable, "-W", "error", "-m", "pexecutor", "-pool-size", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)


def test_it_listens_on_loopback_only_by_default(start_server: StartServer) -> None:
    assert start_server().url.startswith("http://127.0.0.1:")


def test_ipv6(start_server: StartServer) -> None:
    server = start_server("-host", "::1")
    assert server.url.startswith("http://[::1]:")
    assert server.client.get("/livez").status_code == 200
