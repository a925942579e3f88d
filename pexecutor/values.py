"""Convert values that a handler returns or raises into values that a record can hold: bounded and encodable.

A handler is the operator's code, so the text of an exception, a number or a result may be any object. Each function
here accepts any object and returns a value that every store, listing and log line can hold. Only functions with a
"Raises" section raise. A value that is already valid, as in an older record, is returned unchanged.

The functions check types with ``issubclass(type(value), …)`` and call the methods of ``str`` itself, because an object
may claim another class, and a subclass of ``str`` may override any method.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from .limits.defaults import SPAN_SECONDS_MAX

T = TypeVar("T")
Otherwise = TypeVar("Otherwise")

ERROR_BYTES_MAX: Final = 8 * 1024
"""The maximum length of an error's text in UTF-8. Of a longer text, the beginning and the end are kept."""

MIDDLE_OMITTED: Final = "\n[... %d characters; the middle is omitted ...]\n"
"""Replaces the middle of an error's text; ``%d`` is the length of the whole text."""

RETRY_AFTER_SECONDS_MAX: Final = SPAN_SECONDS_MAX
"""The longest wait before a retry that a handler may request: seven days, like every duration."""

RESULT_BYTES_MAX: Final = 64 * 1024

WHOLE_MAX: Final = 2**53
"""The largest integer that every JSON parser reads exactly."""

NAME_CHARACTERS_MAX: Final = 200
"""The maximum length of a class name or a ``repr`` in a message."""

_ITERATION: Final = (StopIteration, StopAsyncIteration)

_NAMED: Final = (
    *_ITERATION,
    KeyError,
    IndexError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    NameError,
    TypeError,
)
"""Exceptions whose text is unclear without the class: ``KeyError: 'host'``, ``IndexError: list index out of range``."""

_GROUP_ERRORS_SHOWN_MAX: Final = 10
_GROUP_NODES_MAX: Final = 20_000

# Control characters except tab and newline, and surrogates (Python's stand-ins for undecodable bytes of file names).
_UNFIT: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def plain_text(value: object) -> str:
    """Return the text of any object, with control characters and surrogates as escapes like ``\\x1b``."""
    return _UNFIT.sub(_escaped, raw_text(value))


def raw_text(value: object) -> str:
    """Return ``str(value)`` of any object, or a placeholder if that raises."""
    return call_safely(_str, value, lambda error: f"<{class_name(value)}: str() raised {class_name(error)}>")


def class_name(value: object) -> str:
    """Return the name of an object's class, which a metaclass cannot override."""
    name: str = type.__dict__["__name__"].__get__(type(value))
    return plain_text(name[:NAME_CHARACTERS_MAX])


def error_text(text: object) -> str:
    """Return an error's text in at most ``ERROR_BYTES_MAX`` bytes: the beginning and the end of a longer text."""
    text = raw_text(text)
    if len(text) <= ERROR_BYTES_MAX:
        plain = plain_text(text)
        if len(plain.encode()) <= ERROR_BYTES_MAX:
            return plain
    gap = MIDDLE_OMITTED % len(text)
    head_bytes_max = (ERROR_BYTES_MAX - len(gap)) // 2
    tail_bytes_max = ERROR_BYTES_MAX - len(gap) - head_bytes_max
    # A character has at least one byte, so characters farther from either end cannot be kept.
    head = plain_text(text[:head_bytes_max]).encode()[:head_bytes_max]
    tail = plain_text(text[-tail_bytes_max:]).encode()[-tail_bytes_max:]
    return head.decode(errors="ignore") + gap + tail.decode(errors="ignore")


def exception_text(error: BaseException) -> str:
    """Return why an attempt failed, bounded: the text of the exception.

    The name of the class precedes the text if the exception is not an ``Exception`` or the text is unclear alone.

    A group of one exception gives the text of that exception. The text of a larger group lists its first exceptions.
    """
    leaves, more = _leaves(error)
    if len(leaves) == 1 and not more:
        leaf = _as_raised(leaves[0])
        return _leaf_text(leaf, named=issubclass(type(leaf), _NAMED) or not issubclass(type(leaf), Exception))
    # Exceptions outside the class Exception (SystemExit, …) go first: they are the most surprising causes.
    leaves.sort(key=lambda leaf: issubclass(type(leaf), Exception))
    shown = [_leaf_text(leaf, named=True) for leaf in leaves[:_GROUP_ERRORS_SHOWN_MAX]]
    left = len(leaves) - len(shown)
    rest = f"; and {left}{'+' if more else ''} more" if left or more else ""
    return error_text(f"{plain_text(_message(error))} ({class_name(error)}): {'; '.join(shown)}{rest}")


def named_text(error: BaseException) -> str:
    """Return the class and the text of an exception, bounded, like ``KeyError: 'host'``."""
    return _leaf_text(error, named=True)


def sole_exception(error: BaseException) -> BaseException:
    """Return the exception inside nested groups of one, or the first group that holds several."""
    for _ in range(_GROUP_NODES_MAX):
        if not issubclass(type(error), BaseExceptionGroup) or len(inner := _exceptions(error)) != 1:
            break
        error = inner[0]
    return error


