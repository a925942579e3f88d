"""Decode tasks, changes and query parameters, and report each fault by its field.

A body is decoded straight into its type, which is fast but stops at the first fault. If that fails, a slow second pass
finds all the faults.

The decoder accepts a repeated key and takes its last value, as JSON allows. To find repeated keys, the decoded tasks
are encoded again and compared with the body without white space; if they differ, the body is decoded to plain values,
encoded and compared. If either comparison succeeds, no key is repeated. Otherwise a slow reader looks for repeated
keys. (An escaped letter also makes both comparisons fail.)
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Annotated, Any, Final, NoReturn, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...errors import FieldError, InvalidTaskError
from ...handlers.settings import Defaults
from ...limits.defaults import CHARACTERS_SHOWN_MAX
from ...schedules.declaration import ScheduleDeclaration
from ...task import Priority, Task, check_run_at
from ...validation import fault_of, malformed, unknown
from .errors import BadRequestError, TooLargeError

WHITE_SPACE: Final = b" \t\r\n"
"""The white space of JSON."""

ERRORS_LISTED_MAX: Final = 100
"""How many faults of one batch the reply lists."""


NewTime = Annotated[
    str, Meta(extra_json_schema={"anyOf": [{"const": "now"}, {"format": "date-time"}], "examples": ["now"]})
]
_Time = Annotated[datetime, Meta(tz=True)]


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The change of a waiting task: its priority, its time, or both.

    Parameters:
        priority: -100 to 100; tasks of higher priority start first.
        run_at: when the task becomes due: a time with a time zone (RFC 3339), or ``now``.

    Raises:
        ValueError: both are missing, or ``run_at`` is invalid.
    """

    priority: Priority | UnsetType = UNSET
    run_at: NewTime | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.priority is UNSET and self.run_at is UNSET:
            raise ValueError("`priority`, `run_at` or both must be given")
        self.due_at()

    def due_at(self) -> float | None:
        """Return the new time in seconds since 1970; a time that has passed for ``now``, and ``None`` for no change."""
        if self.run_at is UNSET:
            return None
        if self.run_at == "now":
            return 0.0
        try:
            time = msgspec.convert(self.run_at, _Time)
        except msgspec.ValidationError as error:
            raise ValueError('`run_at` must be "now", or a time such as "2030-01-31T08:00:00Z"') from error
        check_run_at(time)
        return time.timestamp()


class TaskBody(msgspec.Struct, frozen=True, gc=False):
    """The tasks of a JSON body.

    Parameters:
        tasks: the tasks; exactly one if the body is not a list.
        is_list: whether the body is a list, so that the reply counts verdicts.
    """

    tasks: list[Task]
    is_list: bool


class _WithTask(msgspec.Struct):
    task: dict[str, msgspec.Raw]


_decode_task = msgspec.json.Decoder(Task).decode
_decode_lines = msgspec.json.Decoder(Task).decode_lines
_decode_batch = msgspec.json.Decoder(list[Task]).decode
# Tasks do not show which of their fields were given, so the defaults of handlers need the members of the objects.
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_lines_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode_lines
_decode_batch_members = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

_WHOLE_NUMBER: Final = re.compile(r"([+-]?[0-9]{1,20})\.0{1,20}")
_OWN_MESSAGE: Final = re.compile(r"`(\w+)`")
"""Matches the message of an error of `Task` itself, which begins with the field."""

_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")

_WIDE: Final = (BOM_UTF16_LE, BOM_UTF16_BE, BOM_UTF32_BE)
"""Byte order marks of UTF-16 and UTF-32. The mark of little-endian UTF-32 begins with that of little-endian UTF-16."""

_NOUNS: Final[dict[type[msgspec.Struct], str]] = {ScheduleDeclaration: "schedule"}
"""The words for types whose names would not tell a caller what is invalid."""

_IN_A_QUERY: Final = {
    "expected `int`, got `str`": "expected a whole number",
    "expected `float`, got `str`": "expected a number",
    "expected `bool`, got `str`": "the values are: true, false",
    "expected `str` of length >= 1": "it is empty: write a value, or leave the parameter out",
}
"""The words of the decoder of JSON, and the same for a query, where everything is text."""

Query = TypeVar("Query", bound=msgspec.Struct)
Decoded = TypeVar("Decoded", bound=msgspec.Struct)


def decode_body(body: bytes, *, tasks_max: int, defaults: Defaults | None = None) -> TaskBody:
    """Return the tasks of a JSON body: a list of tasks, or one task as an object.

    Parameters:
        tasks_max: how many tasks a list may hold.
        defaults: the defaults of handlers, which are filled in for the fields that the body does not contain.

    Raises:
        BadRequestError, TooLargeError, InvalidTaskError: see ``decode_batch`` and ``decode_task``.
    """
    if body.lstrip(WHITE_SPACE).startswith(b"{"):
        return TaskBody([decode_task(body, defaults=defaults)], False)
    return TaskBody(decode_batch(body, tasks_max=tasks_max, defaults=defaults), True)


