"""The API document: it is valid, contains every route, and describes requests and replies correctly."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import msgspec
import pytest
import trio
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from pexecutor import Context, Executor, LocalStore, Task
from pexecutor.config import Config
from pexecutor.errors import ConfigError, NotServingError
from pexecutor.handlers import Catalogue, load_catalogue
from pexecutor.handlers.sleep import Sleep
from pexecutor.limits.defaults import LIMIT_SETTINGS_MAX
from pexecutor.observe.events import Reloaded
from pexecutor.schedules.declaration import ScheduleDeclaration
from pexecutor.stores.schedules import ScheduleBounds
from pexecutor.web import create_app
from pexecutor.web.api.errors import STATUS_OF, NothingToSignInToError
from pexecutor.web.api.hooks.hook import BODY_BYTES_MAX
from pexecutor.web.docs.openapi import AT_THE_GATE, NDJSON
from pexecutor.web.docs.page import DocsAnswers
from pexecutor.web.docs.schemas import JsonObject
from pexecutor.web.routes import ROUTES

from ...fakes import Doing, FakeJournal
from ..conftest import Served, ServeHere
from ..tokens import bearer

OPERATIONS = [(route, route.doc) for route in ROUTES if route.doc is not None]

FOR_BROWSERS = {
    *(("GET", path) for path in ("/", "/ui", "/ui/{page}", "/ui/{page}/{item}")),
    ("GET", "/ui/static/{version}/{folder}/{file}"),
    *((method, "/session") for method in ("GET", "POST", "DELETE")),
}

BY_ID = {doc.id: route for route, doc in OPERATIONS}

REQUEST_SECONDS_MAX = 0.1

JSON_TYPE = {"Content-Type": "application/json"}

DECLARED = {"pack": {"command": ["tar", "{file}"]}, "a b/ü": {"command": ["true"]}}


def document_of(handlers: Catalogue, **settings: Any) -> JsonObject:
    config = msgspec.structs.replace(Config(), **settings)
    return DocsAnswers(ROUTES, Executor(LocalStore(), handlers=handlers), config).document


FUNCTIONS = load_catalogue(declared=DECLARED, modules=["tests.handlers.functions.functions"], environment={})


@pytest.fixture(scope="module")
def document() -> JsonObject:
    """The document of a server with additional handlers."""
    return document_of(FUNCTIONS)


def validator(document: JsonObject, schema: JsonObject) -> OAS31Validator:
    """Return a validator for a schema of the document."""
    return OAS31Validator(schema | {"components": document["components"]}, format_checker=OAS31Validator.FORMAT_CHECKER)


def operations(document: JsonObject) -> list[JsonObject]:
    """All operations."""
    return [operation for methods in document["paths"].values() for operation in methods.values()]


def responses(document: JsonObject) -> list[tuple[str, str, JsonObject]]:
    """Return all replies, with the id of their operation and their status."""
    return [
        (operation["operationId"], status, reply)
        for operation in operations(document)
        for status, reply in operation["responses"].items()
    ]


# The document


def test_it_is_valid(document: JsonObject) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_it_has_every_route_and_no_other() -> None:
    app = create_app(Executor(LocalStore()), Config())
    served = {
        (method, re.sub("<(?:[^<>]*:)?([^<>]*)>", r"{\1}", rule.rule).replace("task_id", "id"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    described = [(route.method, route.path) for route, _ in OPERATIONS]
    assert set(described) == served - FOR_BROWSERS
    assert served > FOR_BROWSERS
    assert len(described) == len(served - FOR_BROWSERS)


def test_every_error_that_is_answered_is_in_it() -> None:
    errors = {error for route, _ in OPERATIONS for error in route.errors}

    assert {*errors, *AT_THE_GATE, NothingToSignInToError} == set(STATUS_OF)


def test_everything_in_it_is_described(document: JsonObject) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, described in schema.get("properties", {}).items():
            assert described.get("description"), f"{name}.{field}"
    for operation in operations(document):
        assert operation["summary"]
        assert all(parameter["description"] for parameter in operation.get("parameters", []))
        assert operation.get("requestBody", {"description": "none"})["description"]
        assert all(reply["description"] for reply in operation["responses"].values())


# Requirements of client generators


def test_titles_are_unique_whatever_the_handlers_are_called() -> None:
    names = ["resize", "Resize", "re-size", "re_size", "re size", "resize.2", "resizeMode", "ü", "2"]
    [described] = [handler for handler in FUNCTIONS.describe() if handler.name == "resize"]
    handlers = Catalogue(dict.fromkeys(names, FUNCTIONS["resize"]))

    schemas = document_of(handlers)["components"]["schemas"]

    assert described.params["$defs"].keys() > {"Mode"}
    classes = [re.sub(r"[^a-z0-9]", "", schema["title"].lower()) for schema in schemas.values()]
    assert len(set(classes)) == len(classes)
    assert len(set(schemas)) == len(schemas)
    assert sum(name.startswith("Params.") for name in schemas) == 2 * len(names)


def test_nothing_that_is_sent_to_the_server_is_taken_for_certain(document: JsonObject) -> None:
    for name, schema in document["components"]["schemas"].items():
        if name in ("Task", "Change") or name.startswith("Params."):
            for field, described in schema.get("properties", {}).items():
                assert "default" not in described, f"{name}.{field}"
    assert "Default: `1000`." in document["components"]["schemas"]["Task"]["properties"]["retry_delay"]["description"]


def parts(schema: Any) -> Iterator[JsonObject]:
    """Yield every object in a document, at any depth."""
    match schema:
        case dict():
            yield schema
            for name, part in schema.items():
                if name not in ("examples", "value"):
                    yield from parts(part)
        case list():
            for part in schema:
                yield from parts(part)


def test_an_object_that_may_hold_anything_says_so(document: JsonObject) -> None:
    for schema in parts(document):
        if schema.get("type") == "object" and "properties" not in schema:
            assert schema.get("additionalProperties") is not None, schema


def test_every_time_has_its_format(document: JsonObject) -> None:
    times = [
        (name, field, described)
        for name, schema in document["components"]["schemas"].items()
        for field, described in schema.get("properties", {}).items()
        if field.endswith(("_at", "_until")) or field == "since"
    ]

    assert len(times) > 10
    for name, field, described in times:
        assert "date-time" in {part.get("format") for part in parts(described)}, f"{name}.{field}"


def test_an_id_has_an_example(document: JsonObject) -> None:
    asked = [
        parameter
        for operation in operations(document)
        for parameter in operation.get("parameters", [])
        if parameter["name"] == "id"
    ]
    record = document["components"]["schemas"]["TaskView"]["properties"]["id"]

    assert len(asked) == 5
    assert {parameter["example"] for parameter in asked} == set(record["examples"])
    assert re.fullmatch(record["pattern"], record["examples"][0])


def test_the_status_tells_which_problem_it_is(document: JsonObject) -> None:
    for _, status, reply in responses(document):
        if "application/problem+json" in reply.get("content", {}):
            name = reply["content"]["application/problem+json"]["schema"]["$ref"].rpartition("/")[2]
            assert document["components"]["schemas"][name]["properties"]["status"]["const"] == int(status)


def test_no_text_in_it_is_of_the_code(document: JsonObject) -> None:
    text = msgspec.json.encode(document).decode()

    assert re.search(r"``|Parameters:|Raises:|\bNone\b|\bUNSET\b|Struct", text) is None


def test_it_has_the_limits_and_the_handlers_of_this_server() -> None:
    document = document_of(Catalogue({"sleep": Sleep(), "other": Sleep()}), batch_tasks_max=7)
    schemas = document["components"]["schemas"]

    assert schemas["TaskList"]["maxItems"] == 7
    assert schemas["Task"]["properties"]["handler"]["enum"] == ["other", "sleep"]


@pytest.mark.parametrize(
    ("task", "fits"),
    [
        ({"name": "x"}, True),
        ({"name": "x", "duration": 5}, True),
        ({"name": "x", "params": {"file": "a"}}, False),
        ({"name": "x", "handler": "pack", "params": {"file": "a"}}, True),
        ({"name": "x", "handler": "pack", "params": {"file": 1}, "duration": 0}, True),
        ({"name": "x", "handler": "pack", "params": {"file": "a"}, "duration": 1}, False),
        ({"name": "x", "handler": "pack", "params": {"file": []}}, False),
        ({"name": "x", "handler": "pack", "params": {}}, False),
        ({"name": "x", "handler": "pack"}, False),
        ({"name": "x", "handler": "a b/ü"}, True),
        ({"name": "x", "handler": "resize", "params": {"image": "a.png"}}, True),
        ({"name": "x", "handler": "resize", "params": {"image": "a.png", "mode": "fill"}}, True),
        ({"name": "x", "handler": "resize", "params": {"image": "a.png", "mode": "squeeze"}}, False),
        ({"name": "x", "handler": "nobody"}, False),
        ({"name": "x", "run_at": "2030-01-01T00:00:00Z"}, True),
        ({"name": "x", "run_at": "2030-01-01T00:00:00Z", "delay": 0}, True),
        ({"name": "x", "run_at": "2030-01-01T00:00:00Z", "delay": 1}, False),
        ({"name": "x", "run_at": None, "delay": 1}, True),
        ({"name": "x\ny"}, False),
        ({"name": "x" * 255}, True),
        ({"name": "x" * 256}, False),
    ],
    ids=str,
)
async def test_the_schema_of_a_task_takes_what_the_server_takes(
    document: JsonObject, task: JsonObject, fits: bool
) -> None:
    handlers = load_catalogue(declared=DECLARED, modules=["tests.handlers.functions.functions"], environment={})
    app = create_app(Executor(LocalStore(), handlers=handlers), Config())
    reply = await app.test_client().post("/tasks", json=task)

    assert validator(document, document["components"]["schemas"]["Task"]).is_valid(task) == fits
    assert (reply.status_code != 400) == fits


# Examples in the document


def test_each_example_fits_its_schema(document: JsonObject) -> None:
    requests = [operation["requestBody"] for operation in operations(document) if "requestBody" in operation]
    examples = [
        (content["schema"], example["value"])
        for body in (*requests, *(reply for _, _, reply in responses(document)))
        for content in body.get("content", {}).values()
        for example in content.get("examples", {}).values()
    ]

    assert len(examples) > 5
    for schema, example in examples:
        validator(document, schema).validate(example)


async def test_the_example_of_each_request_is_taken(served: Served) -> None:
    for operation, _ in OPERATIONS:
        for media in operation.body if operation.scope != "signed" else ():
            for example in media.examples.values():
                encoder = msgspec.json.Encoder()
                content = encoder.encode_lines(example) if media.type == NDJSON else encoder.encode(example)
                path = operation.path.replace("{id}", await _waiting(served)).replace("{name}", "nightly")
                reply = await served.client.request(
                    operation.method, path, content=content, headers={"Content-Type": media.type}
                )
                assert reply.is_success, reply.text


async def _waiting(served: Served) -> str:
    """Submit a task that waits; return its id."""
    task = {"name": "waits", "delay": 60_000, "on_conflict": "join"}
    return str((await served.client.post("/tasks", json=task)).json()["id"])


# Replies


class Witness:
    """Validates replies against the document, and records which of the document's replies were seen."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()

    async def ask(self, served: Served, operation_id: str, status: int, target: str = "", **request: Any) -> Any:
        """Send a request; check the status, and the reply against the document. Return its content, parsed if JSON."""
        operation = BY_ID[operation_id]
        reply = await served.client.request(operation.method, target or operation.path, **request)
        assert reply.status_code == status, reply.text
        document = (await served.client.get("/openapi.json")).json()
        described = document["paths"][operation.path][operation.method.lower()]["responses"][str(status)]
        if status == 204:
            assert (reply.content, described["content"]) == (b"", {})
            self.seen.add((operation_id, "204"))
            return None
        content = described["content"][reply.headers["content-type"].partition(";")[0]]
        held = reply.json() if "json" in reply.headers["content-type"] else reply.text
        validator(document, content["schema"]).validate(held)
        self._check_headers(reply, described.get("headers", {}), document)
        self.seen.add((operation_id, str(status)))
        return held

    def _check_headers(self, reply: httpx2.Response, described: JsonObject, document: JsonObject) -> None:
        for name in described:
            header = document["components"]["headers"][name]
            assert name in reply.headers or not header.get("required"), name
        for name in document["components"]["headers"]:
            assert name not in reply.headers or name in described, f"{name} is not described"


