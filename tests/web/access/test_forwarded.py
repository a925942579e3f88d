"""What counts of the headers of proxies, and which base paths and proxies the settings may name."""

from __future__ import annotations

from typing import Any

import pytest

from pexecutor import Executor, LocalStore
from pexecutor.config import Config
from pexecutor.errors import ConfigError
from pexecutor.web import create_app
from pexecutor.web.access.forwarded import FORWARDED_CHARACTERS_MAX, TrustedProxies
from pexecutor.web.access.proxies import NOWHERE, BasePath, Proxies
from pexecutor.web.api.client_side import ClientSide

Headers = dict[str, list[str]]

TRUSTED = ("127.0.0.1", "10.0.0.0/8", "fd00::/8", "::1")


def side_of(headers: Headers, *, peer: str | None = "127.0.0.1", **settings: Any) -> ClientSide:
    """Return the client's side of a request of a peer with these headers."""
    proxies = Proxies(Config(**{"trusted_proxies": TRUSTED, **settings}), ["/livez"])
    front = proxies.front_of(peer)
    assert front is not None, "no setting says so"
    sent = {f"x-forwarded-{name}".encode(): values for name, values in headers.items()}
    return front.client_side(b"/tasks?limit=1", peer, "http", ["localhost"], lambda name: sent.get(name, []))


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["2001:db8::9"], "2001:db8::9"),
        (["[2001:DB8::9]:4711"], "2001:db8::9"),
        (["[2001:db8::9]"], "2001:db8::9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9"], "203.0.113.9"),  # the client has sent the first one
        (["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
        (["no address, 203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (["203.0.113.9, ::ffff:10.1.2.3, fd00::1, 127.0.0.1"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9", "10.1.2.3"], "203.0.113.9"),
        ([" ,203.0.113.9 ,, 10.1.2.3 ,"], "203.0.113.9"),
        (["10.1.2.3, 10.4.5.6"], "10.1.2.3"),  # only proxies: the first one is the client
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy(sent: list[str], address: str) -> None:
    side = side_of({"for": sent})

    assert (side.fault, side.address, side.is_remote) == ("", address, True)


@pytest.mark.parametrize("peer", ["127.0.0.1", "::ffff:127.0.0.1", "10.255.0.1", "fd00::7", "::1"])
def test_a_trusted_peer_is_known_in_each_spelling(peer: str) -> None:
    assert side_of({"for": ["203.0.113.9"]}, peer=peer).address == "203.0.113.9"


@pytest.mark.parametrize("peer", ["127.0.0.2", "11.0.0.1", "192.0.2.1", "fe80::1%lo", "2001:db8::1", None, "x"])
def test_the_headers_of_another_peer_are_not_read(peer: str | None) -> None:
    assert Proxies(Config(trusted_proxies=TRUSTED), []).front_of(peer) is None

    side = side_of({"for": ["203.0.113.9"], "prefix": ["/x"], "proto": ["https"]}, peer=peer, base_path="/px")
    assert side == ClientSide(NOWHERE, "/px", peer, "http", ["localhost"])


def test_peers_of_a_unix_socket_are_trusted_by_name() -> None:
    side = side_of({"for": ["203.0.113.9"]}, peer=None, trusted_proxies=("unix",))

    assert (side.address, side.is_remote) == ("203.0.113.9", True)
    assert Proxies(Config(trusted_proxies=("unix",)), []).front_of("127.0.0.1") is None


@pytest.mark.parametrize(
    ("headers", "is_remote"),
    [
        ({}, False),
        ({"for": ["127.0.0.1"]}, False),
        ({"for": ["::1, 127.0.0.1"]}, False),
        ({"for": ["127.0.0.1"], "proto": ["https"]}, False),
        ({"for": ["127.0.0.1, 10.0.0.1"]}, True),  # another machine in a trusted network claims to be a proxy
        ({"for": ["10.0.0.1"]}, True),
        ({"proto": ["https"]}, True),
        ({"host": ["localhost"]}, True),
        ({"prefix": ["/px"]}, True),
    ],
)
def test_a_client_is_local_if_all_addresses_are(headers: Headers, is_remote: bool) -> None:
    assert side_of(headers).is_remote is is_remote


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"proto": ["https"]}, {"scheme": "https"}),
        ({"proto": ["HTTP"]}, {"scheme": "http"}),
        ({"proto": ["https, http"]}, {"scheme": "http"}),
        ({"proto": ["http", "https"]}, {"scheme": "https"}),
        ({"host": ["tasks.example.org"]}, {"hosts": ["tasks.example.org"]}),
        ({"host": ["evil.example, tasks.example.org:8443"]}, {"hosts": ["tasks.example.org:8443"]}),
        ({"prefix": ["/px"]}, {"prefix": "/px"}),
        ({"prefix": ["/px/"]}, {"prefix": "/px"}),
        ({"prefix": ["/a/b-c_d.e~f"]}, {"prefix": "/a/b-c_d.e~f"}),
        ({"prefix": ["/evil", "/px"]}, {"prefix": "/px"}),
        ({"prefix": ["/"]}, {"prefix": ""}),
        ({"prefix": [""]}, {"prefix": ""}),
    ],
)
def test_of_other_headers_the_value_of_the_nearest_proxy_counts(headers: Headers, expected: dict[str, Any]) -> None:
    side = side_of(headers)

    assert side.fault == ""
    assert {name: getattr(side, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("for", value) for value in ["", " , ", "unknown", "tasks.example.org", "_hidden", "203.0.113.999", "1.2.3"]),
        *(("for", value) for value in ["fe80::1%lo", "[::1", "203.0.113.9:x", "203.0.113.9:", "x, 10.0.0.1", "unix:"]),
        *(("proto", value) for value in ["", "ftp", "wss", "https,", "https http"]),
        *(("host", value) for value in ["", "a b", "user@localhost", "x:y", "localhost/", "a" * 300]),
        *(("prefix", value) for value in ["px", "//evil.example", "/px//", "/px/../x", "/.", "/a b", "/%70x", "/px?x"]),
        *(("prefix", value) for value in ["https://evil.example/px", "/px\r\nx: y", "/p\xe4", "/" + "x" * 255]),
        *((name, ",".join(["10.0.0.1"] * 200)) for name in ("for", "proto", "host", "prefix")),
    ],
)
def test_a_faulty_header_of_a_trusted_proxy_is_a_fault(name: str, value: str) -> None:
    side = side_of({name: [value]})

    assert f"X-Forwarded-{name.title()} header" in side.fault
    assert side.is_remote


