"""Signatures of deliveries: those of real senders are accepted, and any change is refused with a clear reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pexecutor.web.api.errors import BadRequestError, BadSignatureError
from pexecutor.web.api.hooks.signature import Scheme, delivery_id, key_of

from .deliveries import (
    BEARER_SECRET,
    GITHUB_SECRET,
    NOW,
    PING,
    PULL_REQUEST,
    PUSH,
    STANDARD_SECRET,
    Headers,
    as_json,
    from_bearer,
    from_github,
    from_standard,
    other_signature,
    values_of,
)

SECRETS: dict[Scheme, str] = {"github": GITHUB_SECRET, "standard": STANDARD_SECRET, "bearer": BEARER_SECRET}
OTHER_SECRETS: dict[Scheme, str] = {"github": "b" * 32, "standard": "whsec_" + "b" * 32, "bearer": "b" * 32}
BODY = as_json(PUSH)

SENT: dict[Scheme, Headers] = {
    "github": from_github("push", BODY),
    "standard": from_standard(BODY),
    "bearer": from_bearer(),
}


def id_of(
    scheme: Scheme, headers: Headers, body: bytes = BODY, *, now: float = NOW, others: bool = False
) -> str | None:
    secrets = [OTHER_SECRETS[scheme]] * others + [SECRETS[scheme]]
    return delivery_id(scheme, [key_of(scheme, secret) for secret in secrets], values_of(headers), body, now)


@pytest.mark.parametrize(("event", "payload"), [("push", PUSH), ("pull_request", PULL_REQUEST), ("ping", PING)])
def test_deliveries_of_github(event: str, payload: object) -> None:
    body = as_json(payload)
    assert id_of("github", from_github(event, body), body) == "72d3162e-cc78-11e3-81ab-4c9367dc0958"


def test_the_example_of_githubs_documentation() -> None:
    headers = from_github("push", b"Hello, World!")
    assert headers["X-Hub-Signature-256"] == ("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
    assert id_of("github", headers, b"Hello, World!")


def test_a_delivery_that_the_specifications_own_library_has_signed() -> None:
    assert id_of("standard", SENT["standard"]) == "msg_2Lp"


def test_one_of_several_signatures_is_enough() -> None:
    headers = SENT["standard"]
    headers = {**headers, "webhook-signature": f"v1a,xyz {other_signature()} {headers['webhook-signature']}"}
    assert id_of("standard", headers) == "msg_2Lp"


def test_a_bearer_has_no_id() -> None:
    assert id_of("bearer", SENT["bearer"]) is None


@pytest.mark.parametrize("scheme", SECRETS)
def test_either_of_two_secrets_is_enough(scheme: Scheme) -> None:
    id_of(scheme, SENT[scheme], others=True)


@given(place=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
@pytest.mark.parametrize("scheme", ["github", "standard"])
def test_a_flipped_bit_is_found(scheme: Scheme, place: int, bit: int) -> None:
    flipped = bytearray(BODY)
    flipped[place] ^= 1 << bit
    with pytest.raises(BadSignatureError, match="does not match"):
        id_of(scheme, SENT[scheme], bytes(flipped))


def without(name: str) -> Callable[[Headers], Headers]:
    return lambda headers: {key: value for key, value in headers.items() if key.lower() != name.lower()}


def with_(**changed: str) -> Callable[[Headers], Headers]:
    return lambda headers: headers | {key.replace("_", "-"): value for key, value in changed.items()}


REFUSED: list[tuple[Scheme, Callable[[Headers], Headers], str]] = [
    ("github", without("X-Hub-Signature-256"), "missing X-Hub-Signature-256 header: the hook's scheme is github"),
    ("github", with_(**{"X-Hub-Signature-256": "sha256="}), "does not match the body"),
    ("github", with_(**{"X-Hub-Signature-256": "sha256=\xe9"}), "does not match the body"),
    ("standard", without("webhook-id"), "missing webhook-id header"),
    ("standard", without("webhook-timestamp"), "missing webhook-timestamp header"),
    ("standard", without("webhook-signature"), "missing webhook-signature header"),
    ("standard", with_(webhook_signature=""), "does not match the delivery"),
    ("standard", with_(webhook_signature=other_signature()), "does not match the delivery"),
    ("standard", with_(webhook_id="msg_other"), "does not match the delivery"),
    ("standard", with_(webhook_timestamp=str(int(NOW) + 1)), "does not match the delivery"),
    ("bearer", without("Authorization"), "missing Authorization header"),
    ("bearer", with_(Authorization="Basic czNjcjN0"), "send the secret as `Authorization: Bearer SECRET`"),
    ("bearer", with_(Authorization="Bearer "), "unknown secret"),
    ("bearer", with_(Authorization=f"Bearer {BEARER_SECRET}x"), "unknown secret"),
]


@pytest.mark.parametrize(("scheme", "change", "why"), REFUSED)
def test_what_is_not_signed_is_refused(scheme: Scheme, change: Callable[[Headers], Headers], why: str) -> None:
    with pytest.raises(BadSignatureError, match=why) as caught:
        id_of(scheme, change(SENT[scheme]))
    assert SECRETS[scheme] not in str(caught.value)
    assert caught.value.headers == {"WWW-Authenticate": "Bearer" if scheme == "bearer" else "Signature"}


@pytest.mark.parametrize("scheme", SECRETS)
@pytest.mark.parametrize("other", SECRETS)
def test_a_delivery_of_another_scheme_is_refused(scheme: Scheme, other: Scheme) -> None:
    if scheme != other:
        with pytest.raises(BadSignatureError):
            id_of(scheme, SENT[other])


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_time_within_the_window_is_accepted(seconds: int) -> None:
    assert id_of("standard", SENT["standard"], now=NOW + seconds)


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_an_old_or_future_time_is_refused(seconds: int) -> None:
    with pytest.raises(
        BadSignatureError, match=rf"is {abs(seconds)} s from the server's clock, and the limit is 300 s"
    ):
        id_of("standard", SENT["standard"], now=NOW + seconds)


@pytest.mark.parametrize("sent", ["", "a b", "é", "x" * 256])
def test_an_unusable_id_is_refused(sent: str) -> None:
    with pytest.raises(BadRequestError, match="send exactly one X-Github-Delivery header with 1 to 255"):
        id_of("github", SENT["github"] | {"X-GitHub-Delivery": sent})


@pytest.mark.parametrize("secret", ["whsec_!", "whsec_abc"])
def test_a_standard_secret_is_base64(secret: str) -> None:
    with pytest.raises(ValueError, match="must be whsec_ and base64"):
        key_of("standard", secret)
