"""``TaskTemplate``: a task with slots, which are filled with values of a delivery.

A slot is ``{body.PATH}`` or ``{header.NAME}``. The parts of a path are keys of objects and indexes of lists. A slot
must be a whole string and is replaced by the value itself: a number stays a number, and no value can add text to
another one. Only the name of the task may contain slots among other text, as in ``deploy-{body.repository.name}``.
``{{`` and ``}}`` are literal braces. There are no expressions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ....errors import ConfigError
from ....handlers.slots import value_text
from ..errors import BadRequestError
from .signature import HeaderValues

DEPTH_MAX: Final = 32
"""How deep the objects and lists of a template may be nested."""

_SLOT: Final = re.compile(r"\{(body|header)\.([^{}]+)\}")
_PIECE: Final = re.compile(r"\{\{|\}\}|\{(?:body|header)\.[^{}]+\}|[^{}]+|.", re.DOTALL)
_INDEX: Final = re.compile(r"[0-9]{1,6}")


class DeliverySlot(msgspec.Struct, frozen=True):
    """A place in a template.

    Parameters:
        source: where the value comes from.
        path: the header's name, or the path of the value in the body.
    """

    source: str
    path: str

    def __str__(self) -> str:
        return f"{self.source}.{self.path}"


class HookDelivery(msgspec.Struct, frozen=True):
    """What a slot can refer to: the decoded body, and the values of the headers with a name in lower case."""

    body: Mapping[str, Any]
    headers: HeaderValues


class AbsentError(LookupError):
    """The delivery has no such value."""


class TaskTemplate:
    """A task with slots, as the operator wrote it.

    Parameters:
        task: the task; see ``Task`` for its fields.
        where: the name of the setting in error messages.

    Raises:
        ConfigError: a brace is neither doubled nor part of a slot, or a slot is not a whole string.
    """

    def __init__(self, task: Mapping[str, Any], where: str) -> None:
        fields = dict(task)
        name = fields.pop("name", None)
        if not isinstance(name, str):
            raise ConfigError(f"{where}.name is required: a text such as `deploy-{{body.repository.name}}`")
        self._name = _pieces(name, f"{where}.name")
        self._fields = _parsed(fields, where, DEPTH_MAX)

    def filled(self, delivery: HookDelivery) -> dict[str, Any]:
        """Return the task of a delivery; its fields have not been checked.

        Raises:
            BadRequestError: the delivery has no value for a slot, or a value that cannot be part of a name.
        """
        name = "".join(piece if isinstance(piece, str) else _text(piece, delivery) for piece in self._name)
        return {"name": name, **_filled(self._fields, delivery)}


def parse_slot(text: str) -> DeliverySlot | None:
    """Return the slot that a text like ``body.ref`` or ``header.x-github-event`` names, or ``None``."""
    match = _SLOT.fullmatch(f"{{{text}}}")
    if match is None:
        return None
    return DeliverySlot(match[1], match[2].lower() if match[1] == "header" else match[2])


def look_up(slot: DeliverySlot, delivery: HookDelivery) -> Any:
    """Return the value that a slot refers to.

    Raises:
        AbsentError: the delivery has no such value, or the header more than once.
    """
    if slot.source == "header":
        values = delivery.headers(slot.path.encode("latin1", "replace"))
        if len(values) != 1:
            raise AbsentError
        return values[0]
    value: Any = delivery.body
    for part in slot.path.split("."):
        value = _member(value, part)
    return value


def _member(value: Any, part: str) -> Any:
    match value:
        case dict() if part in value:
            return value[part]
        case list() if _INDEX.fullmatch(part) and int(part) < len(value):
            return value[int(part)]
    raise AbsentError


def _parsed(value: Any, where: str, depth: int) -> Any:
    """Return a part of the template with its slots parsed."""
    if depth == 0:
        raise ConfigError(f"{where} is nested too deeply: the limit is {DEPTH_MAX} levels")
    match value:
        case str():
            return _whole(value, where)
        case dict():
            return {key: _parsed(one, f"{where}.{key}", depth - 1) for key, one in value.items()}
        case list():
            return [_parsed(one, f"{where}.{index}", depth - 1) for index, one in enumerate(value)]
    return value


def _whole(value: str, where: str) -> str | DeliverySlot:
    match _pieces(value, where):
        case [DeliverySlot() as slot]:
            return slot
        case pieces if any(isinstance(piece, DeliverySlot) for piece in pieces):
            raise ConfigError(f"{where}: a slot must be a whole value; only the name may contain a slot and other text")
        case pieces:
            return "".join(map(str, pieces))


def _pieces(text: str, where: str) -> list[str | DeliverySlot]:
    return [_piece(piece, where) for piece in _PIECE.findall(text)]


def _piece(piece: str, where: str) -> str | DeliverySlot:
    if piece in ("{{", "}}"):
        return piece[0]
    if not piece.startswith(("{", "}")):
        return piece
    slot = parse_slot(piece[1:-1])
    if slot is None:
        raise ConfigError(f"{where}: a slot is {{body.PATH}} or {{header.NAME}}; write a literal brace twice")
    return slot


def _filled(parsed: Any, delivery: HookDelivery) -> Any:
    match parsed:
        case DeliverySlot():
            return _value(parsed, delivery)
        case dict():
            return {key: _filled(value, delivery) for key, value in parsed.items()}
        case list():
            return [_filled(value, delivery) for value in parsed]
    return parsed


def _value(slot: DeliverySlot, delivery: HookDelivery) -> Any:
    try:
        return look_up(slot, delivery)
    except AbsentError:
        raise BadRequestError(f"the delivery has no value for the slot {{{slot}}} of the hook") from None


def _text(slot: DeliverySlot, delivery: HookDelivery) -> str:
    try:
        return value_text(_value(slot, delivery))
    except ValueError as error:
        raise BadRequestError(f"the value of the slot {{{slot}}} cannot be part of the name: {error}") from None
