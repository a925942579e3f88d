"""From a table of routes to an OpenAPI 3.1 document.

Every schema is made of the type that decodes the request or encodes the reply, and what a field means is read from that
type's docstring. What a server has of its own goes in as well: its handlers with their params, and its limits. So the
document is that of this server, and not of pexecutor in general.

What a schema cannot say is in the description of the field: that 255 bytes are not 255 characters, or that a cursor
cannot be made up.

Road not taken: a library that collects the document from decorated routes. It would decode the requests as well, and
ours says what is wrong with each of ten thousand tasks.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from .. import __version__
from ..config import Config
from ..errors import FieldError, PexecutorError
from ..handlers.catalogue import SLEEP, HandlerView
from ..handlers.output import Output
from ..statistics import Counts, Statistics
from ..stores import StoreStatistics
from ..task import Task
from ..timeline import Percentiles
from .answers import HeldProblem, SubmitProblem
from .decode import Change
from .errors import (
    STATUS_OF,
    BadCredentialsError,
    MisdirectedError,
    NotAllowedError,
    NotAuthenticatedError,
    OtherSiteError,
    TooManyAttemptsError,
)
from .gate import SESSION_COOKIE
from .ops import Alive, NodeView, NotReadyProblem, Situation, TimelineView
from .reply import PROBLEM_TYPE
from .wire import (
    AttemptView,
    BatchReply,
    IntervalView,
    Problem,
    Progress,
    TaskDetail,
    TaskVerdict,
    TaskView,
)

JsonObject = dict[str, Any]

RECEIVED: Final = (Task, Change)

SENT: Final = (
    *(TaskView, TaskDetail, AttemptView, Progress, Output, BatchReply, TaskVerdict, HandlerView),
    *(Problem, SubmitProblem, FieldError, HeldProblem, NotReadyProblem),
    *(Alive, Situation, Statistics, Counts, StoreStatistics, TimelineView, IntervalView, NodeView, Percentiles),
)

AT_THE_GATE: Final = (
    *(BadCredentialsError, NotAuthenticatedError, NotAllowedError),
    *(OtherSiteError, MisdirectedError, TooManyAttemptsError),
)
"""What can befall any request, before its route is asked."""

SECURITY: Final[JsonObject] = {
    "token": {"type": "http", "scheme": "bearer"},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
}

NDJSON: Final = "application/x-ndjson"
"""A body that its schema has as a list is an element a line in this format."""

REF: Final = "#/components/schemas/{name}"

_NOTE: Final = re.compile(r"^    ([\w, ]+): (.*(?:\n {8}.*)*)", re.MULTILINE)
"""What a docstring says of a field, or of several."""


class Media(msgspec.Struct, frozen=True):
    """A body in one format, by the JSON Schema of what it holds; examples have a title each."""

    type: str
    schema: JsonObject
    examples: dict[str, Any] = {}


class Reply(msgspec.Struct, frozen=True):
    """What is answered with one status; ``links`` are the operations that take the ``id`` of the record in it."""

    description: str
    media: tuple[Media, ...]
    headers: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path: a row of the table of routes.

    Parameters:
        method, path: as they are requested; a parameter of the path is in braces.
        id: what generated clients call it.
        group: under which heading it is shown.
        summary: what it does, in a line; ``description`` is what else there is to know.
        query: the type that decodes the query.
        body: the formats that it takes.
        replies: what is answered, by status.
        errors: what else can befall it; the status and the description are those of the error.
    """

    method: str
    path: str
    id: str
    group: str
    summary: str
    description: str = ""
    query: type[msgspec.Struct] | None = None
    body: tuple[Media, ...] = ()
    replies: dict[int, Reply]
    errors: tuple[type[PexecutorError], ...] = ()


def ref(schema: type | str) -> JsonObject:
    """A schema of the document, by its type or name."""
    return {"$ref": REF.format(name=schema if isinstance(schema, str) else schema.__name__)}


def json_media(schema: JsonObject, **examples: Any) -> Media:
    """JSON."""
    return Media("application/json", schema, examples)