def decode_batch(body: bytes, *, tasks_max: int, defaults: Defaults | None = None) -> list[Task]:
    """Return the tasks of a JSON list.

    Raises:
        BadRequestError: the body is not a JSON list.
        TooLargeError: the list holds more than ``tasks_max`` tasks.
        InvalidTaskError: some tasks are invalid; the error lists their indexes and faults.
    """
    try:
        tasks = _decode_batch(body)
    except msgspec.ValidationError:
        _explain_batch(body, tasks_max)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(_malformed(error, body)) from error
    _check_size(len(tasks), tasks_max)
    _refuse_repeated_keys(body, tasks)
    return tasks if defaults is None else _filled(tasks, defaults, _decode_batch_members, body)


def decode_task(body: bytes, *, index: int = 0, defaults: Defaults | None = None) -> Task:
    """Return the task of one JSON object.

    Parameters:
        index: the index of the task in errors.
        defaults: the defaults of handlers, which are filled in for the fields that the body does not contain.

    Raises:
        InvalidTaskError: the task is invalid, or the body is not a JSON object.
    """
    try:
        task = _decode_task(body)
    except (ValueError, RecursionError):
        _refuse_faults(body, index, Task)
        raise
    _refuse_repeated_keys(body, task, index)
    if defaults is None or task.handler not in defaults:
        return task
    return defaults.fill(task, _decode_members(body))


def decode_object(body: bytes, kind: type[Decoded]) -> Decoded:
    """Return the value of one JSON object.

    Raises:
        InvalidTaskError: the value is invalid, or the body is not a JSON object.
    """
    _refuse_faults(body, 0, kind)
    decoded = msgspec.json.decode(body, type=kind)
    _refuse_repeated_keys(body, decoded)
    return decoded


def decode_lines(lines: bytes, defaults: Defaults | None = None) -> list[Task] | None:
    """Return the tasks of NDJSON lines, or ``None`` if the lines must be decoded one by one to find a fault.

    Parameters:
        lines: the lines.
        defaults: the defaults of handlers, which are filled in for the fields that a line does not contain.
    """
    try:
        tasks = _decode_lines(lines)
        body = b"[%b]" % lines.strip().replace(b"\n", b",")
        if not _proves_unique_keys(body, tasks):
            return None
    except (ValueError, RecursionError):
        return None
    return tasks if defaults is None else _filled(tasks, defaults, _decode_lines_members, lines)


def fields_of_task(body: bytes) -> frozenset[str]:
    """Return the names of the fields that the task in the JSON object of a valid schedule has."""
    return frozenset(msgspec.json.decode(body, type=_WithTask).task)


def _filled(
    tasks: list[Task], defaults: Defaults, decode: Callable[[bytes], list[dict[str, msgspec.Raw]]], body: bytes
) -> list[Task]:
    """Return the tasks of a body with the defaults of their handlers; the body is decoded again if there are any."""
    if not any(task.handler in defaults for task in tasks):
        return tasks
    return [defaults.fill(task, given) for task, given in zip(tasks, decode(body), strict=True)]


def decode_query(arguments: Mapping[str, list[str]], query: type[Query]) -> Query:
    """Return the parameters of a query string.

    Raises:
        BadRequestError: a parameter is unknown, repeated or invalid; the message names the parameter.
    """
    if not arguments:
        return query()
    known = _parameters(query)
    values = {}
    for name, given in arguments.items():
        if name not in known:
            raise BadRequestError(unknown("query parameter", name, sorted(known), none="this route takes none"))
        several = _takes_several(known[name])
        if len(given) > 1 and not several:
            raise BadRequestError(f"the query parameter `{name}` is given more than once")
        value = given if several else given[0]
        try:
            values[name] = _converted(value, known[name])
        except msgspec.ValidationError as error:
            why = _words_for_a_query(fault_of(error, known[name]).expected, value, known[name])
            raise BadRequestError(f"invalid value {value!r} of the query parameter `{name}`: {why}") from error
    return query(**values)


def _words_for_a_query(why: str, value: str | list[str], kind: Any) -> str:
    """Return why a value is invalid, for a caller who writes only text."""
    if _plain_type(kind) is datetime and " " in value:
        return f"{why}; in a query, + stands for a blank: write + as %2B"
    for of_json, of_query in _IN_A_QUERY.items():
        why = why.replace(of_json, of_query)
    return why


def _takes_several(kind: Any) -> bool:
    """Return whether a parameter may be given several times: its type is a list."""
    return get_origin(_plain_type(kind)) is list


