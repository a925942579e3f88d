"""The API's documentation: the OpenAPI document for programs, and a page for people.

The server renders the page from the OpenAPI document, once. So the page needs no script, no resources of other origins,
and no network beyond this server. It folds with plain HTML.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from importlib.resources import files
from typing import Any, Final

import msgspec
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from ...config import Config
from ...core.executor import Executor
from ...handlers import Catalogue
from ..access.gate import session_cookie
from ..api.reply import Reply, json_reply
from ..api.request import IncomingRequest, link_to
from ..api.route import Route
from ..api.wire import EXAMPLE_ID
from .openapi import NDJSON, as_seen_at, openapi_document
from .reference import FRAME
from .schemas import REF, JsonObject

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""The headers of the page. The policy allows only the page's own style: the page has no scripts and no forms."""

_STATIC: Final = files(__package__) / "static"
_STYLE: Final = (_STATIC / "docs.css").read_bytes()
_TEMPLATE: Final = (_STATIC / "docs.html").read_text(encoding="utf-8")


class DocsAnswers:
    """Answers with the documentation.

    Parameters:
        routes: the routes to document.
        executor: the executor whose handlers are documented.
        config: the limits.
    """

    def __init__(self, routes: Sequence[Route], executor: Executor, config: Config) -> None:
        self._routes = routes
        self._executor = executor
        self._config = config
        # Owned by _present().
        self._made: _Documentation | None = None

    async def openapi(self, request: IncomingRequest) -> Reply:
        """Show the OpenAPI document; its paths begin with the prefix of the client."""
        return json_reply(as_seen_at(self.document, link_to(request, ""), session_cookie(request)))

    async def docs(self, _: IncomingRequest) -> Reply:
        """Show the page of the API's documentation."""
        return Reply(self._present().page, headers=HEADERS, content_type="text/html; charset=utf-8")

    async def style(self, _: IncomingRequest) -> Reply:
        """Show the style sheet of the page."""
        return Reply(_STYLE, headers=HEADERS, content_type="text/css; charset=utf-8")

    @property
    def document(self) -> JsonObject:
        """The OpenAPI document; built at the first request, because most servers never get one."""
        return self._present().document

    def _present(self) -> _Documentation:
        """Return the documentation of the present handlers, which a reload may have changed."""
        handlers = self._executor.handlers
        if self._made is None or self._made.handlers is not handlers:
            self._made = _Documentation(handlers, self._routes, self._config)
        return self._made


class _Documentation:
    """The documentation for one catalogue of handlers; each form is made when it is first requested."""

    def __init__(self, handlers: Catalogue, routes: Sequence[Route], config: Config) -> None:
        self.handlers = handlers
        self._routes = routes
        self._config = config

    @cached_property
    def document(self) -> JsonObject:
        return self._document(split_problems=True)

    @cached_property
    def page(self) -> bytes:
        document = self._document(split_problems=False)  # people need only one schema for all statuses
        return render(document, self._config.base_path).encode()

    def _document(self, *, split_problems: bool) -> JsonObject:
        handlers = self.handlers.describe()
        return openapi_document(
            self._routes, frame=FRAME, handlers=handlers, config=self._config, split_problems=split_problems
        )


def render(document: JsonObject, base_path: str = "") -> str:
    """Return the HTML page that shows an OpenAPI document. Its links are relative, so they fit every prefix."""
    templates = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    templates.filters |= {"prose": _prose, "shown": _shown, "kind": _kind, "curl": partial(_curl, base_path)}
    return templates.from_string(_TEMPLATE).render(document=document)


def _prose(text: str) -> Markup:
    """Return Markdown as HTML; supports what the document uses: paragraphs and code."""
    parts = str(escape(text)).split("`")
    marked = "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
    return Markup(marked.replace("\n\n", "<br><br>"))


def _shown(value: Any, media: str = "") -> str:
    """Return a value as it is sent on the wire; JSON is indented, NDJSON is not."""
    if media == NDJSON:
        return msgspec.json.Encoder().encode_lines(value).decode()
    return value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _kind(schema: JsonObject) -> Markup:
    """Return a short description of the values that a schema allows."""
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


def _curl(base_path: str, operation: JsonObject, method: str, path: str) -> str:
    """Return a ``curl`` command that requests an operation, from the machine of the server."""
    words = ["curl", *([] if method == "get" else ["-X", method.upper()])]
    words.append(f"127.0.0.1:8080{base_path}" + path.replace("{id}", EXAMPLE_ID))
    if "requestBody" in operation:
        media, content = next(iter(operation["requestBody"]["content"].items()))
        example = next(iter(content["examples"].values()))["value"]
        words += ["-H", f"Content-Type: {media}", "-d", msgspec.json.encode(example).decode()]
    return shlex.join(words)
