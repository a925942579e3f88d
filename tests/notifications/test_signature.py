"""Signatures, judged by the library of Standard Webhooks."""

from __future__ import annotations

import time
from base64 import b64encode

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from pexecutor.notifications.message import body_of
from pexecutor.notifications.signature import key_of_secret, signature_headers

from .deliveries import delivery

OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER = "whsec_" + b64encode(b"x" * 32).decode()


def headers_of(*secrets: str, at: float | None = None, body: bytes = b"{}") -> dict[str, str]:
    now = int(time.time() if at is None else at)
    return signature_headers([key_of_secret(secret) for secret in secrets], "a3f09c-43", now, body)


@pytest.mark.parametrize("known", [OLD, NEW])
def test_a_receiver_with_either_secret_accepts(known: str) -> None:
    body = body_of(delivery(), "webhook")

    verified = Webhook(known).verify(body, headers_of(OLD, NEW, body=body))

    assert verified["type"] == "task.failed"


@pytest.mark.parametrize("headers", [headers_of(OLD, body=b"[]"), headers_of(OTHER), headers_of(OLD, at=1e9)])
def test_a_receiver_refuses_other_bodies_secrets_and_times(headers: dict[str, str]) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(b"{}", headers)


def test_each_secret_has_a_signature() -> None:
    assert headers_of(OLD, NEW)["webhook-signature"].count("v1,") == 2
    assert "webhook-signature" not in headers_of()


@pytest.mark.parametrize("secret", ["", "secret", OLD.removeprefix("whsec_"), "whsec_", "whsec_c2hvcnQ=", "whsec_é"])
def test_a_secret_that_is_invalid_or_short_is_refused_with_a_command_that_makes_one(secret: str) -> None:
    with pytest.raises(ValueError, match=r"must be whsec_ and 24 to 64 bytes in base64: make one with `echo .*openssl"):
        key_of_secret(secret)
