"""Deliveries as real senders make them: bodies, headers and signatures."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from standardwebhooks import Webhook

GITHUB_SECRET = "It's a Secret to Everybody"
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BEARER_SECRET = "s3cr3t-0123456789abcdef"
NOW = 1_700_000_000.0

PUSH: dict[str, Any] = {
    "ref": "refs/heads/main",
    "before": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
    "after": "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5",
    "created": False,
    "deleted": False,
    "forced": False,
    "compare": "https://github.com/Codertocat/Hello-World/compare/6113728f27ae...59b20b8d5c6f",
    "commits": [{"id": "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5", "message": "Update README.md", "added": []}],
    "head_commit": None,
    "repository": {"id": 186853002, "name": "Hello-World", "full_name": "Codertocat/Hello-World", "private": False},
    "pusher": {"name": "Codertocat", "email": "21031067+Codertocat@users.noreply.github.com"},
    "sender": {"login": "Codertocat", "id": 21031067, "type": "User", "site_admin": False},
}

PULL_REQUEST: dict[str, Any] = {
    "action": "opened",
    "number": 2,
    "pull_request": {
        "id": 279147437,
        "state": "open",
        "title": "Update the README with new information.",
        "body": "This is a pretty simple change that we need to pull into main.",
        "head": {"ref": "changes", "sha": "ec26c3e57ca3a959ca5aad62de7213c562f8c821"},
        "draft": False,
    },
    "repository": {"id": 186853002, "name": "Hello-World", "full_name": "Codertocat/Hello-World", "private": False},
}

PING: dict[str, Any] = {
    "zen": "Keep it logically awesome.",
    "hook_id": 109948940,
    "hook": {"type": "Repository", "id": 109948940, "name": "web", "active": True, "events": ["push", "pull_request"]},
    "repository": {"id": 186853002, "name": "Hello-World"},
}

Headers = dict[str, str]


def values_of(headers: Headers) -> Callable[[bytes], list[str]]:
    """Return a function like ``IncomingRequest.header_values``."""
    lower = {name.lower(): value for name, value in headers.items()}
    return lambda name: [lower[name.decode()]] if name.decode() in lower else []


def from_github(event: str, body: bytes, *, secret: str = GITHUB_SECRET) -> Headers:
    return {
        "User-Agent": "GitHub-Hookshot/044aadd",
        "Content-Type": "application/json",
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": "292430182",
        "X-Hub-Signature": f"sha1={hmac.new(secret.encode(), body, 'sha1').hexdigest()}",
        "X-Hub-Signature-256": f"sha256={hmac.new(secret.encode(), body, sha256).hexdigest()}",
    }


def from_standard(body: bytes, *, at: float = NOW, secret: str = STANDARD_SECRET, by: str = "msg_2Lp") -> Headers:
    """Return the headers made by the library of the specification's authors."""
    signature = Webhook(secret).sign(by, datetime.fromtimestamp(at, UTC), body.decode())
    return {
        "Content-Type": "application/json",
        "webhook-id": by,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": signature,
    }


def from_bearer(secret: str = BEARER_SECRET) -> Headers:
    return {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}


def as_json(payload: Any) -> bytes:
    return json.dumps(payload).encode()


def other_signature() -> str:
    return f"v1,{b64encode(bytes(32)).decode()}"
