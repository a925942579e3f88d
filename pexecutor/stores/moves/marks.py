"""Marks: what a move of tasks to another store leaves in both, and who may not be served because of one.

Being served never takes one away: whether a move has arrived in a store can be told for as long as the store exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from ...errors import UnusableStoreError


class Role(StrEnum):
    """What a move is to a store."""

    LEAVING = "leaving"
    """Its tasks are being moved away: it is sealed."""
    LEFT = "left"
    """Its tasks are elsewhere: it is sealed until others are moved here."""
    ARRIVING = "arriving"
    """Some of the tasks are here: nobody serves it."""
    ARRIVED = "arrived"
    """All of them are."""


class Mark(msgspec.Struct, frozen=True):
    """What a move leaves in a store.

    Parameters:
        move: which one.
        role: what it is to this store.
        other: the other store, as it is shown.
        history: whether finished tasks go along.
    """

    move: str
    role: Role
    other: str
    history: bool = False


def check_not_sealed(marks: Sequence[Mark], name: str) -> None:
    """Raise ``UnusableStoreError`` when a store must not be served."""
    for mark in marks:
        match mark.role:
            case Role.LEAVING:
                raise UnusableStoreError(
                    f"{name} is being moved to {mark.other}: complete that with the same `pexecutor move` as before, "
                    "or take it back with --undo"
                )
            case Role.LEFT:
                raise UnusableStoreError(f"the tasks of {name} have been moved to {mark.other}: serve that one")
            case Role.ARRIVING:
                raise UnusableStoreError(
                    f"tasks of {mark.other} are being moved to {name}: complete that with the same `pexecutor move` "
                    "as before"
                )
