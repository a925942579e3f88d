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
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from ... import __version__
from ...config import Config
from ...errors import PexecutorError
from ...handlers.catalogue import HandlerView
from ..access.gate import SESSION_COOKIE
from ..api.errors import (
    STATUS_OF,
    BadCredentialsError,
    MisdirectedError,
    NotAllowedError,
    NotAuthenticatedError,
    OtherSiteError,
    TooManyAttemptsError,
)
from ..api.reply import PROBLEM_TYPE
from ..api.wire import EXAMPLE_ID, Problem
from .schemas import REF, JsonObject, all_schemas, complete, described, ref, with_status

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


class Media(msgspec.Struct, frozen=True):
    """A body in one format, by the JSON Schema of what it holds; examples have a title each."""

    type: str
    schema: JsonObject
    examples: dict[str, Any] = {}


class DocumentedReply(msgspec.Struct, frozen=True):
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
        body: the formats that it takes; ``body_description`` is what they hold.
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
    body_description: str = ""
    replies: dict[int, DocumentedReply]
    errors: tuple[type[PexecutorError], ...] = ()


def json_media(schema: JsonObject, **examples: Any) -> Media:
    """JSON."""
    return Media("application/json", schema, examples)


def problem_media(schema: type[Problem] = Problem, **examples: Any) -> Media:
    """Problem details."""
    return Media(PROBLEM_TYPE, ref(schema), examples)


def openapi_document(
    operations: Iterable[Operation],
    *,
    frame: JsonObject,
    handlers: Sequence[HandlerView],
    config: Config,
    problems_apart: bool = True,
) -> JsonObject:
    """The document of a server.

    Parameters:
        operations: its routes.
        frame: what the document says besides: ``description``, ``tags`` and ``headers``.
        handlers: what it can run.
        config: its limits.
        problems_apart: whether a problem has a schema for each status that it comes with, as generators need it.
    """
    schemas = all_schemas(handlers, config)
    paths: dict[str, JsonObject] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    if problems_apart:
        _tell_problems_apart(paths, schemas)
    info = {"title": "pexecutor", "version": __version__, "description": frame["description"]}
    return {
        "openapi": "3.1.0",
        "info": info | {"license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": "/"}],
        "tags": frame["tags"],
        "paths": paths,
        "security": [*({name: []} for name in SECURITY), {}],  # none is needed where no token is configured
        "components": {
            "schemas": schemas,
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
        "requestBody": _request_body(operation),
        "responses": _responses(operation),
    }
    return {key: value for key, value in described.items() if value}


def _request_body(operation: Operation) -> JsonObject:
    if not operation.body:
        return {}
    return {"required": True, "description": operation.body_description, "content": _content(operation.body)}


def _path_parameters(path: str) -> list[JsonObject]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": "The task's id, as the reply to its submit has it.",
            "schema": {"type": "string"},
            "example": EXAMPLE_ID,
        }
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(query: type[msgspec.Struct] | None) -> list[JsonObject]:
    if query is None:
        return []
    _, components = msgspec.json.schema_components([query], ref_template=REF)
    fields = described(components[query.__name__], query)["properties"]
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
        replies.setdefault(status, DocumentedReply(" ".join(sentences), (problem_media(),), headers))
    return {str(status): _response(reply) for status, reply in sorted(replies.items())}


def _sentences(errors: Iterable[type[PexecutorError]]) -> dict[int, list[str]]:
    """What the classes of errors say of themselves, by the status that they are answered with."""
    sentences = {500: ["A fault of the server; its log says more."]}
    for error in errors:
        sentences.setdefault(STATUS_OF[error], []).append((inspect.getdoc(error) or "").partition("\n\n")[0])
    return sentences


def _response(reply: DocumentedReply) -> JsonObject:
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
        one.type: {"schema": complete(one.schema)}
        | ({"examples": {name: {"value": value} for name, value in one.examples.items()}} if one.examples else {})
        for one in media
    }


def _tell_problems_apart(paths: JsonObject, schemas: JsonObject) -> None:
    """Give each problem that comes with several statuses a schema for each: ``status`` tells which one it is."""
    used: dict[str, dict[str, list[JsonObject]]] = {}
    for path in paths.values():
        for operation in path.values():
            for status, reply in operation["responses"].items():
                if PROBLEM_TYPE in reply.get("content", {}):
                    held = reply["content"][PROBLEM_TYPE]
                    name = held["schema"]["$ref"].removeprefix(REF.format(name=""))
                    used.setdefault(name, {}).setdefault(status, []).append(held)
    for name, by_status in used.items():
        general = schemas.pop(name)
        for status, replies in sorted(by_status.items()):
            special = name if len(by_status) == 1 else f"{name}{status}"
            schemas[special] = with_status(general, int(status)) | {"title": special}
            for held in replies:
                held["schema"] = ref(special)
