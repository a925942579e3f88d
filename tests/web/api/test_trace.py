"""Data that links a request to other systems: its id, the name of the client, and its trace."""

from __future__ import annotations

import re

import msgspec
import pytest
import structlog
import trio
from structlog.testing import capture_logs

from pexecutor import Task
from pexecutor.handlers import Context
from pexecutor.traceparent import parse_traceparent

from ...fakes import Doing, Gate
from ..conftest import Served, ServeHere
from ..raw import CHUNKED, JSON, LAST_CHUNK, NDJSON, RawReply, chunk, connected, request
from ..replies import faults_in, problem_in
from ..tokens import TABLES, TOKENS, bearer

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


async def ask(served: Served, data: bytes) -> RawReply:
    async with connected(served.port) as client:
        return await client.ask(data)


# The id of a request


@pytest.mark.parametrize(
    "sent", ["x", "0af7651916cd43dd8448eb211c80319c", "a.b_c~d:e/f+g=h@i-j".replace("~", ""), "x" * 128]
)
async def test_a_request_keeps_its_id(served: Served, sent: str) -> None:
    assert (await ask(served, request("GET /tasks", f"X-Request-Id: {sent}"))).headers["x-request-id"] == sent


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["X-Request-Id: "],
        ["X-Request-Id: a b"],
        ["X-Request-Id: <script>"],
        ["X-Request-Id: x\xff"],
        ["X-Request-Id: " + "x" * 129],
        ["X-Request-Id: a", "X-Request-Id: b"],
    ],
)
async def test_a_request_without_a_sane_id_gets_one(served: Served, headers: list[str]) -> None:
    ids = [(await ask(served, request("GET /tasks", *headers))).headers["x-request-id"] for _ in range(2)]

    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("GET /none", "X-Request-Id: x"), 404),
        (request("PUT /tasks", "X-Request-Id: x"), 405),
        (request("GET /tasks", "X-Request-Id: x", host="evil.example"), 421),
        (request("POST /drain", "X-Request-Id: x", "Origin: null"), 403),
        (request("POST /tasks", JSON, "X-Request-Id: x", body=b"{"), 400),
    ],
)
async def test_the_id_is_in_the_reply_to_what_is_wrong(served: Served, data: bytes, status: int) -> None:
    reply = await ask(served, data)

    assert problem_in(reply, status)
    assert reply.headers["x-request-id"] == "x"


async def test_a_reply_to_what_is_no_http_has_one_as_well(served: Served) -> None:
    assert (await ask(served, b"hello\r\n\r\n")).headers["x-request-id"]


# The log


async def test_each_change_is_one_line_that_says_who_asked_and_in_which_request(
    serve_here: ServeHere, gate: Gate
) -> None:
    served = await serve_here(tokens=TABLES, handler=gate)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as log:
        await served.client.post("/session", json={"token": TOKENS["read"]}, headers={"X-Request-Id": "1"})
        served.client.cookies.clear()
        served.client.headers.update(bearer(TOKENS["submit"]))
        reply = await served.client.post(
            "/tasks", json=[{"name": "a"}, {"name": "b"}, {"name": "a"}], headers={"X-Request-Id": "2"}
        )
        await served.client.post("/tasks", json={"name": "c"}, headers={"X-Request-Id": "3"})
        await served.client.post("/tasks", json={"name": "c"})
        await served.client.get("/tasks")
        await served.client.delete(f"/tasks/{(await served.listing())[0]['id']}", headers={"X-Request-Id": "4"})
        await served.client.post(
            "/tasks", content=b'{"name":"d"}\n{"name":"e"}\n', headers={"Content-Type": "application/x-ndjson"}
        )
        await served.client.post("/drain", headers=bearer(TOKENS["admin"]) | {"X-Request-Id": "5"})

    assert reply.status_code == 200
    assert [(line["event"], line["by"]) for line in log] == [
        ("signed in", "read-only"),
        ("submitted", "submit-only"),
        ("submitted", "submit-only"),
        ("cancelled", "submit-only"),
        ("submitted", "submit-only"),
        ("asked to drain", "admin-only"),
    ]
    assert [line["request_id"] for line in log if len(line["request_id"]) == 1] == ["1", "2", "3", "4", "5"]
    assert {key: log[1][key] for key in ("requested", "accepted", "duplicates", "rejected")} == {
        "requested": 3,
        "accepted": 2,
        "duplicates": 1,
        "rejected": 0,
    }
    assert log[3]["name"] in "abc"
    assert not any(token in str(log) for token in TOKENS.values())


async def test_where_no_token_is_configured_everybody_is_anonymous(served: Served) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as log:
        await served.client.post("/tasks", json=[{"name": "a"}])

    assert [(line["event"], line["by"]) for line in log] == [("submitted", "anonymous")]