async def test_every_reply_that_the_document_has_is_given_as_it_is_described(
    serve_here: ServeHere, full: Served
) -> None:
    witness = Witness()
    limits = {"history_records_max": 1, "batch_tasks_max": 3, "body_bytes_max": 1000, "event_streams_max": 1}
    served = await serve_here(pool_size=1, **limits, handler=Doing(work))

    await _submit(witness, served, full)
    await _read(witness, served)
    await _change(witness, served, full)
    await _cancel(witness, served, full)
    await _schedule(witness, served, full)
    await _pause(witness, served, full)
    await _deliver(witness, serve_here)
    await _listen(witness, served)
    await _have_bad_luck(witness, serve_here)
    await _look(witness, served)
    await _reload(witness, served)
    await _drain(witness, full)

    described = {
        (doc.id, str(status))
        for route, doc in OPERATIONS
        for status in (*doc.replies, *(STATUS_OF[error] for error in route.errors))
    }
    assert witness.seen == described


HOOK_SECRET = "x" * 16
HOOKS = {
    "paid": {"scheme": "bearer", "secret": HOOK_SECRET, "task": {"name": "{body.id}", "duration": 60_000}},
}


async def work(context: Context, task: Task) -> dict[str, int]:
    """Report everything that a record can show; with a duration, run until cancelled."""
    context.log("at work")
    context.progress(1, 2)
    if task.duration:
        await trio.sleep_forever()
    return {"answer": 42}


