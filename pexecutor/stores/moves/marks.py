"""Marks: what a move of tasks leaves in both stores, and which stores must not be served because of a mark.

Serving a store never removes a mark. So as long as a store exists, it shows whether a move has arrived in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from ...errors import UnusableStoreError


class Role(StrEnum):
    """The role of a store in a move."""

    LEAVING = "leaving"
    """The tasks are being moved away; the store is sealed."""
    LEFT = "left"
    """The tasks are in another store; this one is sealed until tasks are moved here."""
    ARRIVING = "arriving"
    """Some of the tasks are here; the store is sealed."""
    ARRIVED = "arrived"
    """All of the tasks are here; the store can be served."""


class Mark(msgspec.Struct, frozen=True):
    """The mark of a move in a store.

    Parameters:
        move: the id of the move.
        role: the role of this store in the move.
        other: the other store, as messages show it.
        history: whether finished tasks are moved too.
    """

    move: str
    role: Role
    other: str
    history: bool = False


def check_not_sealed(marks: Sequence[Mark], name: str) -> None:
    """Raise ``UnusableStoreError`` if a mark forbids serving the store."""
    for mark in marks:
        match mark.role:
            case Role.LEAVING:
                raise UnusableStoreError(
                    f"{name} is being moved to {mark.other}: complete the move with the same `pexecutor move` command, "
                    "or take it back with --undo"
                )
            case Role.LEFT:
                raise UnusableStoreError(f"the tasks of {name} have been moved to {mark.other}: serve that store")
            case Role.ARRIVING:
                raise UnusableStoreError(
                    f"tasks of {mark.other} are being moved to {name}: complete the move with the same "
                    "`pexecutor move` command"
                )
