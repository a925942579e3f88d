"""Make what a handler gives fit for a record: representable everywhere, and bounded.

A handler is the operator's code, so an exception's text, a number or a result may be anything. Each function here takes
any object, never raises for it, and returns a value that every store, listing and log line can hold. The functions are
also safe to use on what an older record holds: a value that is fit already comes back as it is.

The functions look at types with ``issubclass(type(value), …)`` and call ``str``'s own methods, because an object may
claim another class, and a subclass of ``str`` may answer with anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")
Otherwise = TypeVar("Otherwise")

ERROR_BYTES_MAX: Final = 8 * 1024
"""How much of an error's text is kept, as UTF-8: its beginning and its end."""

RETRY_AFTER_SECONDS_MAX: Final = 7 * 24 * 60 * 60.0
"""The longest wait for another attempt that a handler may ask for: seven days, as for every duration."""

RESULT_BYTES_MAX: Final = 64 * 1024

WHOLE_MAX: Final = 2**53
"""Up to here a whole number is the same number in every reader of JSON."""

NAME_CHARACTERS_MAX: Final = 200
"""How much of a class's name is shown."""

_ITERATION: Final = (StopIteration, StopAsyncIteration)

_NAMED: Final = (*_ITERATION, KeyError)
"""Exceptions whose text is only a value, so that it says nothing without the class: ``KeyError: 'host'``."""

_GROUP_ERRORS_SHOWN_MAX: Final = 10
_GROUP_NODES_MAX: Final = 20_000

# NUL, the escapes of terminals and other control characters, and the surrogates that stand for bytes of file names.
_UNFIT: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def plain_text(value: object) -> str:
    """Return any object's text; characters that cannot be shown or encoded become escapes like ``\\x1b``."""
    return _UNFIT.sub(_escaped, raw_text(value))


def raw_text(value: object) -> str:
    """Return what ``str`` makes of any object, or a note when that raises."""
    return asked(_str, value, lambda error: f"<{class_name(value)}: its text cannot be made: {class_name(error)}>")


def class_name(value: object) -> str:
    """Return the name of an object's class; a metaclass cannot change it."""
    name: str = type.__dict__["__name__"].__get__(type(value))
    return plain_text(name[:NAME_CHARACTERS_MAX])


def error_text(text: object) -> str:
    """Return an error's text in at most ``ERROR_BYTES_MAX`` bytes; of a longer one the beginning and the end."""
    text = raw_text(text)
    if len(text) <= ERROR_BYTES_MAX:
        plain = plain_text(text)
        if len(plain.encode()) <= ERROR_BYTES_MAX:
            return plain
    gap = f"\n[... left out: the middle of {len(text)} characters ...]\n"
    head_bytes_max = (ERROR_BYTES_MAX - len(gap)) // 2
    tail_bytes_max = ERROR_BYTES_MAX - len(gap) - head_bytes_max
    # A character is at least one byte, so what lies farther from either end cannot be kept.
    head = plain_text(text[:head_bytes_max]).encode()[:head_bytes_max]
    tail = plain_text(text[-tail_bytes_max:]).encode()[-tail_bytes_max:]
    return head.decode(errors="ignore") + gap + tail.decode(errors="ignore")


def exception_text(error: BaseException) -> str:
    """Return why an attempt failed, bounded.

    The text is that of the exception. The name of the class precedes it where the exception is no ``Exception``,
    or where the text is only a value.

    A group of one exception reads like that exception. A group of more lists the first of them.
    """
    leaves, more = _leaves(error)
    if len(leaves) == 1 and not more:
        leaf = _as_raised(leaves[0])
        return _leaf_text(leaf, named=issubclass(type(leaf), _NAMED) or not issubclass(type(leaf), Exception))
    # What is no Exception comes first: an operator looks for it last.
    leaves.sort(key=lambda leaf: issubclass(type(leaf), Exception))
    shown = [_leaf_text(leaf, named=True) for leaf in leaves[:_GROUP_ERRORS_SHOWN_MAX]]
    left = len(leaves) - len(shown)
    rest = f"; and {left}{'+' if more else ''} more" if left or more else ""
    return error_text(f"{plain_text(_message(error))} ({class_name(error)}): {'; '.join(shown)}{rest}")


def sole_exception(error: BaseException) -> BaseException:
    """Return the one exception in groups of one, or the group that holds several."""
    for _ in range(_GROUP_NODES_MAX):
        if not issubclass(type(error), BaseExceptionGroup) or len(inner := _exceptions(error)) != 1:
            break
        error = inner[0]
    return error


