"""The proxies of ``examples/proxy/`` on loopback ports, in front of a server for each example, and clients of them.

The files are run as they are, except for ports, addresses and the places of certificates.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import Final, NamedTuple

import trustme

from pexecutor.access import hash_token, new_token

from ..project.conftest import PROJECT
from ..project.guides import DOCS, Kind, parts
from ..stores.valkey.server import free_port
from .process import ServerProcess

EXAMPLES: Final = PROJECT / "examples" / "proxy"
START_SECONDS_MAX: Final = 30

HANDLERS: Final = """
[handlers.chatty]
command = ["sh", "-c", "echo one; until [ -e \\"$1\\" ]; do sleep 0.05; done; echo two", "chatty", "{go}"]
"""
"""A command that prints the second line once a file exists."""


class Site(NamedTuple):
    """One of the three examples: the name that clients use, the path below it, and the comment that begins it."""

    name: str
    path: str
    comment: str


SITES: Final = (
    Site("tasks.example.org", "", "# A name of its own"),
    Site("example.org", "/px", "# A path that is passed on"),
    Site("example.net", "/px", "# A path that is removed"),
)


class Proxy(NamedTuple):
    """A running proxy, its ports, a client's token, the authority that clients trust, and the logs of the servers."""

    http_port: int
    https_port: int
    token: str
    authority: Path
    servers: Mapping[Site, ServerProcess]

    def curl(self, site: Site, path: str, *options: str, authorized: bool = True) -> str:
        """Return the reply to a client on another machine. It uses no proxy except this one."""
        authorization = ["--header", f"Authorization: Bearer {self.token}"] if authorized else []
        return self._curl(site, f"https://{site.name}{site.path}{path}", *authorization, *options)

    def _curl(self, site: Site, url: str, *options: str) -> str:
        ports = {443: self.https_port, 80: self.http_port}
        there = [
            word for port, real in ports.items() for word in ("--connect-to", f"{site.name}:{port}:127.0.0.1:{real}")
        ]
        command = ["curl", "--silent", "--noproxy", "*", "--max-time", "60", "--cacert", str(self.authority)]
        done = subprocess.run(
            [*command, *there, *options, url], stdout=subprocess.PIPE, text=True, timeout=90, check=True
        )
        return done.stdout

    def status_of(self, site: Site, path: str, *options: str, authorized: bool = True) -> int:
        options = (*options, "--output", os.devnull, "--write-out", "%{http_code}")
        return int(self.curl(site, path, *options, authorized=authorized))

    def redirected(self, site: Site, url: str) -> str:
        """Return where the reply to a request of this URL leads."""
        return self._curl(site, url, "--output", os.devnull, "--write-out", "%{redirect_url}")

    @contextmanager
    def connected(self, site: Site) -> Iterator[HTTPSConnection]:
        """Open a connection on which the test sends raw bytes."""
        context = ssl.create_default_context(cafile=str(self.authority))
        connection = HTTPSConnection(site.name, timeout=60)
        plain = socket.create_connection(("127.0.0.1", self.https_port), timeout=60)
        connection.sock = context.wrap_socket(plain, server_hostname=site.name)
        try:
            yield connection
        finally:
            connection.close()


# Servers, with the settings of the how-to page


@contextmanager
def serving_sites(folder: Path, *sites: Site) -> Iterator[tuple[str, dict[Site, ServerProcess]]]:
    """Start a server for each of these examples, or for all; yield a token that they accept, and the servers."""
    token = new_token()
    shown = [part.text for part in parts(DOCS / "how-to/reverse-proxy.md") if part.kind is Kind.SETTINGS]
    assert len(shown) == len(SITES), "the page has the settings for each example"
    with ExitStack() as stack:
        servers = {}
        for site, settings in zip(SITES, shown, strict=True):
            if sites and site not in sites:
                continue
            text = re.sub(r"(?m)^port = 8080\n", "", settings).partition("[tokens")[0]
            token_table = f'[tokens.ci]\nsha256 = "{hash_token(token)}"\nscope = "submit"\n'
            file = folder / f"{site.name}.toml"
            file.write_text(text + token_table + HANDLERS, encoding="utf-8")
            flags = ("--config", str(file), "--port", "0", "--log-format", "json")
            servers[site] = ServerProcess(*flags, log=folder / f"{site.name}.log")
            stack.callback(servers[site].close)
        yield token, servers


