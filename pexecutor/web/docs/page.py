"""The document of the API, for programs and for people: ``/openapi.json`` and ``/docs``.

The page is made of the document, here, once: so it needs no script, nothing from another origin, and no network beyond
this server. It folds with what HTML has for that.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import cached_property
from importlib.resources import files
from typing import Any, Final

import msgspec
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from quart import Response
from quart_trio import QuartTrio

from ...config import Config
from ...core.executor import Executor
from ..api.reply import json_response
from ..api.wire import EXAMPLE_ID
from .openapi import NDJSON, openapi_document
from .reference import FRAME, OPERATIONS
from .schemas import REF, JsonObject

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""The page shows, and does nothing else."""

_STATIC: Final = files(__package__) / "static"
_STYLE: Final = (_STATIC / "docs.css").read_bytes()
_TEMPLATE: Final = (_STATIC / "docs.html").read_text(encoding="utf-8")


class DocsRoutes:
    """Routes of the documentation.

    Parameters:
        executor: whose handlers are in it.
        config: whose limits are in it.
    """

    def __init__(self, executor: Executor, config: Config) -> None:
        self._executor = executor
        self._config = config

    def add_to(self, app: QuartTrio) -> None:
        """Register them."""
        app.add_url_rule("/openapi.json", view_func=self.openapi, methods=["GET"])
        app.add_url_rule("/docs", view_func=self.docs, methods=["GET"])
        app.add_url_rule("/docs/style.css", view_func=self.style, methods=["GET"])

    async def openapi(self) -> Response:
        """The document."""
        return json_response(self.document)

    async def docs(self) -> Response:
        """The document, to be read."""
        return Response(self._page, headers=HEADERS, content_type="text/html; charset=utf-8")

    async def style(self) -> Response:
        """How that looks."""
        return Response(_STYLE, headers=HEADERS, content_type="text/css; charset=utf-8")

    @cached_property
    def document(self) -> JsonObject:
        """The document; made when it is first asked for, as few starts are followed by that."""
        return self._document(problems_apart=True)

    @cached_property
    def _page(self) -> str:
        return render(self._document(problems_apart=False))  # to people, the schemas of problems are all the same

    def _document(self, *, problems_apart: bool) -> JsonObject:
        handlers = self._executor.handlers.describe()
        return openapi_document(
            OPERATIONS, frame=FRAME, handlers=handlers, config=self._config, problems_apart=problems_apart
        )


def render(document: JsonObject) -> str:
    """The page that shows a document."""
    templates = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    templates.filters |= {"prose": _prose, "shown": _shown, "kind": _kind, "curl": _curl}
    return templates.from_string(_TEMPLATE).render(document=document)


def _prose(text: str) -> Markup:
    """Markdown, as far as the document has it: paragraphs and code."""
    parts = str(escape(text)).split("`")
    marked = "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
    return Markup(marked.replace("\n\n", "<br><br>"))


def _shown(value: Any, media: str = "") -> str:
    """A value as it goes over the wire, indented for reading where that changes nothing."""
    if media == NDJSON:
        return msgspec.json.Encoder().encode_lines(value).decode()
    return value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _kind(schema: JsonObject) -> Markup:
    """What values a schema allows, in a few words."""
    match schema:
        case {"$ref": _}:
            return Markup('<a href="#schema-{0}">{0}</a>').format(schema["$ref"].removeprefix(REF.format(name="")))
        case {"anyOf": choices}:
            return Markup(" or ").join(map(_kind, choices))
        case {"type": "array", "items": items}:
            return Markup("list of {}").format(_kind(items))
        case {"const": value}:
            return Markup("<code>{}</code>").format(value)
        case {"enum": values}:
            return Markup(" | ").join(Markup("<code>{}</code>").format(value) for value in values)
        case {"type": list(kinds)}:
            return Markup(" or ").join(kinds)
        case {"type": "object", "additionalProperties": dict(values)}:
            return Markup("object of {}").format(_kind(values))
        case {"type": str(kind)}:
            return Markup(" ").join([schema.get("format", kind), *_bounds(schema)])
        case _:
            return Markup("any")


def _bounds(schema: JsonObject) -> Iterator[str]:
    for low, high in (("minimum", "maximum"), ("minLength", "maxLength")):
        if low in schema or high in schema:
            yield f"{schema.get(low, '')}..{schema.get(high, '')}"


def _curl(operation: JsonObject, method: str, path: str) -> str:
    """How to ask for it from a shell."""
    words = ["curl", *([] if method == "get" else ["-X", method.upper()])]
    words.append("127.0.0.1:8080" + path.replace("{id}", EXAMPLE_ID))
    if "requestBody" in operation:
        media, content = next(iter(operation["requestBody"]["content"].items()))
        example = next(iter(content["examples"].values()))["value"]
        words += ["-H", f"Content-Type: {media}", "-d", msgspec.json.encode(example).decode()]
    return shlex.join(words)
