"""Build an OpenAPI 3.1 document from the table of routes.

Every schema is built from the type that decodes the request or encodes the reply. The descriptions of the fields come
from the docstring of that type. The document also holds the handlers of the server with their params, and its limits.
So it describes this server, not pexecutor in general.

Rules that a schema cannot express are in the description of the field: that 255 bytes are not 255 characters, or that a
cursor must come from a listing.

Road not taken: a library that collects the document from decorated routes. It would also decode the requests, and would
not report the faults of each task in a list of ten thousand.
"""

from __future__ import annotations

import inspect
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
    OtherSiteError,
    TooManyAttemptsError,
    TooSmallScopeError,
    UnauthenticatedError,
)
from ..api.idempotency import HEADER
from ..api.reply import PROBLEM_TYPE
from ..api.route import Doc, DocumentedReply, Media, Route
from ..api.wire import EXAMPLE_ID, Problem
from .schemas import REF, JsonObject, all_schemas, complete, described, ref, with_status

AT_THE_GATE: Final = (
    *(BadCredentialsError, UnauthenticatedError, TooSmallScopeError),
    *(OtherSiteError, MisdirectedError, TooManyAttemptsError),
)
"""The errors of the gate, which any request can get."""

SECURITY: Final[JsonObject] = {
    "token": {"type": "http", "scheme": "bearer"},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
}


def as_seen_at(document: JsonObject, prefix: str, cookie: str) -> JsonObject:
    """Return a document as the client of a request needs it.

    Parameters:
        document: the document of a server without a base path.
        prefix: what the client has to write before each path.
        cookie: the name of the session's cookie.
    """
    security = SECURITY | {"session": SECURITY["session"] | {"name": cookie}}
    components = document["components"] | {"securitySchemes": security}
    return document | {"servers": [{"url": prefix or "/"}], "components": components}


PATH_PARAMETERS: Final = {
    "id": ("The id of the task, from the reply to its submit.", EXAMPLE_ID),
    "name": ("The name of the schedule.", "nightly"),
}
"""The description and an example of each parameter of a path."""

_KEY: Final = (
    "Repeat a submit with the key of the first one, and it submits nothing a second time: the reply has the status,"
    " the ids and the verdicts of the first reply, with the present records. A key belongs to the caller's token, and"
    " is remembered for a day. A stream cannot have one."
)

HEADER_PARAMETERS: Final = {HEADER: (_KEY, "8e03978e-40d5-43e8-bc93-6894a57f9324")}
"""The description and an example of each header that is a parameter."""

NDJSON: Final = "application/x-ndjson"
"""In this format, a body whose schema is a list has one element on each line."""


def problem_media(schema: type[Problem] = Problem, **examples: Any) -> Media:
    """Return a body of problem details with this schema."""
    return Media(PROBLEM_TYPE, ref(schema), examples)


def openapi_document(
    routes: Iterable[Route],
    *,
    frame: JsonObject,
    handlers: Sequence[HandlerView],
    config: Config,
    split_problems: bool = True,
) -> JsonObject:
    """Return the OpenAPI document of a server.

    Parameters:
        routes: the routes of the server; those without documentation are omitted.
        frame: the other parts of the document: ``description``, ``tags`` and ``headers``.
        handlers: the handlers of the server.
        config: the limits of the server.
        split_problems: whether a problem has a separate schema for each of its statuses, as generators need it.
    """
    schemas = all_schemas(handlers, config)
    paths: dict[str, JsonObject] = {}
    for route in routes:
        if route.doc is not None:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, route.doc)
    if split_problems:
        _split_problems_by_status(paths, schemas)
    info = {"title": "pexecutor", "version": __version__, "description": frame["description"]}
    return {
        "openapi": "3.1.0",
        "info": info | {"license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": "/"}],
        "tags": frame["tags"],
        "paths": paths,
        "security": [
            *({name: []} for name in SECURITY),
            {},
        ],  # {}: without configured tokens, no credentials are needed
        "components": {
            "schemas": schemas,
            "headers": frame["headers"],
            "securitySchemes": SECURITY,
        },
    }


# Operations


def _operation(route: Route, doc: Doc) -> JsonObject:
    described: JsonObject = {
        "operationId": doc.id,
        "tags": [doc.group],
        "summary": doc.summary,
        "description": doc.description,
        "parameters": [
            *_path_parameters(route.parameters),
            *_query_parameters(route.query),
            *_header_parameters(doc.request_headers),
        ],
        "requestBody": _request_body(route.body, doc.body_description),
        "responses": _responses(doc, route.errors),
    }
    return {key: value for key, value in described.items() if value}


def _request_body(body: tuple[Media, ...], description: str) -> JsonObject:
    return {"required": True, "description": description, "content": _content(body)} if body else {}


def _path_parameters(names: Iterable[str]) -> list[JsonObject]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_PARAMETERS[name][0],
            "schema": {"type": "string"},
            "example": PATH_PARAMETERS[name][1],
        }
        for name in names
    ]


def _header_parameters(names: Iterable[str]) -> list[JsonObject]:
    return [
        {
            "name": name,
            "in": "header",
            "description": HEADER_PARAMETERS[name][0],
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[!#-~][!-~]*$"},
            "example": HEADER_PARAMETERS[name][1],
        }
        for name in names
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
    """Return the schema of a query parameter without null: a query cannot express null."""
    match schema:
        case {"anyOf": [given, {"type": "null"}], "default": None}:
            return dict(given)
        case _:
            return schema


def _responses(doc: Doc, errors: tuple[type[PexecutorError], ...]) -> JsonObject:
    """Return the documented replies, and one for each further status of the errors, with their first paragraphs."""
    replies = dict(doc.replies)
    for status, sentences in _sentences((*errors, *AT_THE_GATE)).items():
        headers = ("Retry-After",) if status in (429, 503) else ()
        replies.setdefault(status, DocumentedReply(" ".join(sentences), (problem_media(),), headers))
    return {str(status): _response(reply) for status, reply in sorted(replies.items())}


def _sentences(errors: Iterable[type[PexecutorError]]) -> dict[int, list[str]]:
    """Return the first paragraphs of the docstrings of errors, by the status of each error."""
    sentences = {500: ["An internal error; the server's log has the cause."]}
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


def _split_problems_by_status(paths: JsonObject, schemas: JsonObject) -> None:
    """Replace the schema of each problem that has several statuses by one schema for each status."""
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
