"""Check that a delivery was sent by a holder of the hook's secret.

A signature covers the body as it was sent, so it is checked before anything is decoded. Every comparison takes constant
time, and no message shows a secret or an expected signature.

* ``github``: ``X-Hub-Signature-256`` is ``sha256=`` and the HMAC-SHA256 of the body ("Validating webhook deliveries" in
  GitHub's documentation). A delivery has the id ``X-GitHub-Delivery`` and no time.
* ``standard``: ``webhook-signature`` lists signatures of the id, the time and the body, each with its version
  (Standard Webhooks 1.0.0, "Signature scheme").
* ``bearer``: ``Authorization`` is ``Bearer`` and the secret itself (RFC 6750). A delivery has neither an id nor a time.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, Literal

from ..errors import BadRequestError, BadSignatureError

Scheme = Literal["github", "standard", "bearer"]
HeaderValues = Callable[[bytes], list[str]]

TIMESTAMP_SECONDS_MAX: Final = 300
"""How far the time of a delivery may be from the server's clock; the tolerance of Standard Webhooks."""

DELIVERY_ID_CHARACTERS_MAX: Final = 255
STANDARD_PREFIX: Final = "whsec_"

_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_DELIVERY_ID: Final = re.compile(rf"[!-~]{{1,{DELIVERY_ID_CHARACTERS_MAX}}}")
_CHALLENGES: Final[dict[Scheme, str]] = {"github": "Signature", "standard": "Signature", "bearer": "Bearer"}
"""The value of ``WWW-Authenticate``, which every reply 401 must have (RFC 9110, section 15.5.2)."""


def key_of(scheme: Scheme, secret: str) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        ValueError: a secret of Standard Webhooks is not base64.
    """
    if scheme != "standard":
        return secret.encode()
    try:
        return b64decode(secret.removeprefix(STANDARD_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"must be {STANDARD_PREFIX} and base64, as Standard Webhooks requires") from error


def delivery_id(scheme: Scheme, keys: Sequence[bytes], headers: HeaderValues, body: bytes, now: float) -> str | None:
    """Check the signature of a delivery and return the id of the delivery, or ``None`` if its scheme has none.

    Parameters:
        keys: the keys, any of which may have signed the delivery.
        headers: returns the values of the headers with a name.
        body: the body as it was sent.
        now: the time of the server's clock, in seconds since 1970.

    Raises:
        BadSignatureError: the signature is missing or wrong, or the delivery is too old.
        BadRequestError: the id is missing or invalid.
    """
    match scheme:
        case "github":
            _check_github(keys, headers, body)
            return _id(b"x-github-delivery", headers)
        case "standard":
            _check_standard(keys, headers, body, now)
            return _id(b"webhook-id", headers)
        case "bearer":
            _check_bearer(keys, headers)
            return None


def _check_github(keys: Sequence[bytes], headers: HeaderValues, body: bytes) -> None:
    sent = _only(b"x-hub-signature-256", headers, "github")
    expected = [f"sha256={hmac.new(key, body, sha256).hexdigest()}" for key in keys]
    _compare([sent], expected, "github", "X-Hub-Signature-256 does not match the body: check the secret")


def _check_standard(keys: Sequence[bytes], headers: HeaderValues, body: bytes, now: float) -> None:
    sent_id, sent_at, sent = (
        _only(name, headers, "standard") for name in (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
    )
    signed = b"%b.%b.%b" % (sent_id.encode("latin1"), sent_at.encode("latin1"), body)
    expected = [f"v1,{b64encode(hmac.new(key, signed, sha256).digest()).decode()}" for key in keys]
    _compare(sent.split(" "), expected, "standard", "webhook-signature does not match the delivery: check the secret")
    if _SECONDS.fullmatch(sent_at) is None:
        raise _refusal("standard", "webhook-timestamp must be whole seconds since 1970")
    if abs(now - int(sent_at)) > TIMESTAMP_SECONDS_MAX:
        raise _refusal(
            "standard",
            f"webhook-timestamp is {abs(now - int(sent_at)):.0f} s from the server's clock, and the limit is "
            f"{TIMESTAMP_SECONDS_MAX} s: check both clocks, and sign each attempt anew",
        )


def _check_bearer(keys: Sequence[bytes], headers: HeaderValues) -> None:
    scheme, _, secret = _only(b"authorization", headers, "bearer").partition(" ")
    if scheme.lower() != "bearer":
        raise _refusal("bearer", "send the secret as `Authorization: Bearer SECRET`")
    _compare(
        [secret.strip()], [key.decode() for key in keys], "bearer", "unknown secret: check the Authorization header"
    )


def _compare(sent: Sequence[str], expected: Sequence[str], scheme: Scheme, why: str) -> None:
    """Compare every pair, so that the time does not depend on which of them is equal."""
    equal = [hmac.compare_digest(one.encode(), other.encode()) for one in sent for other in expected]
    if not any(equal):
        raise _refusal(scheme, why)


def _only(name: bytes, headers: HeaderValues, scheme: Scheme) -> str:
    values = headers(name)
    if len(values) != 1:
        shown = "missing" if not values else "repeated"
        raise _refusal(scheme, f"{shown} {_title(name)} header: the hook's scheme is {scheme}")
    return values[0]


def _id(name: bytes, headers: HeaderValues) -> str:
    values = headers(name)
    if len(values) != 1 or _DELIVERY_ID.fullmatch(values[0]) is None:
        raise BadRequestError(
            f"send exactly one {_title(name)} header with 1 to {DELIVERY_ID_CHARACTERS_MAX} visible ASCII characters"
        )
    return values[0]


def _title(name: bytes) -> str:
    return name.decode() if name.startswith(b"webhook-") else "-".join(map(str.capitalize, name.decode().split("-")))


def _refusal(scheme: Scheme, detail: str) -> BadSignatureError:
    return BadSignatureError(detail, {"WWW-Authenticate": _CHALLENGES[scheme]})