def problem_media(schema: type[Problem] = Problem, **examples: Any) -> Media:
    """Problem details."""
    return Media(PROBLEM_TYPE, ref(schema), examples)


def openapi_document(
    operations: Iterable[Operation], *, frame: JsonObject, handlers: Sequence[HandlerView], config: Config
) -> JsonObject:
    """The document of a server.

    Parameters:
        operations: its routes.
        frame: what the document says besides: ``description``, ``tags`` and ``headers``.
        handlers: what it can run.
        config: its limits.
    """
    paths: dict[str, JsonObject] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    info = {"title": "pexecutor", "version": __version__, "description": frame["description"]}
    return {
        "openapi": "3.1.0",
        "info": info | {"license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": "/"}],
        "tags": frame["tags"],
        "paths": paths,
        "security": [*({name: []} for name in SECURITY), {}],  # none is needed where no token is configured
        "components": {
            "schemas": _schemas(handlers, config),
            "headers": frame["headers"],
            "securitySchemes": SECURITY,
        },
    }


# Operations


def _operation(operation: Operation) -> JsonObject:
    described: JsonObject = {
        "operationId": operation.id,
        "tags": [operation.group],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation.query)],
        "requestBody": {"required": True, "content": _content(operation.body)} if operation.body else {},
        "responses": _responses(operation),
    }
    return {key: value for key, value in described.items() if value}


