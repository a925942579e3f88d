"""From bytes to tasks: straight into the types, and on failure again, slowly, to say what is wrong.

The fast way stops at the first fault and does not know of all of them: JSON itself allows an object to say
the same key twice, and a decoder takes the last. So a decoded batch is held against its body: written out again
without white space, what was understood is what was sent, or else what any JSON reader understands of it is. Only when
neither is so (a repeated key, but also an escaped letter) does a slow reader look for repeated keys.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE
from collections import Counter
from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, Final, NoReturn, TypeVar, Union, get_args

import msgspec

from ...errors import FieldError, InvalidTaskError
from ...task import Priority, Task
from .errors import BadRequestError, TooLargeError

ERRORS_LISTED_MAX: Final = 100
"""How many faults of one batch a reply lists."""

FIELD_CHARACTERS_SHOWN_MAX: Final = 100
"""How much of the name of a field that we do not have is sent back."""


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be changed of a task that waits.

    Parameters:
        priority: -100 to 100, the higher starts first.
    """

    priority: Priority


_decode_task = msgspec.json.Decoder(Task).decode
_decode_change = msgspec.json.Decoder(Change).decode
_decode_lines = msgspec.json.Decoder(Task).decode_lines
_decode_batch = msgspec.json.Decoder(list[Task]).decode
_decode_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

_FIELD_PATH: Final = re.compile(r"\$\.(\w+)")
_AT_PATH: Final = re.compile(r" - at `(\$[^`]*)`\Z")
_NO_SUCH_FIELD: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_WHOLE_NUMBER: Final = re.compile(r"([+-]?[0-9]{1,20})\.0{1,20}")
_NAMED_FIELD: Final = re.compile(r"(?P<missing>Object missing required field )?`(?P<field>\w+)`")

_WIDE: Final = (BOM_UTF16_LE, BOM_UTF16_BE, BOM_UTF32_BE)
"""How text begins that is wider than UTF-8; the mark of UTF-32 in the other order begins like the first."""

Query = TypeVar("Query", bound=msgspec.Struct)


def decode_batch(body: bytes, *, tasks_max: int) -> list[Task]:
    """The tasks of a JSON list.

    Raises:
        BadRequestError: the body is no JSON list.
        TooLargeError: it holds more than ``tasks_max`` tasks.
        InvalidTaskError: some of them cannot be taken; lists which and why.
    """
    try:
        tasks = _decode_batch(body)
    except msgspec.ValidationError:
        _explain_batch(body, tasks_max)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(_malformed(error, body)) from error
    _check_size(len(tasks), tasks_max)
    _refuse_repeated_keys(body, tasks)
    return tasks


def decode_task(body: bytes, *, index: int = 0) -> Task:
    """The task of one JSON object; ``index`` is its place as errors should tell it.

    Raises:
        InvalidTaskError: it cannot be taken, or is no JSON object.
    """
    try:
        task = _decode_task(body)
    except (ValueError, RecursionError):
        _refuse_faults(body, index, Task)
        raise
    _refuse_repeated_keys(body, task, index)
    return task


def decode_change(body: bytes) -> Change:
    """The change of one JSON object.

    Raises:
        InvalidTaskError: it cannot be made, or is no JSON object.
    """
    _refuse_faults(body, 0, Change)
    change = _decode_change(body)
    _refuse_repeated_keys(body, change)
    return change


def decode_lines(lines: bytes) -> list[Task] | None:
    """The tasks of some NDJSON lines, or ``None`` when they are to be looked at one by one."""
    try:
        tasks = _decode_lines(lines)
        body = b"[%b]" % lines.strip().replace(b"\n", b",")
        return tasks if _says_no_key_twice(body, tasks) else None
    except (ValueError, RecursionError):
        return None


def decode_query(arguments: Mapping[str, list[str]], query: type[Query]) -> Query:
    """The parameters of a query string.

    Raises:
        BadRequestError: one is unknown, given twice or out of its range; names it.
    """
    if not arguments:
        return query()
    repeated = [name for name, values in arguments.items() if len(values) > 1]
    if repeated:
        raise BadRequestError(f"the query parameter `{repeated[0]}` is given more than once")
    known = _parameters(query)
    values = {}
    for name, [value] in arguments.items():
        if name not in known:
            there_are = ", ".join(sorted(known)) or "none"
            raise BadRequestError(f"there is no query parameter `{name}` here; there are: {there_are}")
        try:
            values[name] = _converted(value, known[name])
        except msgspec.ValidationError as error:
            raise BadRequestError(f"the query parameter `{name}` cannot be {value!r}: {error}") from error
    return query(**values)