async def _submit(witness: Witness, served: Served, full: Served) -> None:
    await witness.ask(served, "submit_tasks", 200, json=[{"name": "a"}, {"name": "a"}], params={"verdicts": "all"})
    kept, key = {"name": "b", "keep": 600_000, "timeout": 60_000}, {"Idempotency-Key": "1"}
    await witness.ask(served, "submit_tasks", 202, json=kept, headers=key)
    await witness.ask(served, "submit_tasks", 200, json=kept, headers=key, params={"wait": 20})
    await witness.ask(served, "submit_tasks", 422, json={"name": "c"}, headers=key)
    await witness.ask(served, "submit_tasks", 400, json=[{"name": ""}])
    await witness.ask(served, "submit_tasks", 400, json={"name": "b"}, params={"wat": "1"})
    await witness.ask(served, "submit_tasks", 413, json=[{"name": "x"}] * 4)
    await witness.ask(served, "submit_tasks", 415, content=b"x")
    await witness.ask(full, "submit_tasks", 409, json={"name": "r"})
    await witness.ask(full, "submit_tasks", 429, json={"name": "x"})
    await witness.ask(full, "submit_tasks", 429, json=[{"name": "x"}])
    lines, lines_type = b'{"name": "c"}\nnull\n', {"Content-Type": "application/x-ndjson"}
    await witness.ask(served, "submit_tasks", 400, content=lines, headers=lines_type)


