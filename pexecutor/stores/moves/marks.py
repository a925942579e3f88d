"""Marks: what a move of tasks leaves in both stores, and which stores must not be served because of a mark.

Serving a store never removes a mark. So as long as a store exists, it shows whether a move has arrived in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

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


SEALED: Final = {
    Role.LEAVING: (
        "{name} is being moved to {other}: complete the move with the same `pexecutor move` command, "
        "or take it back with --undo"
    ),
    Role.LEFT: "the tasks of {name} have been moved to {other}: serve that store",
    Role.ARRIVING: (
        "tasks of {other} are being moved to {name}: complete the move with the same `pexecutor move` command"
    ),
}
"""Why a store with a mark of this role is sealed, and what to do."""


def check_not_sealed(marks: Sequence[Mark], name: str) -> None:
    """Raise ``UnusableStoreError`` if a mark forbids serving the store."""
    for mark in marks:
        if (text := SEALED.get(mark.role)) is not None:
            raise UnusableStoreError(text.format(name=name, other=mark.other))
