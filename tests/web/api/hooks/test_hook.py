"""A hook from its settings: the task that it makes of a delivery, skipped deliveries, and settings that are refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from pexecutor.errors import ConfigError, InvalidTaskError
from pexecutor.task import Task
from pexecutor.web.api.errors import BadRequestError, BadSignatureError, UnsupportedMediaTypeError
from pexecutor.web.api.hooks.hook import Arrival, Hook

from .deliveries import BEARER_SECRET, GITHUB_SECRET, NOW, PUSH, as_json, from_bearer, from_github, values_of

FORM = "application/x-www-form-urlencoded"

DEPLOY: dict[str, Any] = {
    "scheme": "github",
    "secret": "${SECRET}",
    "when": {"header.x-github-event": "push", "body.ref": "refs/heads/main", "body.deleted": False},
    "task": {"name": "deploy-{body.repository.name}", "handler": "deploy", "params": {"commit": "{body.after}"}},
}


def hook(**changed: Any) -> Hook:
    return Hook("deploy", DEPLOY | changed, {"SECRET": GITHUB_SECRET})


def from_payload(payload: Any, event: str = "push", **changed: Any) -> Arrival:
    body = as_json(payload)
    return hook(**changed).arrival(values_of(from_github(event, body)), "application/json", body, NOW)


def by_bearer(body: bytes, mimetype: str = "application/json", **task: Any) -> Arrival:
    bearer = hook(scheme="bearer", secret=BEARER_SECRET, when={}, task={"name": "n", **task})
    return bearer.arrival(values_of(from_bearer()), mimetype, body, NOW)


def test_a_delivery_stands_for_a_task() -> None:
    arrival = from_payload(PUSH)
    assert arrival == (
        "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        Task(name="deploy-Hello-World", handler="deploy", params={"commit": PUSH["after"]}),
    )


@pytest.mark.parametrize(
    ("change", "event", "why"),
    [
        ({}, "ping", 'header.x-github-event is not "push"'),
        ({"ref": "refs/heads/other"}, "push", 'body.ref is not "refs/heads/main"'),
        ({"deleted": True}, "push", "body.deleted is not false"),
        ({"deleted": 0}, "push", "body.deleted is not false"),
        ({"deleted": None}, "push", "body.deleted is not false"),
    ],
)
def test_a_delivery_of_another_kind_is_skipped(change: dict[str, Any], event: str, why: str) -> None:
    assert from_payload(PUSH | change, event).task == why


def test_a_skipped_delivery_needs_no_value_for_the_slots() -> None:
    assert from_payload({}, "ping").task == 'header.x-github-event is not "push"'


def test_github_may_send_the_json_in_a_form() -> None:
    body = urlencode({"payload": as_json(PUSH)}).encode()
    arrival = hook().arrival(values_of(from_github("push", body)), FORM, body, NOW)
    assert isinstance(arrival.task, Task)


def test_the_fields_of_a_form_fill_slots() -> None:
    arrival = by_bearer(b"text=a+b&empty=", FORM, params={"x": "{body.text}", "y": "{body.empty}"})
    assert isinstance(arrival.task, Task)
    assert arrival.task.params == {"x": "a b", "y": ""}


@pytest.mark.parametrize(
    ("body", "mimetype", "why"),
    [
        (b"[]", "application/json", "the body must be a JSON object"),
        (b"{", "application/json", "the body is not valid JSON"),
        (b"", "application/json", "the body is not valid JSON"),
        (b'{"x": "\xff"}', "application/json", "the body is not UTF-8"),
        (b"[" * 100_000, "application/json", "the body must be a JSON object"),
        (b'{"x":' * 100_000, "application/json", "the body is nested too deeply"),
        (b"a=1&a=2", FORM, "the form gives a field more than once"),
        (b"a", FORM, "the body is not a form"),
        (b"a=%ff", FORM, "the body is not a form"),
        (b"&".join(b"a%d=" % i for i in range(1001)), FORM, "the body is not a form of at most 1000 fields"),
    ],
)
def test_an_unreadable_body_is_refused(body: bytes, mimetype: str, why: str) -> None:
    with pytest.raises(BadRequestError, match=why):
        by_bearer(body, mimetype)


def test_a_body_of_another_type_is_refused() -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="unsupported Content-Type 'text/plain'"):
        by_bearer(b"{}", "text/plain")


def test_the_signature_is_checked_before_the_body() -> None:
    with pytest.raises(BadSignatureError):
        hook().arrival(values_of({}), "text/plain", b"{", NOW)


def test_a_filled_task_is_checked_as_any_other() -> None:
    with pytest.raises(InvalidTaskError, match="priority"):
        by_bearer(b'{"p": 101}', priority="{body.p}")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"scheme": "gitlab"}, r"hooks\.deploy\.scheme: "),
        (
            {"secret": "short"},
            r"hooks\.deploy\.secret has fewer than 16 characters: make one with `openssl rand -hex 32`",
        ),
        ({"secret": ["x" * 32] * 3}, r"hooks\.deploy\.secret"),
        ({"secret": "${NOT_SET}"}, r"hooks\.deploy\.secret needs the environment variable NOT_SET, which is not set"),
        ({"scheme": "standard", "secret": "no base64, but long"}, "secret must be whsec_ and base64"),
        ({"when": {"ref": "x"}}, r"hooks\.deploy\.when: 'ref' must be body\.PATH or header\.NAME"),
        ({"when": {"body.ref": ["x"]}}, r"hooks\.deploy\.when"),
        ({"task": {"handler": "deploy"}}, r"hooks\.deploy\.task\.name is required"),
        ({"other": 1}, "unknown"),
    ],
)
def test_invalid_settings_are_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        hook(**change)
    assert "no base64" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a/b", "x" * 65, "ö"])
def test_an_unusable_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="invalid hook name"):
        Hook(name, DEPLOY, {"SECRET": GITHUB_SECRET})
