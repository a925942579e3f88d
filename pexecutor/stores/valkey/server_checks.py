"""Checks of the server's settings, so that a danger for tasks is reported at the start rather than after a loss."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

from ...errors import StoreUnavailableError, UnusableStoreError
from ...observe.notify import notifier

Durability = Literal["none", "aof", "fsync"]

SETTINGS: Final = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")


async def check_durability(flush: Callable[[], Awaitable[None]]) -> None:
    """Raise ``UnusableStoreError`` if the link to the server cannot provide the requested durability."""
    try:
        await flush()
    except StoreUnavailableError as error:
        raise UnusableStoreError(f"the requested durability is not available: {error}") from error


def settings_warnings(settings: Mapping[str, str], durability: Durability) -> list[str]:
    """Return a warning for each setting that endangers the requested durability.

    Parameters:
        settings: the settings of the server; empty if the server does not show them.
        durability: the requested durability.

    Raises:
        UnusableStoreError: the server cannot provide the requested durability.
    """
    if not settings:
        return ["the server does not show its settings (CONFIG GET): check yourself that it keeps its data"]
    return [*_of_the_file(settings, durability), *_of_the_memory(settings)]


def report_warnings(settings: Mapping[str, str], durability: Durability, on_warning: Callable[[str], None]) -> None:
    """Call ``on_warning`` with each warning. Errors that the callback raises do not keep the store from being opened.

    Raises:
        UnusableStoreError: the server cannot provide the requested durability.
    """
    report = notifier(on_warning)
    for warning in settings_warnings(settings, durability):
        report(warning)


def _of_the_file(settings: Mapping[str, str], durability: Durability) -> list[str]:
    if durability == "none":
        return []
    if settings.get("appendonly") != "yes":
        if durability == "fsync":
            raise UnusableStoreError(
                "the server has no append-only file, so it cannot confirm that data are on its disk: "
                "set `appendonly yes` on the server, or use another --durability"
            )
        warning = (
            "the server has no append-only file, so a restart loses tasks: set `appendonly yes`, or use "
            "--durability none"
        )
        return [warning]
    match settings.get("appendfsync"), durability:
        case "no", "aof":
            warning = (
                "the operating system decides when the server's file is written (appendfsync no), so a power cut may "
                "lose many tasks: set `appendfsync everysec`"
            )
            return [warning]
        case "no", "fsync":
            raise UnusableStoreError(
                "the operating system decides when the server's file is written (appendfsync no), so the server cannot "
                "confirm it: set `appendfsync always` on the server, or use another --durability"
            )
        case "everysec", "fsync":
            return [
                "each submit waits up to a second for the server's next write: set `appendfsync always` to be faster"
            ]
    return []


def _of_the_memory(settings: Mapping[str, str]) -> list[str]:
    policy = settings.get("maxmemory-policy", "noeviction")
    if settings.get("maxmemory", "0") == "0" or policy == "noeviction":
        return []
    return [f"the server evicts keys when its memory is full (maxmemory-policy {policy}): set `noeviction`"]
