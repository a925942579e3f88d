"""What a server's own settings mean for the tasks on it, said at the start rather than after a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from ...errors import UnusableStoreError
from ...observe.notify import notifier

Durability = Literal["none", "aof", "fsync"]

SETTINGS: Final = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")


def doubts(settings: Mapping[str, str], durability: Durability) -> list[str]:
    """What stands against what was asked for, a sentence each.

    Parameters:
        settings: those of the server; empty when it does not show them.
        durability: what was asked for.

    Raises:
        UnusableStoreError: what was asked for cannot be had.
    """
    if not settings:
        return ["the server does not show its settings (CONFIG GET): see yourself that it keeps what it is given"]
    return [*_of_the_file(settings, durability), *_of_the_memory(settings)]


def report_doubts(settings: Mapping[str, str], durability: Durability, on_doubt: Callable[[str], None]) -> None:
    """Call ``on_doubt`` with each doubt. Errors that it raises do not keep the store from being opened.

    Raises:
        UnusableStoreError: what was asked for cannot be had.
    """
    report = notifier(on_doubt)
    for doubt in doubts(settings, durability):
        report(doubt)


def _of_the_file(settings: Mapping[str, str], durability: Durability) -> list[str]:
    if durability == "none":
        return []
    if settings.get("appendonly") != "yes":
        if durability == "fsync":
            raise UnusableStoreError(
                "the server has no append-only file, so nothing can be known to be on its disk: "
                "set `appendonly yes` there, or take another --durability"
            )
        return [
            "the server has no append-only file, its restart loses tasks: set `appendonly yes`, or --durability none"
        ]
    match settings.get("appendfsync"), durability:
        case "no", "aof":
            return ["its system decides when the server's file is written (appendfsync no): a power cut may lose much"]
        case "no", "fsync":
            raise UnusableStoreError(
                "the server leaves it to its system when its file is on the disk (appendfsync no), so nobody is told: "
                "set `appendfsync always` there, or take another --durability"
            )
        case "everysec", "fsync":
            return [
                "each submit waits up to a second for the server's next write: `appendfsync always` would be quicker"
            ]
    return []


def _of_the_memory(settings: Mapping[str, str]) -> list[str]:
    policy = settings.get("maxmemory-policy", "noeviction")
    if settings.get("maxmemory", "0") == "0" or policy == "noeviction":
        return []
    return [f"the server throws keys away when its memory is short (maxmemory-policy {policy}): set `noeviction`"]