# Proxies


def example(name: str, servers: Mapping[Site, ServerProcess]) -> str:
    """Return a file of the examples, with the port of the server that each example is for."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    for site in [site for site in reversed(SITES) if site in servers]:
        begin = text.index(site.comment)
        port = re.search(r":(\d+)", servers[site].url.removeprefix("http:"))
        assert port is not None
        text = text[:begin] + text[begin:].replace("127.0.0.1:8080", f"127.0.0.1@{port[1]}")
    return text.replace("127.0.0.1@", "127.0.0.1:")


def nginx(program: str, folder: Path, text: str, http_port: int, https_port: int) -> list[str]:
    """Return the nginx command for the example."""
    text = re.sub(r"(?m)^ *listen \[::\].*\n", "", text)  # some machines have no IPv6
    text = text.replace("listen 80;", f"listen 127.0.0.1:{http_port};")
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{https_port} ssl;").replace("/etc/nginx/", f"{folder}/")
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{text}}}\n",
        encoding="utf-8",
    )
    return [program, "-p", str(folder), "-c", "nginx.conf"]


def haproxy(program: str, folder: Path, text: str, http_port: int, https_port: int) -> list[str]:
    """Return the haproxy command for the example."""
    text = text.replace("bind :80\n", f"bind 127.0.0.1:{http_port}\n")
    text = text.replace("bind :443 ", f"bind 127.0.0.1:{https_port} ").replace(
        "/etc/haproxy/certs/", f"{folder}/certs/"
    )
    (folder / "haproxy.cfg").write_text(text, encoding="utf-8")
    return [program, "-db", "-f", str(folder / "haproxy.cfg")]


def caddy(program: str, folder: Path, text: str, http_port: int, https_port: int) -> list[str]:
    """Return the Caddy command for the example."""
    for site in SITES:
        ours = f"{site.name} {{\n\ttls {folder}/{site.name}.pem {folder}/{site.name}.key\n\tbind 127.0.0.1\n"
        text = text.replace(f"\n{site.name} {{\n", f"\n{ours}")
    head = f"{{\n\tadmin off\n\thttp_port {http_port}\n\thttps_port {https_port}\n\tdefault_bind 127.0.0.1\n}}\n"
    (folder / "Caddyfile").write_text(head + text, encoding="utf-8")
    return [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


Command = Callable[[str, Path, str, int, int], list[str]]
FILES: Final[dict[str, tuple[Command, str]]] = {
    "nginx": (nginx, "nginx.conf"),
    "haproxy": (haproxy, "haproxy.cfg"),
    "caddy": (caddy, "Caddyfile"),
}
PROGRAMS: Final = {
    name: found for name in FILES if (found := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"))
}


@contextmanager
def proxying(kind: str, folder: Path, token: str, servers: Mapping[Site, ServerProcess]) -> Iterator[Proxy]:
    """Run a proxy in front of the servers."""
    authority = trustme.CA()
    _write_certificates(authority, folder)
    ports = free_port(), free_port()
    command_of, file = FILES[kind]
    command = command_of(PROGRAMS[kind], folder, example(file, servers), *ports)
    proxy = Proxy(*ports, token, folder / "authority.pem", servers)
    with _running(command, folder) as process:
        _wait_until_it_serves(process, proxy, folder / "log")
        yield proxy


def _write_certificates(authority: trustme.CA, folder: Path) -> None:
    """Write a certificate for each name: as two files, as nginx needs it, and as one, as haproxy needs it."""
    authority.cert_pem.write_to_path(folder / "authority.pem")
    (folder / "certs").mkdir()
    for site in SITES:
        made = authority.issue_cert(site.name)
        made.private_key_pem.write_to_path(folder / f"{site.name}.key")
        for part in made.cert_chain_pems:
            part.write_to_path(folder / f"{site.name}.pem", append=True)
        made.private_key_and_cert_chain_pem.write_to_path(folder / "certs" / f"{site.name}.pem")


@contextmanager
def _running(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _wait_until_it_serves(process: subprocess.Popen[bytes], proxy: Proxy, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            assert proxy.status_of(next(iter(proxy.servers)), "/livez") == 200, log.read_text(encoding="utf-8")
            return
        except subprocess.CalledProcessError:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.05)