def _plain_type(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _converted(value: str | list[str], kind: Any) -> Any:
    """Return the value of a parameter. A whole number may be written as ``5.0``, as some generated clients do."""
    if isinstance(value, list) or _plain_type(kind) is datetime:
        return msgspec.convert(value, kind)  # strictly: a number is not a time
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        whole = _WHOLE_NUMBER.fullmatch(value)
        if whole is None:
            raise
        return msgspec.convert(whole[1], kind, strict=False)


@cache
def _parameters(query: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the types of the parameters of a query, by name."""
    return {field.name: _without_none(field.type) for field in msgspec.structs.fields(query)}


def _without_none(kind: Any) -> Any:
    """Return a type without ``None``: otherwise ``null`` in a query would be converted to ``None``."""
    kinds = get_args(kind)
    return Union[tuple(one for one in kinds if one is not NoneType)] if NoneType in kinds else kind  # noqa: UP007


def _check_size(tasks: int, tasks_max: int) -> None:
    if tasks > tasks_max:
        raise TooLargeError(f"the list holds {tasks} tasks, and the limit is {tasks_max}: split the list")


def _explain_batch(body: bytes, tasks_max: int) -> NoReturn:
    """Raise an error that lists the faults of a list that could not be decoded."""
    try:
        elements = _decode_elements(body)
    except msgspec.ValidationError as error:
        raise BadRequestError("the body must be a JSON list of tasks, or one task as an object") from error
    except (ValueError, RecursionError) as error:
        raise BadRequestError(_malformed(error, body)) from error
    _check_size(len(elements), tasks_max)
    faults = [fault for index, element in enumerate(elements) if (fault := _fault(bytes(element), index)) is not None]
    raise InvalidTaskError(faults[:ERRORS_LISTED_MAX])


def _refuse_faults(body: bytes, index: int, kind: type[msgspec.Struct]) -> None:
    fault = _fault(body, index, kind)
    if fault is not None:
        raise InvalidTaskError([fault])


def _fault(element: bytes, index: int, kind: type[msgspec.Struct] = Task) -> FieldError | None:
    try:
        msgspec.json.decode(element, type=kind)
    except msgspec.ValidationError as error:
        return _as_field_error(error, index, kind)
    except (ValueError, RecursionError) as error:
        return FieldError(index, None, _malformed(error, element))
    return None


def _as_field_error(error: msgspec.ValidationError, index: int, kind: type[msgspec.Struct]) -> FieldError:
    """Return the fault that a decoder's error describes."""
    fault = fault_of(error, kind)
    if fault.path or fault.kind != "invalid":
        return FieldError(index, fault.path[:CHARACTERS_SHOWN_MAX], fault.sentence())
    if (own := _OWN_MESSAGE.match(fault.why)) is not None:
        return FieldError(index, own[1], fault.why)
    noun = _NOUNS.get(kind, _WORDS.sub(" ", kind.__name__).lower())
    return FieldError(index, None, f"a {noun}: {fault.why}")


def _malformed(error: ValueError | RecursionError, body: bytes) -> str:
    if body.startswith(_WIDE) or b"\0" in body[:2]:
        return "the body is UTF-16 or UTF-32: send it as UTF-8"
    return malformed(error, "the body")


def _proves_unique_keys(body: bytes, decoded: msgspec.Struct | list[Task]) -> bool:
    """Return ``True`` if no key is repeated in the body, ``False`` if a slow reader has to find out."""
    sent = msgspec.json.format(body, indent=-1)
    return _encode(decoded) == sent or _encode(msgspec.json.decode(body)) == sent


def _refuse_repeated_keys(body: bytes, decoded: msgspec.Struct | list[Task], index: int = 0) -> None:
    try:
        if _proves_unique_keys(body, decoded):
            return
        sent = json.loads(body, object_pairs_hook=_Pairs)
    except RecursionError as error:
        raise BadRequestError(_malformed(error, body)) from error
    for place, element in enumerate(sent if isinstance(decoded, list) else [sent], index):
        if (repeated := _repeated_key(element)) is not None:
            shown = repeated[:CHARACTERS_SHOWN_MAX]
            raise InvalidTaskError([FieldError(place, shown, f"`{shown}` is given more than once")])


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object as they were sent, with repeated keys."""


def _repeated_key(element: Any) -> str | None:
    """Return a key that is repeated in an object, at any depth, or ``None``."""
    left = [element]
    while left:
        match left.pop():
            case _Pairs() as pairs:
                keys = Counter(key for key, _ in pairs)
                if repeated := [key for key, times in keys.items() if times > 1]:
                    return repeated[0]
                left.extend(value for _, value in pairs)
            case list() as values:
                left.extend(values)
    return None
