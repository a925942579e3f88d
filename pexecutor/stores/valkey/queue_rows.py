"""What the functions on the server return about a queue as a whole: its layout, tag, nodes and marks."""

from __future__ import annotations

import msgspec

from .. import Node, NodeState
from ..moves.marks import Mark, Role

_decode_about = msgspec.json.Decoder(NodeState).decode


class Joined(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The layout and the tag of a queue. If the layout is another one, the node has not joined."""

    layout: str
    tag: int


class UpgradeStep(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The nodes that must be stopped before an upgrade, and whether there is more to convert."""

    nodes: list[str]
    more: bool


class QueueIdentity(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The tag of a queue, and how many tasks it has accepted."""

    tag: int
    acceptances: int


class NodeRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The stored data of a node."""

    node: str
    beat_at: float
    lease_until: float
    about: str


class MarkRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A mark that a move has left in a queue."""

    move: str
    role: Role
    other: str
    history: bool


def to_mark(row: MarkRow) -> Mark:
    """Return the mark of a row."""
    return Mark(row.move, row.role, row.other, row.history)


def to_node(row: NodeRow) -> Node:
    """Return the node of a row. If the state that it reported cannot be read, the default is used."""
    try:
        state = _decode_about(row.about)
    except msgspec.DecodeError:
        state = NodeState()
    return Node(row.node, row.beat_at, row.lease_until, state)
