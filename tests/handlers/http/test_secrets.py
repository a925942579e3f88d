"""The secrets of an HTTP call never appear in stored replies, however the reply encodes them."""

from __future__ import annotations

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Callable

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from pexecutor import Context
from pexecutor.handlers.http.secrets import Secrets, secrets_in

from ..conftest import Lab, task
from .test_http import calling, failure

SECRET = "p\"a\\ss/w<o>r&d+ 'x%~"
"""Printable ASCII, as in a header, with every character that some format escapes."""

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps({"secret": text})),
    "JSON with escaped slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "JSON for HTML": lambda text: re.sub("[<>&'+]", lambda sign: f"\\u{ord(sign[0]):04X}", json.dumps(text)),
    "JSON, all escaped": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "repr": repr,
    "hexadecimal escapes": lambda text: "".join(f"\\x{ord(character):02x}" for character in text),
    "HTML": html.escape,
    "HTML by numbers": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "percent": lambda text: urllib.parse.quote(text, safe=""),
    "percent, lower case": lambda text: urllib.parse.quote(text, safe="").lower() if text == text.lower() else text,
    "percent, twice": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "percent, all": lambda text: "".join(f"%{ord(character):02x}" for character in text),
    "form": urllib.parse.quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, URL": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 in JSON": lambda text: json.dumps(base64.b64encode(text.encode()).decode()).replace("/", "\\/"),
    "base64 in a URL": lambda text: urllib.parse.quote(base64.b64encode(text.encode()).decode(), safe=""),
    **{
        f"base64 behind {before!r}": lambda text, before=before: base64.b64encode(f"{before}{text}!".encode()).decode()  # type: ignore[misc]
        for before in ("a", "ab", "user:", "abcd:")
    },
}


def stable(name: str, secret: str) -> str:
    """Return the part of an encoded secret that does not depend on its surroundings; base64 loses its edges."""
    said = FORMS[name](secret)
    return said[7:-4] if "behind" in name else said.strip("\"'=")


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("secret", [SECRET, "s3cr3t-t0k3n", "aaaa", "????>>>>", "~" * 30, "a b c d"])
def test_every_form_is_taken_out(name: str, secret: str) -> None:
    text = f"before {FORMS[name](secret)} after {FORMS[name](secret)}".encode()
    out = Secrets([secret]).out_of(text)

    assert secret.encode() not in out
    if len(core := stable(name, secret)) > 3:
        assert core.encode() not in out
    assert out.startswith(b"before ")
    assert out.count(b"***") >= 2


@pytest.mark.parametrize("name", [name for name in FORMS if "behind" not in name])
def test_a_form_that_is_cut_off_is_taken_out(name: str) -> None:
    said = stable(name, SECRET).encode().removeprefix(rb"{\"secret\": \"")
    for cut in range(1, len(said)):
        out = Secrets([SECRET]).out_of(b"before " + said[:cut], is_whole=False)
        assert out.startswith(b"before")
        assert len(out) <= len(b"before ***") + len(r"\u000"), (said[:cut], out)


@pytest.mark.parametrize("filling", [b"x", b"\\", b"%25", b"&#0", b"secret", b"secre"])
@pytest.mark.parametrize("kept_bytes", [0, 10, 1000])
def test_only_what_is_kept_of_a_long_text_matters(filling: bytes, kept_bytes: int) -> None:
    text = filling * 5000 + b"secret" + filling * 3
    out = Secrets(["secret"]).out_of(text, kept_bytes=kept_bytes)
    assert b"secret" not in out[-kept_bytes:] or not kept_bytes
    assert out[-kept_bytes:] == text.replace(b"secret", b"***")[-kept_bytes:] or not kept_bytes


def test_a_text_that_is_whole_keeps_its_end() -> None:
    assert Secrets(["secret"]).out_of(b"a sec", is_whole=True) == b"a sec"
    assert Secrets(["secret"]).out_of(b"a sec", is_whole=False) == b"a ***"
    assert Secrets([]).out_of(b"a sec", is_whole=False) == b"a sec"


