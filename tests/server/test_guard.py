"""Settings for tokens, addresses and certificates, on the command line and in the servers."""

from __future__ import annotations

import re
import socket
import tomllib
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
import trustme

from .conftest import Launch, Run, StartServer, is_ready
from .process import ServerProcess, eventually

ANY_PORT = ("-m", "pexecutor", "-port", "0")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_that_others_can_reach_is_refused_without_a_token(run: Run, host: str) -> None:
    result = run("--host", host, "--port", "0")

    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    for part in (host, "pexecutor token new NAME --scope submit", "--config FILE", "--allow-anonymous"):
        assert part in result.stderr


def test_it_is_taken_when_somebody_else_keeps_the_door(start_server: StartServer) -> None:
    server = start_server("--host", "0.0.0.0", "--allow-anonymous", command=ANY_PORT)

    assert httpx2.get(f"http://127.0.0.1:{port_of(server)}/tasks", verify=False).json() == []


def test_a_new_token_opens_a_server_that_has_its_lines(
    run: Run,
    start_server: StartServer,
    tmp_path: Path,
) -> None:
    made = run("token", "new", "ci", "--scope", "submit")
    token, _, lines = made.stdout.partition("\n")
    file = tmp_path / "pexecutor.toml"
    file.write_text(lines)

    server = start_server("--host", "0.0.0.0", "--config", str(file), command=ANY_PORT)

    assert (made.returncode, made.stderr) == (0, "")
    assert re.fullmatch("pex_[A-Za-z0-9_-]{43}", token)
    assert token not in lines
    assert tomllib.loads(lines)["tokens"]["ci"]["scope"] == "submit"
    url = f"http://127.0.0.1:{port_of(server)}/tasks"
    assert httpx2.get(url, verify=False).status_code == 401
    assert httpx2.get(url, headers=bearer(token), verify=False).status_code == 200


def test_two_new_tokens_differ(run: Run) -> None:
    assert run("token", "new", "ci", "--scope", "read").stdout != run("token", "new", "ci", "--scope", "read").stdout


@pytest.mark.parametrize(
    "arguments",
    [["new"], ["new", "ci"], ["new", "ci", "--scope", "root"], ["new", "c i", "--scope", "read"], ["newer"]],
)
def test_an_impossible_token_is_one_line_and_exit_2(run: Run, arguments: list[str]) -> None:
    result = run("token", *arguments)

    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    "text",
    [
        'tokens = "pex_secret"',
        '[tokens]\nci = "pex_secret"',
        '[tokens.ci]\nsha256 = "pex_secret"\nscope = "read"',
        '[tokens.ci]\nsha256 = "x"\nscope = "pex_secret"',
        "[tokens.pex_secret]\n",
    ],
)
def test_a_token_in_the_wrong_place_is_refused_and_not_said_again(run: Run, tmp_path: Path, text: str) -> None:
    file = tmp_path / "pexecutor.toml"
    file.write_text(text)

    result = run("--config", str(file))

    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "token" in result.stderr
    assert "pex_secret" not in result.stderr


def test_tls(start_server: StartServer, tmp_path: Path) -> None:
    made = trustme.CA().issue_cert("localhost")
    made.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate.pem"))

    server = start_server("--certfile", f"{tmp_path}/certificate.pem", "--keyfile", f"{tmp_path}/key.pem")

    assert server.url.startswith("https://127.0.0.1:")
    assert server.client.get("/tasks").json() == []
    assert eventually(server.log_events)[0]["url"] == server.url


def test_a_certificate_that_cannot_be_used_is_one_line_and_exit_2(run: Run, tmp_path: Path) -> None:
    result = run("--certfile", f"{tmp_path}/none.pem")

    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "none.pem" in result.stderr


# Under Hypercorn's command line


def test_the_same_gate_stands_under_hypercorn(
    run: Run,
    launch: Launch,
    tmp_path: Path,
) -> None:
    token, _, lines = run("token", "new", "ci", "--scope", "submit").stdout.partition("\n")
    file = tmp_path / "pexecutor.toml"
    file.write_text(lines)
    _, client = launch(app=f"pexecutor.asgi:create_app(file={str(file)!r})")
    eventually(lambda: is_ready(client))
    client.headers.update(bearer(token))

    assert client.get("/tasks", headers={"Authorization": ""}).status_code == 401
    assert client.get("/tasks").status_code == 200
    assert client.post("/drain").status_code == 403
    assert client.get("/tasks", headers={"Host": "evil.example"}).status_code == 421
    assert client.delete("/tasks/x", headers={"Origin": "http://evil.example"}).status_code == 403


def test_a_websocket_gets_nowhere(launch: Launch) -> None:
    _, client = launch()
    eventually(lambda: is_ready(client))
    offer = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]

    for path in ("/tasks", "/livez", "/none"):
        head = "\r\n".join([f"GET {path} HTTP/1.1", "Host: evil.example", *offer, "", ""])
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=20) as connection:
            connection.sendall(head.encode())
            assert re.match(rb"HTTP/1\.1 [45]\d\d ", connection.recv(100))


@pytest.mark.parametrize("behind", [b"x", b"GET / HTTP/1.1\r\n\r\n", bytes(100_000)])
def test_what_follows_an_offer_of_a_websocket_ends_that_connection_alone(launch: Launch, behind: bytes) -> None:
    process, client = launch()
    eventually(lambda: is_ready(client))
    head = "GET /tasks HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

    for _ in range(3):
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=20) as connection:
            connection.sendall((head + key).encode() + behind)
            with suppress(ConnectionResetError):
                while connection.recv(65536):
                    pass

    assert client.get("/livez").status_code == 200
    assert process.poll() is None


def port_of(server: ServerProcess) -> int:
    return int(server.url.rsplit(":", 1)[1])