def _path_parameters(path: str) -> list[JsonObject]:
    return [
        {"name": name, "in": "path", "required": True, "description": "The task's id.", "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(query: type[msgspec.Struct] | None) -> list[JsonObject]:
    if query is None:
        return []
    _, components = msgspec.json.schema_components([query], ref_template=REF)
    fields = _described(components[query.__name__], query)["properties"]
    return [
        {"name": name, "in": "query", "description": schema.pop("description", ""), "schema": _without_null(schema)}
        for name, schema in fields.items()
    ]


def _without_null(schema: JsonObject) -> JsonObject:
    """A parameter that is not given is absent: a query has no null."""
    match schema:
        case {"anyOf": [given, {"type": "null"}], "default": None}:
            return dict(given)
        case _:
            return schema


def _responses(operation: Operation) -> JsonObject:
    replies = dict(operation.replies)
    for status, sentences in _sentences((*operation.errors, *AT_THE_GATE)).items():
        headers = ("Retry-After",) if status in (429, 503) else ()
        replies.setdefault(status, Reply(" ".join(sentences), (problem_media(),), headers))
    return {str(status): _response(reply) for status, reply in sorted(replies.items())}


def _sentences(errors: Iterable[type[PexecutorError]]) -> dict[int, list[str]]:
    """What the classes of errors say of themselves, by the status that they are answered with."""
    sentences = {500: ["A fault of the server; its log says more."]}
    for error in errors:
        sentences.setdefault(STATUS_OF[error], []).append((inspect.getdoc(error) or "").partition("\n\n")[0])
    return sentences


def _response(reply: Reply) -> JsonObject:
    described: JsonObject = {"description": reply.description, "content": _content(reply.media)}
    if reply.headers:
        described["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in reply.headers}
    if reply.links:
        described["links"] = {
            operation: {"operationId": operation, "parameters": {"id": "$response.body#/id"}}
            for operation in reply.links
        }
    return described


def _content(media: Iterable[Media]) -> JsonObject:
    return {
        one.type: {"schema": one.schema}
        | ({"examples": {name: {"value": value} for name, value in one.examples.items()}} if one.examples else {})
        for one in media
    }


# Schemas


def _schemas(handlers: Sequence[HandlerView], config: Config) -> JsonObject:
    types = {kind.__name__: kind for kind in (*RECEIVED, *SENT)}
    _, components = msgspec.json.schema_components(types.values(), ref_template=REF)
    schemas: JsonObject = {}
    for name, schema in components.items():
        schemas[name] = _described(schema, types.get(name))
        if types.get(name) in SENT:
            schemas[name] = _as_sent(schemas[name], types[name])
    schemas["TaskDetail"]["properties"]["output"] |= ref(Output)
    schemas["TaskList"] = {"type": "array", "maxItems": config.batch_tasks_max, "items": ref(Task)}
    params = {handler.name: f"Params.{_key(handler.name)}" for handler in handlers}
    for handler in handlers:
        schemas |= _hoisted(params[handler.name], handler.params)
    schemas["Task"] |= _rules(schemas["Task"], params, {handler.name: handler.params for handler in handlers})
    return schemas


def _described(schema: JsonObject, kind: type | None) -> JsonObject:
    """With what the docstring says of the type, and of each of its fields."""
    description = re.split(r"\n\n(?:Parameters|Raises):", inspect.cleandoc(schema.get("description", "")))[0]
    described = schema | {"description": _plain(description)}
    if kind is not None and "properties" in schema:
        notes = {name: note for base in reversed(kind.__mro__) for name, note in _notes(base)}
        described["properties"] = {
            name: field | ({"description": notes[name]} if name in notes else {})
            for name, field in schema["properties"].items()
        }
    return described


def _notes(kind: type) -> Iterator[tuple[str, str]]:
    for names, note in _NOTE.findall(inspect.cleandoc(kind.__doc__ or "")):
        text = _plain(note)
        for name in names.split(", "):
            yield name, text[0].upper() + text[1:]


def _plain(text: str) -> str:
    """A docstring's text as one paragraph of Markdown."""
    return re.sub(r"\s+", " ", text).replace("``", "`").replace("`None`", "null")


def _as_sent(schema: JsonObject, kind: type[msgspec.Struct]) -> JsonObject:
    """A reply has a field also where it has its default, unless its type leaves such out."""
    properties = schema["properties"]
    fields = {name: {key: value for key, value in properties[name].items() if key != "default"} for name in properties}
    always = [] if kind.__struct_config__.omit_defaults else [name for name in fields if "default" in properties[name]]
    return schema | {"properties": fields, "required": [*schema["required"], *always]}


def _rules(task: JsonObject, params: Mapping[str, str], schemas: Mapping[str, JsonObject]) -> JsonObject:
    """What holds between the fields of a task."""
    handler = {"enum": list(params), "default": SLEEP, "description": task["properties"]["handler"]["description"]}
    rules: list[JsonObject] = [
        {"anyOf": [{"properties": {"run_at": {"type": "null"}}}, {"properties": {"delay": {"const": 0}}}]}
    ]
    for name, component in params.items():
        then: JsonObject = {"properties": {"params": ref(component)}}
        asked: JsonObject = {"properties": {"handler": {"const": name}}}
        if name != SLEEP:
            then["properties"]["duration"] = {"const": 0}
            asked["required"] = ["handler"]
        if _asks_for_something(schemas[name]):
            then["required"] = ["params"]
        rules.append({"if": asked, "then": then})
    return {"properties": task["properties"] | {"handler": handler}, "allOf": rules}


def _asks_for_something(params: JsonObject) -> bool:
    if "$ref" in params:
        params = params["$defs"][params["$ref"].removeprefix("#/$defs/")]
    return bool(params.get("required"))


def _hoisted(key: str, schema: JsonObject) -> JsonObject:
    """A schema under this key, and those that it holds for itself beside it."""
    held = {f"#/$defs/{name}": part for name, part in schema.get("$defs", {}).items()}
    keys = {target: f"{key}.{_key(target.rpartition('/')[2])}" for target in held}
    if "$ref" in schema:
        keys[schema["$ref"]] = key
    else:
        held["#"], keys["#"] = schema, key

    def moved(part: Any) -> Any:
        match part:
            case dict():
                there = {name: moved(value) for name, value in part.items() if name != "$defs"}
                return there | ref(keys[part["$ref"]]) if "$ref" in part else there
            case list():
                return [moved(value) for value in part]
            case _:
                return part

    return {keys[target]: moved(part) for target, part in held.items()}


def _key(name: str) -> str:
    """A name as the key of a schema, where not every character may be; different names stay different."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f".{ord(found[0]):x}", name)
