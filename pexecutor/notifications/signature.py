"""Sign notifications as Standard Webhooks 1.0.0 demands ("Signature scheme"), with one secret or two.

A receiver checks ``webhook-signature`` with the secret that it has. While a secret is changed, a notification has two
signatures, so that receivers with the old and with the new secret accept it.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

PREFIX: Final = "whsec_"
KEY_BYTES_MIN: Final = 24
KEY_BYTES_MAX: Final = 64


def key_of_secret(secret: str) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        ValueError: the secret is not ``whsec_`` and 24 to 64 bytes in base64.
    """
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ValueError(
            f"must be {PREFIX} and {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes in base64: "
            f'make one with `echo "{PREFIX}$(openssl rand -base64 32)"`'
        )
    return key


def signature_headers(keys: Sequence[bytes], delivery_id: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers of a notification: its id, the time of the attempt, and a signature for each key.

    Parameters:
        keys: the keys; without one, the notification is not signed.
        delivery_id: the id of the delivery, equal for all of its attempts.
        at: the time of the attempt, in seconds since 1970.
        body: the body as it is sent.
    """
    headers = {"webhook-id": delivery_id, "webhook-timestamp": str(at)}
    signed = b"%b.%d.%b" % (delivery_id.encode(), at, body)
    signatures = [f"v1,{b64encode(hmac.new(key, signed, sha256).digest()).decode()}" for key in keys]
    return headers | ({"webhook-signature": " ".join(signatures)} if signatures else {})