def _converted(value: str, kind: Any) -> Any:
    """Return the value of a parameter; generated clients write a whole number as ``5.0``, too."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        whole = _WHOLE_NUMBER.fullmatch(value)
        if whole is None:
            raise
        return msgspec.convert(whole[1], kind, strict=False)


@cache
def _parameters(query: type[msgspec.Struct]) -> dict[str, Any]:
    """The types of its parameters, by name."""
    return {field.name: _given(field.type) for field in msgspec.structs.fields(query)}


def _given(kind: Any) -> Any:
    """The type of a parameter that is there: the word ``null`` in a query is a word."""
    kinds = get_args(kind)
    return Union[tuple(one for one in kinds if one is not NoneType)] if NoneType in kinds else kind  # noqa: UP007


def _check_size(tasks: int, tasks_max: int) -> None:
    if tasks > tasks_max:
        raise TooLargeError(f"the list holds {tasks} tasks and at most {tasks_max} are taken at once: split it")


def _explain_batch(body: bytes, tasks_max: int) -> NoReturn:
    """Raise what is wrong with each element of a list that could not be decoded."""
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
        return _as_field_error(str(error), index, kind)
    except (ValueError, RecursionError) as error:
        return FieldError(index, None, _malformed(error, element))
    return None


def _as_field_error(message: str, index: int, kind: type[msgspec.Struct]) -> FieldError:
    """A decoder's complaint in our words; it names the field in its text or as a path behind it."""
    at = _AT_PATH.search(message)
    message, path = (message[: at.start()], at[1]) if at is not None else (message, "")
    if (unknown := _NO_SUCH_FIELD.fullmatch(message)) is not None:
        field = unknown[1][:FIELD_CHARACTERS_SHOWN_MAX]
        return FieldError(index, field, f"there is no field `{field}`; there are: {', '.join(kind.__struct_fields__)}")
    if (named := _NAMED_FIELD.match(message)) is not None:
        field = named["field"]
        return FieldError(index, field, f"`{field}` is required" if named["missing"] else message)
    message = message.replace("Expected", "expected", 1)
    if (known := _FIELD_PATH.search(path)) is not None:
        return FieldError(index, known[1], f"`{known[1]}`: {message}")
    return FieldError(index, None, f"a {kind.__name__.lower()}: {message}")


def _malformed(error: ValueError | RecursionError, body: bytes) -> str:
    if body.startswith(_WIDE) or b"\0" in body[:2]:
        return "the body is UTF-16 or UTF-32: send it as UTF-8"
    match error:
        case UnicodeDecodeError():
            return "the body is not UTF-8"
        case RecursionError():
            return "the body is nested too deeply"
        case _:
            return f"the body is not valid JSON: {error}"


def _says_no_key_twice(body: bytes, understood: Task | Change | list[Task]) -> bool:
    """Whether that is plain to see; ``False`` says nothing."""
    sent = msgspec.json.format(body, indent=-1)
    return _encode(understood) == sent or _encode(msgspec.json.decode(body)) == sent


def _refuse_repeated_keys(body: bytes, understood: Task | Change | list[Task], index: int = 0) -> None:
    try:
        if _says_no_key_twice(body, understood):
            return
        sent = json.loads(body, object_pairs_hook=_Pairs)
    except RecursionError as error:
        raise BadRequestError(_malformed(error, body)) from error
    for place, element in enumerate(sent if isinstance(understood, list) else [sent], index):
        if (repeated := _repeated_key(element)) is not None:
            shown = repeated[:FIELD_CHARACTERS_SHOWN_MAX]
            raise InvalidTaskError([FieldError(place, shown, f"`{shown}` is given more than once")])


class _Pairs(list[tuple[str, Any]]):
    """An object's members as they were sent."""


def _repeated_key(element: Any) -> str | None:
    """A key that an object in here has twice, however deep."""
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
