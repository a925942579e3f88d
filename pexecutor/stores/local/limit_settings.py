"""Numbers and pauses as single settings, each with a key: the form in which they are made durable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from ..limits import LimitNumbers, TaskPause

Setting = int | TaskPause
"""The number of a limit or of a handler, or a pause."""

SettingKind = Literal["limit", "handler", "pause"]

EVERYTHING: Final = ""
"""The name of the pause of everything; a handler has a name."""


class SettingKey(NamedTuple):
    """The key of a setting: the number of a limit, the number of a handler, or the pause of a handler."""

    kind: SettingKind
    name: str


class LimitChange(NamedTuple):
    """The new value of a setting; ``None`` if it was removed."""

    key: SettingKey
    value: Setting | None


def settings_of(numbers: LimitNumbers, pauses: Iterable[TaskPause]) -> dict[SettingKey, Setting]:
    """Return numbers and pauses as settings."""
    settings: dict[SettingKey, Setting] = {SettingKey("limit", name): of for name, of in numbers.limits.items()}
    settings |= {SettingKey("handler", name): of for name, of in numbers.handlers.items()}
    return settings | {SettingKey("pause", pause.handler or EVERYTHING): pause for pause in pauses}


def changes_between(old: Mapping[SettingKey, Setting], new: Mapping[SettingKey, Setting]) -> Iterator[LimitChange]:
    """Yield the changes from one set of settings to another."""
    for key in {**old, **new}:
        if old.get(key) != new.get(key):
            yield LimitChange(key, new.get(key))


def numbers_and_pauses(settings: Mapping[SettingKey, Setting | None]) -> tuple[LimitNumbers, list[TaskPause]]:
    """Return settings as numbers and pauses."""
    numbers = [(key, setting) for key, setting in settings.items() if isinstance(setting, int)]
    return (
        LimitNumbers(
            {key.name: number for key, number in numbers if key.kind == "limit"},
            {key.name: number for key, number in numbers if key.kind == "handler"},
        ),
        [setting for setting in settings.values() if isinstance(setting, TaskPause)],
    )