async def test_a_submit_whose_client_leaves_is_in_the_log(full: Served) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as log:
        async with connected(full.port) as client:
            await client.send(request("POST /tasks?wait_for_room=60", JSON, body=b'[{"name": "late"}]'))
            await full.until(lambda now: now.waiting_for_room == 1)
            client.reset()
        await full.until(lambda now: now.waiting_for_room == 0)
        with trio.fail_after(5):
            while not log:  # noqa: ASYNC110  (a written line has no event)
                await trio.sleep(0.001)

    assert [(line["event"], line["requested"], line["by"]) for line in log] == [
        ("submit cancelled; its tasks may have been accepted", 1, "anonymous")
    ]


# The trace


async def traces_seen(served: Served, reply: RawReply) -> list[str | None]:
    """Return the trace in the record of each task of a batch reply."""
    ids = [task["id"] for task in reply.json()["Tasks"]]
    return [(await served.client.get(f"/tasks/{one}")).json().get("traceparent") for one in ids]


async def test_a_task_belongs_to_the_trace_of_its_request_or_to_its_own(served: Served) -> None:
    body = f'[{{"name": "a"}}, {{"name": "b", "traceparent": "{OTHER}", "params": {{}}}}]'.encode()

    reply = await ask(served, request("POST /tasks?verdicts=all", JSON, f"traceparent: {TRACE}", body=body))

    assert await traces_seen(served, reply) == [TRACE, OTHER]


async def test_so_do_the_tasks_of_a_stream(served: Served) -> None:
    lines = b'{"name": "a"}\n{"name": "b"}\n'
    head = request("POST /tasks?verdicts=all", NDJSON, CHUNKED, f"Traceparent: {TRACE}")

    assert await traces_seen(served, await ask(served, head + chunk(lines) + LAST_CHUNK)) == [TRACE, TRACE]


async def test_the_handler_is_told(serve_here: ServeHere) -> None:
    told: list[str | None] = []

    async def note(context: Context, _task: Task) -> None:
        told.append(context.traceparent)

    served = await serve_here(handler=Doing(note))
    await ask(served, request("POST /tasks", JSON, f"traceparent: {TRACE}", body=b'{"name": "a"}'))
    await ask(served, request("POST /tasks", JSON, body=b'{"name": "b"}'))
    await served.until(lambda now: now.store.history == 2)

    assert told == [TRACE, None]


def test_whatever_keeps_a_task_as_json_keeps_its_trace() -> None:
    task = Task("a", traceparent=TRACE)

    assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task


@pytest.mark.parametrize("headers", [["traceparent: x"], [f"traceparent: {TRACE}", f"traceparent: {TRACE}"], []])
async def test_a_trace_that_is_none_is_no_reason_to_refuse_a_task(served: Served, headers: list[str]) -> None:
    reply = await ask(served, request("POST /tasks", JSON, *headers, body=b'{"name": "a"}'))

    assert reply.status_code == 202
    assert "traceparent" not in reply.json()


@pytest.mark.parametrize("traceparent", ["", "x", TRACE.upper(), TRACE + "-00", TRACE.replace("00-", "cc-", 1)])
async def test_a_trace_in_a_task_has_to_be_one(served: Served, traceparent: str) -> None:
    reply = await served.client.post("/tasks", json=[{"name": "a", "traceparent": traceparent}])

    assert faults_in(reply) == [(0, "traceparent")]


@pytest.mark.parametrize(
    ("text", "handed_on"),
    [
        (TRACE, TRACE),
        (TRACE[:-2] + "ff", TRACE[:-2] + "ff"),
        (TRACE + "-", None),
        (TRACE + "-what-ever", None),
        (TRACE[:-1], None),
        (TRACE + "0", None),
        (" " + TRACE, None),
        (TRACE + "\n", None),
        (TRACE.upper(), None),
        (TRACE.replace("4bf9", "4bfg"), None),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", None),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01", None),
        ("ff" + TRACE[2:], None),
        ("FF" + TRACE[2:], None),
        ("0" + TRACE, None),
        ("cc" + TRACE[2:], TRACE),
        ("cc" + TRACE[2:] + "-what-ever", TRACE),
        ("cc" + TRACE[2:] + "-", TRACE),
        ("cc" + TRACE[2:] + ".what-ever", None),
        ("cc" + TRACE[2:-2] + "fe", TRACE[:-2] + "00"),
        ("cc-" + "0" * 32 + "-00f067aa0ba902b7-01", None),
        ("cc" + TRACE[2:] + "-" + "x" * 512, None),
        ("\N{ARABIC-INDIC DIGIT ZERO}" * 2 + TRACE[2:], None),
        ("", None),
    ],
)
def test_what_is_a_trace_and_what_of_it_is_handed_on(text: str, handed_on: str | None) -> None:
    assert parse_traceparent(text) == handed_on