def leaf_exceptions(error: BaseException) -> list[BaseException]:
    """Return all exceptions in a group and its nested groups, in order, each once."""
    leaves: dict[int, BaseException] = {}
    groups: set[int] = set()
    to_visit = [error]
    while to_visit:
        visited = to_visit.pop()
        if not issubclass(type(visited), BaseExceptionGroup):
            leaves.setdefault(id(visited), visited)
        elif id(visited) not in groups:  # groups that share groups would take exponential time
            groups.add(id(visited))
            to_visit.extend(reversed(_exceptions(visited)))
    return list(leaves.values())


def retry_after_seconds(value: object) -> float:
    """Return a wait of 0 s to seven days for any object; 0 for an object that is not a number."""
    seconds = _number(value)
    if seconds is None or math.isnan(seconds):
        return 0.0
    return min(max(0.0, seconds), RETRY_AFTER_SECONDS_MAX)


def progress_number(value: object) -> float:
    """Return a finite number of at least 0; an ``int`` stays an ``int``.

    Raises:
        ValueError: the object is negative, infinite or not a number; the message is bounded.
    """
    number = None if issubclass(type(value), str | bytes | bytearray) else _number(value)
    if number is None or not (math.isfinite(number) and number >= 0):
        raise ValueError(f"progress must be a finite number of at least 0, not {_shown(value)}")
    return int(number) if issubclass(type(value), int) and number < WHOLE_MAX else number


def result_json(result: object) -> bytes:
    """Return a result as JSON on one line.

    Raises:
        ValueError: the result cannot be encoded as JSON, or the JSON is too long; the message is bounded.
    """
    encoded = call_safely(msgspec.json.encode, result, _complaint)
    if isinstance(encoded, bytes):
        if len(encoded) > RESULT_BYTES_MAX:
            raise ValueError(f"the handler's result has {len(encoded)} bytes; the maximum is {RESULT_BYTES_MAX}")
        # Decode the JSON to check it, because the encoder copies the bytes of a `msgspec.Raw` without a check.
        decoded = call_safely(msgspec.json.decode, encoded, _complaint)
        if not isinstance(decoded, _Complaint):
            return msgspec.json.encode(decoded) if b"\n" in encoded or b"\r" in encoded else encoded
        encoded = decoded
    raise ValueError(error_text(f"the handler's result is not JSON: {encoded}"))


class _Complaint(str):
    __slots__ = ()


def _complaint(error: BaseException) -> _Complaint:
    return _Complaint(exception_text(error))


def attribute(value: object, name: str, default: object = None) -> Any:
    """Return an object's attribute, or the default if reading it raises."""
    return call_safely(lambda instance: getattr(instance, name), value, lambda _: default)


def truth(value: object, *, default: bool) -> bool:
    """Return the truth value of an object, or the default if ``bool`` raises."""
    return call_safely(bool, value, lambda _: default)


def call_safely(
    call: Callable[[Any], T], value: object, on_error: Callable[[BaseException], Otherwise]
) -> T | Otherwise:
    """Return ``call(value)``, or ``on_error(error)`` if the call raises."""
    try:
        return call(value)
    # BaseException, because the code of the object may raise anything. No await in here, so this catches no Cancelled.
    except BaseException as error:
        return on_error(error)


def _str(value: object) -> str:
    return str.__str__(str(value))  # str() may return an instance of a subclass; str.__str__ makes it a plain str


def _escaped(character: re.Match[str]) -> str:
    return ascii(character[0])[1:-1]


def _shown(value: object) -> str:
    shown = call_safely(repr, value, lambda _: f"an object of the class {class_name(value)}")
    return plain_text(raw_text(shown)[:NAME_CHARACTERS_MAX])


def _number(value: object) -> float | None:
    """Return an object as a float, infinite if it is too large for a float, or ``None`` if it is not a number."""
    return call_safely(_float, value, lambda _: None)


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _as_raised(error: BaseException) -> BaseException:
    """Return the ``StopIteration`` that Python turned into a ``RuntimeError``, or else the exception itself."""
    cause = error.__cause__ if type(error) is RuntimeError else None
    return cause if cause is not None and issubclass(type(cause), _ITERATION) else error


def _leaf_text(error: BaseException, *, named: bool) -> str:
    text = error_text(error)
    if not text:
        return class_name(error)
    return error_text(f"{class_name(error)}: {text}") if named else text


def _leaves(error: BaseException) -> tuple[list[BaseException], bool]:
    """Return the exceptions of nested groups, and whether some were left out because there are too many."""
    leaves: list[BaseException] = []
    to_visit = [error]
    for _ in range(_GROUP_NODES_MAX):
        if not to_visit:
            break
        visited = to_visit.pop()
        if issubclass(type(visited), BaseExceptionGroup):
            to_visit.extend(reversed(_exceptions(visited)[:_GROUP_NODES_MAX]))
        else:
            leaves.append(visited)
    return leaves or [error], bool(to_visit)


def _exceptions(group: BaseException) -> tuple[BaseException, ...]:
    return _group_member("exceptions", group)  # type: ignore[no-any-return]


def _message(group: BaseException) -> object:
    return _group_member("message", group)


def _group_member(name: str, group: BaseException) -> Any:
    """Return an attribute of a group as ``BaseExceptionGroup`` defines it; a subclass may have overridden it."""
    return BaseExceptionGroup.__dict__[name].__get__(group)