async def _read(witness: Witness, served: Served) -> None:
    running = (await served.client.post("/tasks", json={"name": "long", "duration": 1})).json()["id"]
    await served.client.post("/tasks", json=[{"name": "next"}, {"name": "later", "delay": 60_000}])
    await served.until(lambda now: now.store.running == 1 and now.store.pending == 1)
    await witness.ask(served, "list_tasks", 200, params={"limit": 1})
    for name in ("list_tasks", "list_pending", "list_running", "list_finished"):
        await witness.ask(served, name, 200)
        await witness.ask(served, name, 400, params={"cursor": "x"})
    await witness.ask(served, "show_task", 200, f"/tasks/{running}")
    await witness.ask(served, "show_task", 400, f"/tasks/{running}?wait=x")
    await witness.ask(served, "show_task", 404, "/tasks/x")
    await witness.ask(served, "show_task", 410, f"/tasks/{running[:6]}-1")
    [finished] = await served.listing("/tasks/finished")
    ended = await witness.ask(served, "show_task", 200, f"/tasks/{finished['id']}")
    assert ended["result"] == {"answer": 42}
    assert ended["output"]["log"] == "at work\n"
    await witness.ask(served, "cancel_task", 409, f"/tasks/{finished['id']}")
    await witness.ask(served, "cancel_task", 410, f"/tasks/{running[:6]}-1")
    await _read_logs(witness, served, finished["id"])