def test_a_header_has_a_bounded_length_over_all_its_lines() -> None:
    line = "203.0.113.9, " + "10.0.0.1, " * 40 + "10.0.0.1"

    assert len(line) < FORWARDED_CHARACTERS_MAX < 3 * len(line)
    assert side_of({"for": [line]}).fault == ""
    assert side_of({"for": [line] * 3}).fault


# The base path


@pytest.mark.parametrize(
    ("target", "routed"),
    [
        (b"/px/tasks", (b"/tasks", False)),
        (b"/px/tasks?x=/px/", (b"/tasks?x=/px/", False)),
        (b"/px/", (b"/", False)),
        (b"/px/?x", (b"/?x", False)),
        (b"/px", (b"/", True)),
        (b"/px?x", (b"/?x", True)),
        (b"/px//tasks", (b"//tasks", False)),
        (b"/px/px/tasks", (b"/px/tasks", False)),
        (b"/livez", (b"/livez", False)),
        (b"/livez?x", (b"/livez?x", False)),
        *((outside, (NOWHERE, False)) for outside in [b"/tasks", b"/", b"/pxtasks", b"/PX/tasks", b"/%70x/tasks"]),
        *((outside, (NOWHERE, False)) for outside in [b"//px/tasks", b"/x/../px/tasks", b"px/tasks", b"*", b""]),
    ],
)
def test_only_what_is_below_the_base_path_is_routed(target: bytes, routed: tuple[bytes, bool]) -> None:
    assert BasePath("/px", ["/livez"]).below(target) == routed


def test_what_a_proxy_has_removed_comes_before_the_base_path() -> None:
    front = Proxies(Config(base_path="/inner", trusted_proxies=TRUSTED), []).front_of("127.0.0.1")
    assert front is not None

    side = front.client_side(
        b"/inner/tasks", "127.0.0.1", "http", [], lambda name: ["/outer"] if name.endswith(b"prefix") else []
    )
    assert (side.prefix, side.target) == ("/outer/inner", b"/tasks")


# Settings


@pytest.mark.parametrize("path", ["/px", "/a/b", "/A.b-c_d~e", "/..."])
def test_a_base_path_that_can_be_used(path: str) -> None:
    create_app(Executor(LocalStore()), Config(base_path=path))


@pytest.mark.parametrize(
    "path",
    [
        "/" + "x" * 255,
        "http://example.org/px",
        "/",
        "px",
        "px/",
        "/px/",
        "//px",
        "/px//x",
        "/px/../x",
        "/.",
        "/px?x=1",
        "/px#x",
        "/p x",
        "/%70x",
        "/pä",
        "/px\n",
    ],
)
def test_a_base_path_that_cannot_be_used(path: str) -> None:
    with pytest.raises(ConfigError, match=r"base_path cannot be .*: write a path like /tasks-api"):
        create_app(Executor(LocalStore()), Config(base_path=path))


@pytest.mark.parametrize(
    "entry", ["", "localhost", "10.0.0.1/8", "10.0.0.0/33", "*", "10.0.0.1:80", "[::1]", "unix:", "fe80::1%lo"]
)
def test_a_proxy_that_cannot_be_trusted(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"trusted_proxies: .* is not an address or a network"):
        create_app(Executor(LocalStore()), Config(trusted_proxies=("127.0.0.1", entry)))


def test_a_network_may_be_written_for_mapped_addresses() -> None:
    trusted = TrustedProxies(["::ffff:10.0.0.0/104"])

    assert trusted.include("10.9.9.9")
    assert trusted.include("::ffff:10.9.9.9")
    assert not trusted.include("11.0.0.1")
