"""The schemas of the OpenAPI document, for people and for generators of clients.

Each schema is built from the type that decodes the request or encodes the reply. The descriptions of the fields come
from the docstring of that type. Generators have further demands:

* Titles must be unique even without case and punctuation, because generators name classes after them.
* In requests, defaults must be in the descriptions only. From a ``default``, some generators conclude that the field is
  always present, and require it.
* An object that may hold any members must say so (``additionalProperties``). Otherwise some generators take it for an
  empty object.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from ...config import Config
from ...core.bulk import BulkResult
from ...core.statistics import Counts, Statistics
from ...errors import FieldError
from ...handlers.catalogue import SLEEP, HandlerView
from ...handlers.output import Output
from ...handlers.settings import TaskDefaults
from ...observe.events import Reloaded, SettingChange
from ...observe.timeline import Percentiles
from ...schedules.declaration import ScheduleDeclaration
from ...stores import StoreStatistics
from ...task import Task
from ..api.bulk import BulkBody
from ..api.decode import Change
from ..api.filters import FilterQuery
from ..api.hooks.answers import SkippedDelivery
from ..api.limit_wire import HandlerState, LimitsView, LimitUse, PausesView, PauseView, ReasonView
from ..api.log_lines import LogGap, LogLine
from ..api.ops import Alive, NodeView, NotReadyProblem, Situation, TimelineView
from ..api.schedule_wire import OccurrenceView, ScheduleView
from ..api.schedules import Pause
from ..api.submit import HeldProblem, SubmitProblem
from ..api.wire import AttemptView, BatchReply, IntervalView, Problem, Progress, TaskDetail, TaskVerdict, TaskView

JsonObject = dict[str, Any]

RECEIVED: Final = (Task, Change, BulkBody, FilterQuery, ScheduleDeclaration, Pause)

SENT: Final = (
    *(TaskView, TaskDetail, AttemptView, Progress, Output, BatchReply, TaskVerdict, HandlerState, TaskDefaults),
    *(LogLine, LogGap),
    *(PauseView, PausesView, LimitUse, LimitsView, ReasonView),
    *(ScheduleView, OccurrenceView, SkippedDelivery, BulkResult, Reloaded, SettingChange),
    *(Problem, SubmitProblem, FieldError, HeldProblem, NotReadyProblem),
    *(
        SkippedDelivery,
        Alive,
        Situation,
        Statistics,
        Counts,
        StoreStatistics,
        TimelineView,
        IntervalView,
        NodeView,
        Percentiles,
    ),
)

REF: Final = "#/components/schemas/{name}"

_NOTE: Final = re.compile(r"^    ([\w, ]+): (.*(?:\n {8}.*)*)", re.MULTILINE)
"""The description of one or several fields in a docstring."""


def ref(schema: type | str) -> JsonObject:
    """Return a reference to a schema of the document, by its type or name."""
    return {"$ref": REF.format(name=schema if isinstance(schema, str) else schema.__name__)}


def all_schemas(handlers: Sequence[HandlerView], config: Config) -> JsonObject:
    """Return the schemas of a server's document, by name."""
    types = {kind.__name__: kind for kind in (*RECEIVED, *SENT)}
    _, components = msgspec.json.schema_components(types.values(), ref_template=REF)
    schemas: JsonObject = {}
    for name, schema in components.items():
        schemas[name] = described(schema, types.get(name))
        if types.get(name) in SENT:
            schemas[name] = _as_sent(schemas[name], types[name])
    schemas["TaskDetail"]["properties"]["output"] |= ref(Output)
    schemas["StoreStatistics"]["properties"]["limits"] = ref(LimitsView) | {
        "description": "The limits and pauses, as this server knows them."
    }
    for unused in ("LimitState", "LimitNumbers", "TaskPause"):
        del schemas[unused]
    schemas["TaskList"] = {
        "type": "array",
        "description": "Tasks to submit. If two tasks have the same name, the first one wins.",
        "maxItems": config.batch_tasks_max,
        "items": ref(Task),
    }
    params, shapes = _params_schemas(handlers)
    schemas["Task"] |= _rules(schemas["Task"], params, {handler.name: handler.params for handler in handlers})
    for name in (*(kind.__name__ for kind in RECEIVED), *shapes):
        schemas[name] = _as_received((schemas | shapes)[name])
    return {name: complete(schema) | {"title": name} for name, schema in schemas.items()}


def _params_schemas(handlers: Sequence[HandlerView]) -> tuple[dict[str, str], JsonObject]:
    """Return the schema names of the params by handler, and the schemas by name, with all that they refer to."""
    names: dict[str, str] = {}
    schemas: JsonObject = {}
    taken: set[str] = set()
    for handler in handlers:
        names[handler.name] = _unique(f"Params.{_key(handler.name)}", taken)
        hoisted = _hoisted(names[handler.name], handler.params, taken)
        hoisted[names[handler.name]].setdefault("description", f"The params of the handler `{handler.name}`.")
        for part in hoisted.values():
            part.setdefault("description", f"A part of the params of the handler `{handler.name}`.")
            for name, field in part.get("properties", {}).items():
                field.setdefault("description", f"`{name}`, for the handler `{handler.name}`.")
        schemas |= hoisted
    return names, schemas