async def _read_logs(witness: Witness, served: Served, finished: str) -> None:
    log = f"/tasks/{finished}/log"
    assert await witness.ask(served, "show_log", 200, log) == "at work\n"
    assert await witness.ask(served, "show_log", 206, log, headers={"Range": "bytes=3-6"}) == "work"
    await witness.ask(served, "show_log", 416, log, headers={"Range": "bytes=8-"})
    await witness.ask(served, "show_log", 400, f"{log}?attempt=x")
    await witness.ask(served, "show_log", 404, f"{log}?attempt=2")
    await witness.ask(served, "show_log", 410, f"/tasks/{finished[:6]}-1/log")
    [running] = await served.listing("/tasks/running")
    async with served.client.stream("GET", f"/tasks/{running['id']}/log?follow=true"):
        await witness.ask(served, "show_log", 503, f"/tasks/{running['id']}/log?follow=true")


async def _change(witness: Witness, served: Served, full: Served) -> None:
    [waiting, *_] = await full.listing("/tasks/pending")
    [running] = await served.listing("/tasks/running")
    [finished] = await served.listing("/tasks/finished")
    urgent = {"json": {"priority": 9}}
    await witness.ask(full, "change_task", 200, f"/tasks/{waiting['id']}", **urgent)
    await witness.ask(served, "change_task", 400, f"/tasks/{running['id']}", json={"priority": 101})
    await witness.ask(served, "change_task", 400, f"/tasks/{running['id']}?wat=1", **urgent)
    await witness.ask(served, "change_task", 404, "/tasks/x", **urgent)
    await witness.ask(served, "change_task", 409, f"/tasks/{running['id']}", **urgent)
    await witness.ask(served, "change_task", 409, f"/tasks/{finished['id']}", **urgent)
    await witness.ask(served, "change_task", 410, f"/tasks/{running['id'][:6]}-1", **urgent)
    await witness.ask(served, "change_task", 413, f"/tasks/{running['id']}", content=b" " * 1001, headers=JSON_TYPE)
    await witness.ask(served, "change_task", 415, f"/tasks/{running['id']}", content=b"x")
    matching = {"action": "priority", "filter": {"name_prefix": "none"}, "priority": 1}
    await witness.ask(served, "act_on_tasks", 200, json=matching)
    await witness.ask(served, "act_on_tasks", 400, json={"action": "cancel"})
    await witness.ask(served, "act_on_tasks", 413, content=b" " * 1001, headers=JSON_TYPE)
    await witness.ask(served, "act_on_tasks", 415, content=b"x")


async def _schedule(witness: Witness, served: Served, full: Served) -> None:
    hourly, path = {"every": 3_600_000, "task": {"name": "hourly", "delay": 60_000}}, "/schedules/hourly"
    await witness.ask(served, "put_schedule", 201, path, json=hourly)
    await witness.ask(served, "put_schedule", 200, path, json={**hourly, "until": "2999-01-01T00:00:00Z"})
    await witness.ask(served, "put_schedule", 400, path, json={"every": 1, "task": {"name": "hourly"}})
    await witness.ask(served, "put_schedule", 400, path, json={"cron": "@daily", "task": {"name": "hourly"}})
    await witness.ask(served, "run_schedule", 202, f"{path}/run")
    await witness.ask(served, "run_schedule", 409, f"{path}/run")
    await witness.ask(served, "run_schedule", 400, f"{path}/run?wat=1")
    await witness.ask(served, "change_schedule", 200, path, json={"paused": True})
    await witness.ask(served, "change_schedule", 400, path, json={})
    shown = await witness.ask(served, "show_schedule", 200, path)
    assert len(shown["occurrences"]) == 1
    await witness.ask(served, "list_schedules", 200, params={"limit": 1})
    for operation in ("list_schedules", "show_schedule", "remove_schedule"):
        await witness.ask(served, operation, 400, BY_ID[operation].path, params={"wat": "1"})
    for operation, request in (
        ("show_schedule", {}),
        ("remove_schedule", {}),
        ("run_schedule", {}),
        ("change_schedule", {"json": {"paused": True}}),
    ):
        await witness.ask(served, operation, 404, BY_ID[operation].path.replace("{name}", "x"), **request)
    for operation in ("put_schedule", "change_schedule"):
        await witness.ask(served, operation, 413, path, content=b" " * 1001, headers=JSON_TYPE)
        await witness.ask(served, operation, 415, path, content=b"x")
    await served.executor.schedules.put("file", ScheduleDeclaration(Task("file"), every=3_600_000), owner="file")
    await witness.ask(served, "put_schedule", 409, "/schedules/file", json=hourly)
    await witness.ask(served, "remove_schedule", 409, "/schedules/file")
    await witness.ask(served, "remove_schedule", 204, path)
    await full.client.post("/tasks", json=[{"name": "p2"}, {"name": "p3"}])
    await full.executor.schedules.put("full", ScheduleDeclaration(Task("full"), every=3_600_000))
    await witness.ask(full, "run_schedule", 429, "/schedules/full/run")


