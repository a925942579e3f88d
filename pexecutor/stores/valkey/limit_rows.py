"""Limits and pauses as the functions in ``functions/limits.lua`` return them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...limits.keys import LimitKey
from ..limits import LimitNumbers, LimitState, TaskPause, in_order
from ..local.limit_settings import EVERYTHING, Setting, SettingKey, SettingKind, numbers_and_pauses


class SettingRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A number or a pause. A number has no ``since`` and ``by``; a pause has no ``number``."""

    kind: SettingKind
    name: str
    number: int
    since: float
    by: str


class SlotRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """How many slots of a limit key are in use."""

    limit: str
    value: str
    used: int


class LimitsReply(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """All numbers and pauses, the slots in use, and whether the call has changed something."""

    changed: bool
    settings: list[SettingRow]
    slots: list[SlotRow]


RESULTS: Final[dict[str, Any]] = {
    "set_numbers": LimitsReply | bool,
    "pause": LimitsReply | bool,
    "resume": LimitsReply,
    "limits": LimitsReply,
    "moving_limits": LimitsReply,
    "arrive_limits": bool,
    "drop_limit_arrivals": bool,
    "drop_limits": bool,
}
"""The types of the results, by verb."""


def to_setting(row: SettingRow) -> tuple[SettingKey, Setting]:
    """Return the setting of a row, with its key."""
    if row.kind != "pause":
        return SettingKey(row.kind, row.name), row.number
    return SettingKey("pause", row.name), TaskPause(row.name or None, row.since, row.by)


def to_setting_row(key: SettingKey, setting: Setting) -> SettingRow:
    """Return the row of a setting."""
    if isinstance(setting, TaskPause):
        return SettingRow("pause", setting.handler or EVERYTHING, 0, setting.since, setting.by)
    return SettingRow(key.kind, key.name, setting, 0.0, "")


def to_state(reply: LimitsReply) -> LimitState:
    """Return the state of a reply."""
    numbers, pauses = numbers_and_pauses(dict(map(to_setting, reply.settings)))
    return LimitState(
        LimitNumbers(numbers.limits, numbers.handlers),
        in_order(pauses),
        {LimitKey(row.limit, row.value): row.used for row in reply.slots},
    )
