"""Deliveries over HTTP: their replies, and the tasks that they submit."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import pytest
import trio
from structlog.testing import capture_logs

from pexecutor import Executor, LocalStore
from pexecutor.config import Config
from pexecutor.errors import ConfigError
from pexecutor.web import create_app
from pexecutor.web.api.hooks.hook import BODY_BYTES_MAX

from ...conftest import Served, ServeHere
from ...replies import problem_in, retry_after_in
from ...tokens import TABLES, TOKENS, bearer
from .deliveries import (
    BEARER_SECRET,
    GITHUB_SECRET,
    PING,
    PUSH,
    STANDARD_SECRET,
    as_json,
    from_bearer,
    from_github,
    from_standard,
)

HOUR_MS = 3_600_000

HOOKS: dict[str, Any] = {
    "deploy": {
        "scheme": "github",
        "secret": GITHUB_SECRET,
        "when": {"header.x-github-event": "push"},
        "task": {"name": "deploy-{body.repository.name}", "duration": HOUR_MS, "priority": 7},
    },
    "billing": {"scheme": "standard", "secret": STANDARD_SECRET, "task": {"name": "{body.id}", "duration": HOUR_MS}},
    "plain": {"scheme": "bearer", "secret": BEARER_SECRET, "task": {"name": "{body.id}", "duration": HOUR_MS}},
}
PUSHED = as_json(PUSH)


@pytest.fixture
async def hooked(serve_here: ServeHere) -> Served:
    """A server with three hooks, and with tokens that no delivery has."""
    return await serve_here(hooks=HOOKS, tokens=TABLES, pool_size=1, queue_size=2)


async def deliver(hooked: Served, hook: str, body: bytes, headers: dict[str, str]) -> httpx2.Response:
    return await hooked.client.post(f"/hooks/{hook}", content=body, headers=headers)


async def deliver_plain(hooked: Served, name: str) -> httpx2.Response:
    return await deliver(hooked, "plain", as_json({"id": name}), from_bearer())


async def names(hooked: Served) -> list[str]:
    listing = await hooked.client.get("/tasks", headers=bearer(TOKENS["read"]))
    return [record["name"] for record in listing.json()]


async def test_a_push_submits_a_task(hooked: Served) -> None:
    reply = await deliver(hooked, "deploy", PUSHED, from_github("push", PUSHED))

    assert reply.status_code == 202
    record = reply.json()
    assert (record["name"], record["priority"]) == ("deploy-Hello-World", 7)
    assert reply.headers["location"] == f"/tasks/{record['id']}"
    assert await names(hooked) == ["deploy-Hello-World"]


async def test_a_delivery_of_standard_webhooks_submits_a_task(hooked: Served) -> None:
    body = as_json({"id": "invoice-7"})
    reply = await deliver(hooked, "billing", body, from_standard(body, at=time.time()))

    assert reply.status_code == 202
    assert await names(hooked) == ["invoice-7"]


async def test_a_body_is_signed_as_it_was_sent_with_its_byte_order_mark(hooked: Served) -> None:
    body = b"\xef\xbb\xbf" + as_json({"id": "x"})
    reply = await deliver(hooked, "deploy", body, from_github("push", body))

    assert reply.status_code != 401


async def test_a_delivery_of_another_kind_is_skipped(hooked: Served) -> None:
    body = as_json(PING)
    reply = await deliver(hooked, "deploy", body, from_github("ping", body))

    assert (reply.status_code, reply.json()) == (
        200,
        {"skipped": "when", "detail": 'header.x-github-event is not "push"'},
    )
    assert await names(hooked) == []


async def test_a_held_name_is_skipped(hooked: Served) -> None:
    first = (await deliver_plain(hooked, "x")).json()
    reply = await deliver_plain(hooked, "x")

    assert reply.status_code == 200
    skip = reply.json()
    assert (skip["skipped"], skip["holder"]["id"]) == ("held", first["id"])
    assert skip["detail"].startswith("the name 'x' is held by the ")
    assert await names(hooked) == ["x"]


async def test_a_repeated_delivery_gets_the_first_reply_again(hooked: Served) -> None:
    first = await deliver(hooked, "deploy", PUSHED, from_github("push", PUSHED))
    await hooked.client.delete(first.headers["location"], headers=bearer(TOKENS["submit"]))
    await hooked.until(lambda now: not now.store.running)

    again = await deliver(hooked, "deploy", PUSHED, from_github("push", PUSHED))

    assert (again.status_code, again.headers["location"]) == (202, first.headers["location"])
    assert (again.json()["id"], again.json()["outcome"]) == (first.json()["id"], "cancelled")
    assert await names(hooked) == ["deploy-Hello-World"]


async def test_a_delivery_whose_record_is_gone_is_not_submitted_again(serve_here: ServeHere) -> None:
    hook = HOOKS["deploy"] | {"task": {"name": "x", "keep": 0}}
    hooked = await serve_here(hooks={"deploy": hook})
    first = await deliver(hooked, "deploy", PUSHED, from_github("push", PUSHED))
    with trio.fail_after(10):
        while (await hooked.client.get(first.headers["location"])).status_code != 410:  # noqa: ASYNC110
            await trio.sleep(0.01)

    again = await deliver(hooked, "deploy", PUSHED, from_github("push", PUSHED))

    assert again.status_code == 200
    assert again.json()["skipped"] == "repeated"
    assert first.json()["id"] in again.json()["detail"]


async def test_a_delivery_that_was_skipped_is_judged_anew(hooked: Served) -> None:
    holder = (await deliver_plain(hooked, "deploy-Hello-World")).json()
    assert (await deliver(hooked, "deploy", PUSHED, from_github("push", PUSHED))).json()["skipped"] == "held"
    await hooked.client.delete(f"/tasks/{holder['id']}", headers=bearer(TOKENS["submit"]))
    await hooked.until(lambda now: not now.store.running)

    reply = await deliver(hooked, "deploy", PUSHED, from_github("push", PUSHED))
    assert reply.status_code == 202


async def test_a_full_queue_and_a_drain_are_answered_as_for_a_submit(hooked: Served) -> None:
    for name in "abc":
        assert (await deliver_plain(hooked, name)).status_code == 202
        if name == "a":
            await hooked.until(lambda now: now.store.running == 1)
    full = await deliver_plain(hooked, "d")
    assert problem_in(full, 429)
    assert retry_after_in(full)

    await hooked.client.post("/drain", headers=bearer(TOKENS["admin"]))
    assert problem_in(await deliver_plain(hooked, "e"), 503)


@pytest.mark.parametrize(
    ("hook", "body", "headers", "status", "detail"),
    [
        ("nothing", b"{}", {}, 404, "no hook has the name 'nothing'"),
        ("deploy", PUSHED[:-1] + b" ", from_github("push", PUSHED), 401, "X-Hub-Signature-256 does not match the body"),
        ("deploy", PUSHED, {}, 401, "missing X-Hub-Signature-256 header"),
        ("deploy", PUSHED, from_bearer(), 401, "missing X-Hub-Signature-256 header"),
        ("billing", b"{}", from_standard(b"{}"), 401, "s from the server's clock, and the limit is 300 s"),
        ("plain", b"{}", from_bearer("wrong-secret-wrong-secret"), 401, "unknown secret"),
        ("plain", b"{}", from_bearer(TOKENS["admin"]), 401, "unknown secret"),
        ("plain", b"{}", from_bearer(), 400, "the delivery has no value for the slot {body.id} of the hook"),
        ("plain", b'{"id": []}', from_bearer(), 400, "cannot be part of the name"),
        ("plain", b'{"id": ""}', from_bearer(), 400, "`name`"),
        ("plain", b"[1]", from_bearer(), 400, "the body must be a JSON object"),
        ("plain", b"x", {**from_bearer(), "Content-Type": "text/plain"}, 415, "unsupported Content-Type"),
        ("plain", b" " * 2 * BODY_BYTES_MAX, from_bearer(), 413, f"the limit is {BODY_BYTES_MAX}"),
    ],
)
async def test_what_is_wrong_submits_nothing(
    hooked: Served, hook: str, body: bytes, headers: dict[str, str], status: int, detail: str
) -> None:
    reply = await deliver(hooked, hook, body, headers)

    assert detail in problem_in(reply, status)["detail"]
    assert ("www-authenticate" in reply.headers) == (status == 401)
    assert await names(hooked) == []


async def test_a_wrong_secret_never_locks_a_token_out(hooked: Served) -> None:
    for _ in range(200):
        reply = await deliver(hooked, "plain", b"{}", from_bearer("wrong-secret-wrong-secret"))
        assert reply.status_code == 401
    unknown = await hooked.client.get("/tasks", headers=bearer("pex_" + "y" * 43))
    assert unknown.status_code == 401, "not 429"


async def test_no_line_of_the_log_holds_a_secret(hooked: Served) -> None:
    with capture_logs() as log:
        await deliver_plain(hooked, "x")
        await deliver(hooked, "plain", b"{}", from_bearer("wrong-secret-wrong-secret"))
        await deliver(hooked, "deploy", PUSHED, from_github("push", PUSHED))

    assert [(line["event"], line["hook"]) for line in log if "hook" in line] == [
        ("delivery accepted", "plain"),
        ("delivery refused", "plain"),
        ("delivery accepted", "deploy"),
    ]
    assert not [line for line in log if any(secret in str(line) for secret in (BEARER_SECRET, GITHUB_SECRET, "wrong-"))]


def test_a_hook_for_an_unknown_handler_is_refused_at_the_start() -> None:
    hook = HOOKS["plain"] | {"task": {"name": "x", "handler": "slep"}}
    with pytest.raises(ConfigError, match=r"hooks\.x\.task: unknown handler `slep`: did you mean `sleep`\?"):
        create_app(Executor(LocalStore()), Config(hooks={"x": hook}))