async def _pause(witness: Witness, served: Served, full: Served) -> None:
    [waiting, *_] = await full.listing("/tasks/pending")
    expired = f"/tasks/{(await served.listing('/tasks/finished'))[0]['id'][:6]}-1"
    for kind, path in (("", ""), ("_handler", "/handlers/sleep")):
        for action in ("pause", "resume"):
            await witness.ask(full, f"{action}{kind}", 200, f"{path}/{action}")
            await witness.ask(full, f"{action}{kind}", 400, f"{path}/{action}?wat=1")
        await full.client.post(f"{path}/pause")
    for action in ("pause", "resume"):
        await witness.ask(full, f"{action}_handler", 404, f"/handlers/x/{action}")
    reasons = await witness.ask(full, "why_task", 200, f"/tasks/{waiting['id']}/why")
    assert [reason["reason"] for reason in reasons][:2] == ["paused", "paused"]
    await witness.ask(full, "list_handlers", 200)
    await witness.ask(full, "list_pending", 200)
    await witness.ask(served, "why_task", 400, f"/tasks/{waiting['id']}/why?wat=1")
    await witness.ask(served, "why_task", 404, "/tasks/x/why")
    await witness.ask(served, "why_task", 410, f"{expired}/why")


async def _deliver(witness: Witness, serve_here: ServeHere) -> None:
    hooked = await serve_here(hooks=HOOKS, pool_size=1, queue_size=1, handler=Doing(work))
    signed, path = {"headers": bearer(HOOK_SECRET)}, "/hooks/paid"
    await witness.ask(hooked, "receive_delivery", 202, path, json={"id": "a"}, **signed)
    await hooked.until(lambda now: now.store.running == 1)
    await witness.ask(hooked, "receive_delivery", 200, path, json={"id": "a"}, **signed)
    await hooked.client.post("/tasks", json={"name": "fills the queue"})
    await witness.ask(hooked, "receive_delivery", 429, path, json={"id": "b"}, **signed)
    await witness.ask(hooked, "receive_delivery", 400, path, json={}, **signed)
    await witness.ask(hooked, "receive_delivery", 401, path, json={"id": "b"})
    await witness.ask(hooked, "receive_delivery", 404, "/hooks/x", json={})
    await witness.ask(hooked, "receive_delivery", 413, path, content=b" " * (BODY_BYTES_MAX + 1), **signed)
    await witness.ask(hooked, "receive_delivery", 415, path, content=b"x", **signed)


async def _listen(witness: Witness, served: Served) -> None:
    await witness.ask(served, "events", 400, params={"wat": "1"})
    async with served.client.stream("GET", "/events") as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"] == "text/event-stream"
        await witness.ask(served, "events", 503)
    witness.seen.add(("events", "200"))


async def _cancel(witness: Witness, served: Served, full: Served) -> None:
    [waiting, *_] = await full.listing("/tasks/pending")
    [running] = await served.listing("/tasks/running")
    await witness.ask(full, "cancel_task", 200, f"/tasks/{waiting['id']}")
    await witness.ask(served, "cancel_task", 400, f"/tasks/{running['id']}?wat=1")
    await witness.ask(served, "cancel_task", 202, f"/tasks/{running['id']}")
    await witness.ask(served, "cancel_task", 404, "/tasks/x")