def leaf_exceptions(error: BaseException) -> list[BaseException]:
    """Return what a group holds, and the groups in it, in order; at most 20,000 are looked at."""
    return _leaves(error)[0]


def retry_after_seconds(value: object) -> float:
    """Return a wait between 0 and seven days for any object; what is no number asks for none."""
    seconds = _number(value)
    if seconds is None or math.isnan(seconds):
        return 0.0
    return min(max(0.0, seconds), RETRY_AFTER_SECONDS_MAX)


def progress_number(value: object) -> float:
    """Return a finite number from 0, whole where it was given as an ``int``.

    Raises:
        ValueError: the object is no such number; the message is bounded.
    """
    number = None if issubclass(type(value), str | bytes | bytearray) else _number(value)
    if number is None or not (math.isfinite(number) and number >= 0):
        raise ValueError(f"progress takes finite numbers of at least 0, not {_shown(value)}")
    return int(number) if issubclass(type(value), int) and number < WHOLE_MAX else number


def result_json(result: object) -> bytes:
    """Return a result as JSON of one line.

    Raises:
        ValueError: JSON cannot express the result, or it is too long; the message is bounded.
    """
    encoded = asked(msgspec.json.encode, result, _complaint)
    if isinstance(encoded, bytes):
        if len(encoded) > RESULT_BYTES_MAX:
            raise ValueError(f"the handler's result has {len(encoded)} bytes; the maximum is {RESULT_BYTES_MAX}")
        # Read back: a `msgspec.Raw` goes into the result as it is, whatever it holds.
        decoded = asked(msgspec.json.decode, encoded, _complaint)
        if not isinstance(decoded, _Complaint):
            return msgspec.json.encode(decoded) if b"\n" in encoded or b"\r" in encoded else encoded
        encoded = decoded
    raise ValueError(error_text(f"the handler's result is not JSON: {encoded}"))


class _Complaint(str):
    __slots__ = ()


def _complaint(error: BaseException) -> _Complaint:
    return _Complaint(exception_text(error))


def attribute(value: object, name: str, default: object = None) -> Any:
    """Return an object's attribute, or the default when it cannot be read."""
    return asked(lambda it: getattr(it, name), value, lambda _: default)


def truth(value: object, *, default: bool) -> bool:
    """Return whether an object is true, or the default when it cannot be asked."""
    return asked(bool, value, lambda _: default)


def asked(ask: Callable[[Any], T], value: object, otherwise: Callable[[BaseException], Otherwise]) -> T | Otherwise:
    """What an object answers; its code may raise anything, and nothing is awaited, so no cancel can arrive here."""
    try:
        return ask(value)
    except BaseException as error:
        return otherwise(error)


def _str(value: object) -> str:
    return str.__str__(str(value))  # the second call makes a plain string of a subclass


def _escaped(character: re.Match[str]) -> str:
    return ascii(character[0])[1:-1]


def _shown(value: object) -> str:
    shown = asked(repr, value, lambda _: f"an object of the class {class_name(value)}")
    return plain_text(raw_text(shown)[:NAME_CHARACTERS_MAX])


def _number(value: object) -> float | None:
    """The number that an object stands for, infinite where a float has no room for it; ``None`` for no number."""
    return asked(_float, value, lambda _: None)


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _as_raised(error: BaseException) -> BaseException:
    """The end of an iteration that Python has replaced, as no coroutine may raise one; other exceptions as they are."""
    cause = error.__cause__ if type(error) is RuntimeError else None
    return cause if cause is not None and issubclass(type(cause), _ITERATION) else error


def _leaf_text(error: BaseException, *, named: bool) -> str:
    text = error_text(error)
    if not text:
        return class_name(error)
    return error_text(f"{class_name(error)}: {text}") if named else text


def _leaves(error: BaseException) -> tuple[list[BaseException], bool]:
    """The exceptions of nested groups, and whether there were too many to look at."""
    leaves: list[BaseException] = []
    to_see = [error]
    for _ in range(_GROUP_NODES_MAX):
        if not to_see:
            break
        one = to_see.pop()
        if issubclass(type(one), BaseExceptionGroup):
            to_see.extend(reversed(_exceptions(one)[:_GROUP_NODES_MAX]))
        else:
            leaves.append(one)
    return leaves or [error], bool(to_see)


def _exceptions(group: BaseException) -> tuple[BaseException, ...]:
    return _group_member("exceptions", group)  # type: ignore[no-any-return]


def _message(group: BaseException) -> object:
    return _group_member("message", group)


def _group_member(name: str, group: BaseException) -> Any:
    """What a group was made with; a subclass may have given the attribute another meaning."""
    return BaseExceptionGroup.__dict__[name].__get__(group)
