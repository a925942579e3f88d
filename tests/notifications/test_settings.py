"""The tables [notify.NAME]: what is valid, and what the messages say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pexecutor import ConfigError
from pexecutor.config import load_config
from pexecutor.notifications.settings import TARGETS_MAX, Address, Target, load_targets

URL = "https://hooks.example.org/in"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def load(environment: dict[str, str] | None = None, **table: Any) -> Target:
    return load_targets({"ops": {"url": URL} | table}, ["sleep", "backup"], environment or {})["ops"]


def test_a_url_is_enough() -> None:
    target = load()

    assert target.address == Address("https", "hooks.example.org", 443, "/in")
    assert target.on == {"failed", "timed_out", "abandoned"}
    assert (target.preset, target.keys, target.allow_private) == ("webhook", (), False)


@pytest.mark.parametrize(
    ("url", "address", "host", "origin"),
    [
        ("http://a.example", Address("http", "a.example", 80, "/"), "a.example", "http://a.example"),
        (
            "https://A.example:8443/b?c=d",
            Address("https", "a.example", 8443, "/b?c=d"),
            "a.example:8443",
            "https://a.example:8443",
        ),
        ("http://[::1]:8000/", Address("http", "::1", 8000, "/"), "[::1]:8000", "http://[::1]:8000"),
        (
            "https://me:p%40ss@a.example/",
            Address("https", "a.example", 443, "/", "Basic bWU6cEBzcw=="),
            "a.example",
            "https://a.example",
        ),
    ],
)
def test_urls(url: str, address: Address, host: str, origin: str) -> None:
    target = load(url=url)

    assert target.address == address
    assert (target.address.host_header, target.address.origin) == (host, origin)


def test_secrets_and_urls_come_from_the_environment() -> None:
    target = load({"URL_PART": "T0/B0/x", "S": SECRET}, url=f"{URL}/${{URL_PART}}", secret=["${S}", SECRET])

    assert target.address.resource == "/in/T0/B0/x"
    assert target.keys == (target.keys[0],) * 2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"url": None}, "notify.ops.url: expected `str`, got `null`; for example: url = "),
        ({"url": "ftp://x"}, "notify.ops.url must begin with http:// or https:// and a host, in printable ASCII"),
        ({"url": "https://"}, "notify.ops.url must begin with"),
        ({"url": "https://a b"}, "notify.ops.url must begin with"),
        ({"url": "https://exämple.org"}, "notify.ops.url must begin with"),
        ({"url": "https://[::1"}, "notify.ops.url must begin with"),
        ({"url": "https://a:99999"}, "notify.ops.url must begin with"),
        ({"url": "https://a:0"}, "notify.ops.url must begin with"),
        ({"url": "https://a/#b"}, "notify.ops.url must not have a fragment"),
        ({"url": "https://a/${B"}, "notify.ops.url: write an environment variable as ${NAME}"),
        ({"url": "https://a/${B}"}, "notify.ops.url needs the environment variable B, which is not set"),
        (
            {"on": ["fail"]},
            "notify.ops.on[0]: unknown value 'fail'; the values are: succeeded, failed, timed_out, cancelled, ",
        ),
        ({"on": []}, 'notify.ops.on: expected `array` of length >= 1; for example: on = ["failed"'),
        (
            {"handlers": "backup"},
            'notify.ops.handlers: expected `array`, got `str`; for example: handlers = ["backup"]',
        ),
        ({"handlers": ["bakup"]}, "notify.ops.handlers: unknown handler `bakup`: did you mean `backup`?"),
        ({"names": [""]}, 'notify.ops.names[0]: expected `str` of length >= 1; for example: names = ["nightly-*"]'),
        (
            {"secret": "${S}"},
            "notify.ops.secret needs the environment variable S, which is not set; for example: secret",
        ),
        ({"secret": [SECRET] * 3}, "notify.ops.secret: expected `array` of length <= 2; for example: secret = "),
        ({"secret": "short"}, "notify.ops.secret must be whsec_ and 24 to 64 bytes in base64: make one with `echo "),
        (
            {"preset": "teams"},
            "notify.ops.preset: unknown value 'teams'; the values are: webhook, slack; for example: ",
        ),
        ({"allow_private": "yes"}, "notify.ops.allow_private: expected `bool`, got `str`; for example: allow_private"),
        ({"urls": URL}, "unknown key `urls` in [notify.ops]: did you mean `url`?"),
    ],
)
def test_an_invalid_table_is_refused_with_a_valid_line(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(**table)

    assert message in str(refused.value)


def test_a_table_needs_a_url() -> None:
    with pytest.raises(ConfigError, match=r"^notify\.ops: `url` is required; for example: url = \"https://"):
        load_targets({"ops": {}}, [], {})


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "ä", "a:b"])
def test_a_name_is_short_and_plain(name: str) -> None:
    with pytest.raises(ConfigError, match=r"invalid name .* in \[notify\.NAME\]: use 1 to 64 letters"):
        load_targets({name: {"url": URL}}, [], {})


def test_the_number_of_targets_is_bounded() -> None:
    tables = {f"t{number}": {"url": URL} for number in range(TARGETS_MAX + 1)}

    with pytest.raises(ConfigError, match="notify has 33 tables, and at most 32 are allowed: remove some"):
        load_targets(tables, [], {})


@pytest.mark.parametrize("table", [{"url": "https://me:hush@/x"}, {"url": "https://a/hush#x"}, {"secret": "hush"}])
def test_no_message_shows_a_secret(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        load(**table)

    assert "hush" not in str(refused.value)


def test_a_value_that_is_no_table_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "pexecutor.toml"
    file.write_text('notify = { ops = "https://hooks.example.org/hush" }', encoding="utf-8")

    with pytest.raises(ConfigError) as refused:
        load_config(file=file, environment={}, flags={})

    assert "hush" not in str(refused.value)
    assert "notify" in str(refused.value)