async def _have_bad_luck(witness: Witness, serve_here: ServeHere) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b" "
            await trio.sleep(REQUEST_SECONDS_MAX)

    disk, bounds = FakeJournal(), ScheduleBounds(1)
    store = LocalStore(journal=disk, schedule_bounds=bounds)
    unlucky = await serve_here(store=store, request_timeout_seconds=REQUEST_SECONDS_MAX, hooks=HOOKS)
    unlucky.client.headers["Connection"] = "close"  # a kept connection may be closed as idle while a request is sent
    submitted = (await unlucky.client.post("/tasks", json={"name": "a", "delay": 60_000})).json()
    target = f"/tasks/{submitted['id']}"
    await witness.ask(unlucky, "submit_tasks", 408, content=slowly(), headers=JSON_TYPE)
    await witness.ask(unlucky, "change_task", 408, target, content=slowly(), headers=JSON_TYPE)
    await witness.ask(unlucky, "act_on_tasks", 408, content=slowly(), headers=JSON_TYPE)
    hourly, schedule = {"every": 3_600_000, "task": {"name": "hourly"}}, "/schedules/hourly"
    await witness.ask(unlucky, "put_schedule", 201, schedule, json=hourly)
    await witness.ask(unlucky, "put_schedule", 429, "/schedules/another", json=hourly)
    await store.limits.set_numbers({f"limit-{number}": 1 for number in range(LIMIT_SETTINGS_MAX)}, {})
    await witness.ask(unlucky, "pause", 429, "/pause")
    await witness.ask(unlucky, "pause_handler", 429, "/handlers/sleep/pause")
    await store.limits.set_numbers({}, {})
    await witness.ask(unlucky, "put_schedule", 408, schedule, content=slowly(), headers=JSON_TYPE)
    await witness.ask(unlucky, "change_schedule", 408, schedule, content=slowly(), headers=JSON_TYPE)
    await witness.ask(unlucky, "receive_delivery", 408, "/hooks/paid", content=slowly(), headers=JSON_TYPE)
    disk.fails_at = set(range(disk.writes, disk.writes + 10))
    await witness.ask(unlucky, "submit_tasks", 503, json={"name": "b"})
    await witness.ask(unlucky, "receive_delivery", 503, "/hooks/paid", json={"id": "b"}, headers=bearer(HOOK_SECRET))
    await witness.ask(unlucky, "cancel_task", 503, target)
    await witness.ask(unlucky, "act_on_tasks", 503, json={"action": "cancel", "filter": {"name": "a"}})
    for action in ("pause", "pause_handler"):
        path = BY_ID[action].path.replace("{name}", "sleep")
        await witness.ask(unlucky, action, 503, path)
    disk.fails_at = set()
    for action in ("pause", "pause_handler"):
        await unlucky.client.post(BY_ID[action].path.replace("{name}", "sleep"))
    disk.fails_at = set(range(disk.writes, disk.writes + 10))
    for action in ("resume", "resume_handler"):
        path = BY_ID[action].path.replace("{name}", "sleep")
        await witness.ask(unlucky, action, 503, path)
    await witness.ask(unlucky, "change_task", 503, target, json={"priority": 9})
    await witness.ask(unlucky, "put_schedule", 503, schedule, json={**hourly, "paused": True})
    await witness.ask(unlucky, "change_schedule", 503, schedule, json={"paused": True})
    await witness.ask(unlucky, "run_schedule", 503, f"{schedule}/run")
    await witness.ask(unlucky, "remove_schedule", 503, schedule)


async def _look(witness: Witness, served: Served) -> None:
    for name in ("list_handlers", "live", "ready", "openapi", "docs", "docs_style", "metrics", "history", "nodes"):
        await witness.ask(served, name, 200)
    await witness.ask(served, "history", 200, params={"hours": 24})
    await witness.ask(served, "history", 400, params={"hours": 25})
    await witness.ask(served, "metrics", 200, headers={"Accept": "application/openmetrics-text"})


async def _reload(witness: Witness, served: Served) -> None:
    await witness.ask(served, "reload", 200)
    for error, status in ((ConfigError("the file is invalid"), 422), (NotServingError(), 503)):

        async def refuse(error: Exception = error) -> Reloaded:
            raise error

        served.web.reload_answers.use(refuse)
        await witness.ask(served, "reload", status)


async def _drain(witness: Witness, full: Served) -> None:
    await witness.ask(full, "drain", 202)
    await witness.ask(full, "ready", 503)
    await witness.ask(full, "submit_tasks", 503, json={"name": "late"})
    await witness.ask(full, "submit_tasks", 503, json=[{"name": "late"}])