def _unique(name: str, taken: set[str]) -> str:
    """Return the name, with a number if it differs from a taken name only in case and punctuation."""
    number, unique = 1, name
    while (plain := re.sub(r"[^a-z0-9]", "", unique.lower())) in taken:
        number += 1
        unique = f"{name}.{number}"
    taken.add(plain)
    return unique


def with_status(problem: JsonObject, status: int) -> JsonObject:
    """Return the schema of a problem, limited to one status."""
    properties = problem["properties"]
    return problem | {"properties": properties | {"status": properties["status"] | {"const": status}}}


def _as_received(schema: JsonObject) -> JsonObject:
    """Return the schema of a request, with the defaults of its fields in their descriptions."""
    properties = {name: dict(field) for name, field in schema.get("properties", {}).items()}
    for field in properties.values():
        if (default := field.pop("default", None)) is not None:
            shown = msgspec.json.encode(default).decode()
            field["description"] = f"{field.get('description', '')} Default: `{shown}`.".strip()
    return schema | ({"properties": properties} if properties else {})


def complete(schema: Any) -> Any:
    """Return a schema with its implied facts made explicit, at every depth.

    An enumeration of strings gets their type, and an object without fields allows additional ones.
    """
    match schema:
        case {"enum": [only], **others} if "const" not in others:
            return complete(others | {"const": only})
        case {"enum": values} if "type" not in schema and all(isinstance(value, str) for value in values):
            return complete(schema | {"type": "string"})
        case {"type": "object"} if schema.keys().isdisjoint({"properties", "additionalProperties"}):
            return complete(schema | {"additionalProperties": True})
        case dict():
            return {name: complete(part) for name, part in schema.items()}
        case list():
            return [complete(part) for part in schema]
        case _:
            return schema


def described(schema: JsonObject, kind: type | None) -> JsonObject:
    """Return a schema with the descriptions of the type and its fields from the docstring."""
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
    """Return the text of a docstring as one paragraph of Markdown."""
    return re.sub(r"\s+", " ", text).replace("``", "`").replace("`None`", "null")


def _as_sent(schema: JsonObject, kind: type[msgspec.Struct]) -> JsonObject:
    """Return the schema of a reply: fields with a default are required too, unless the type omits defaults."""
    properties = schema["properties"]
    fields = {name: {key: value for key, value in properties[name].items() if key != "default"} for name in properties}
    always = [] if kind.__struct_config__.omit_defaults else [name for name in fields if "default" in properties[name]]
    return schema | {"properties": fields, "required": [*schema["required"], *always]}


def _rules(task: JsonObject, params: Mapping[str, str], schemas: Mapping[str, JsonObject]) -> JsonObject:
    """Return the rules between the fields of a task, as conditions; generators ignore conditions."""
    handler = {"enum": list(params), "default": SLEEP, "description": task["properties"]["handler"]["description"]}
    rules: list[JsonObject] = [
        {
            "if": {"properties": {"run_at": {"type": "string"}}, "required": ["run_at"]},
            "then": {"properties": {"delay": {"const": 0}}},
        }
    ]
    for name, component in params.items():
        then: JsonObject = {"properties": {"params": ref(component)}}
        condition: JsonObject = {"properties": {"handler": {"const": name}}}
        if name != SLEEP:
            then["properties"]["duration"] = {"const": 0}
            condition["required"] = ["handler"]
        if _has_required_params(schemas[name]):
            then["required"] = ["params"]
        rules.append({"if": condition, "then": then})
    return {"properties": task["properties"] | {"handler": handler}, "allOf": rules}


def _has_required_params(params: JsonObject) -> bool:
    if "$ref" in params:
        params = params["$defs"][params["$ref"].removeprefix("#/$defs/")]
    return bool(params.get("required"))


def _hoisted(key: str, schema: JsonObject, taken: set[str]) -> JsonObject:
    """Return a schema under this key, and its own definitions (``$defs``) under keys of their own.

    The new keys are added to ``taken``, and all references are changed to them.
    """
    held = {f"#/$defs/{name}": part for name, part in schema.get("$defs", {}).items()}
    own = schema.get("$ref")
    parts = [target for target in held if target != own]
    keys = {target: _unique(f"{key}.{_key(target.rpartition('/')[2])}", taken) for target in parts}
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
    """Return a name with its invalid characters escaped, for the key of a schema; different names stay different."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f".{ord(found[0]):x}", name)