@settings(deadline=None)
@given(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=4, max_size=20),
    st.sampled_from(sorted(FORMS)),
)
def test_any_secret_is_taken_out_in_any_form(secret: str, name: str) -> None:
    if secret.strip() == secret and secret not in "before  after":
        core = stable(name, secret)
        out = Secrets([secret]).out_of(f"<<{FORMS[name](secret)}>>".encode())
        assert len(core) < 6 or core.encode() not in out


@pytest.mark.parametrize(
    ("headers", "secrets"),
    [
        ({"Authorization": "Bearer ${TOKEN}"}, {"env-token"}),
        ({"X-Any": "v1 ${TOKEN}"}, {"env-token"}),
        ({"Authorization": "Bearer literal"}, {"literal"}),
        ({"authorization": "literal"}, {"literal"}),
        ({"Proxy-Authorization": "Basic dXNlcjpwYXNzd29yZA=="}, {"dXNlcjpwYXNzd29yZA==", "user:password", "password"}),
        ({"Authorization": "Basic ${BASIC}"}, {"dXNlcjpwYXNzd29yZA==", "user:password", "password"}),
        ({"Authorization": "Basic ~~~~"}, {"~~~~"}),
        ({"X-Api-Key": "literal"}, {"literal"}),
        ({"Cookie": "a=first; b=second"}, {"first", "second"}),
        ({"Accept": "text/plain", "X-Key": "abc"}, set()),
    ],
)
def test_what_is_secret_in_headers(headers: dict[str, str], secrets: set[str]) -> None:
    assert secrets_in(headers, {"TOKEN": "env-token", "BASIC": "dXNlcjpwYXNzd29yZA=="}) == secrets


# In replies


@pytest.mark.parametrize("name", FORMS)
async def test_it_is_in_no_answer_that_is_kept(lab: Lab, context: Context, name: str) -> None:
    said = FORMS[name]("s3cr3t-t0k3n").encode()

    async def behave(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * len(said)))
        for byte in said * 2:
            await stream.send_all(bytes([byte]))

    async with calling(lab, behave, headers={"X-Any": "${SECRET}"}) as (catalogue, _):
        await catalogue["it"].run(context, task())
    body = context.output.snapshot().body
    assert body is not None
    assert "***" in body
    assert stable(name, "s3cr3t-t0k3n") not in body


@pytest.mark.parametrize("way", ["too long", "breaks off", "too long, stalls"])
@pytest.mark.parametrize("name", ["as it is", "base64", "percent, all"])
async def test_it_is_in_no_answer_that_is_cut_off(lab: Lab, context: Context, name: str, way: str) -> None:
    said = FORMS[name]("s3cr3t-t0k3n").encode()
    for cut in (3, 6, len(said) - 1):
        limit = 100 + cut - 1

        async def behave(stream: trio.SocketStream, _: bytes, cut: int = cut) -> None:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"-" * 100 + said[:cut])
            if way == "too long":
                await stream.send_all(said[cut:] + b"-" * 800)

        limits = {"response_bytes_max": 10_000 if way == "breaks off" else limit}
        await failure(lab, context, behave, headers={"X-Any": "${SECRET}"}, **limits)
        body = context.output.snapshot().body
        assert body is not None
        assert body.endswith("-***")


@pytest.mark.parametrize("name", FORMS)
async def test_it_is_in_no_error(lab: Lab, context: Context, name: str) -> None:
    said = FORMS[name]("s3cr3t-t0k3n").encode()

    async def behave(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 302 Found\r\nLocation: /?x=%b\r\nContent-Length: 0\r\n\r\n" % said)

    error = await failure(lab, context, behave, headers={"X-Any": "${SECRET}"})
    assert stable(name, "s3cr3t-t0k3n") not in str(error)
