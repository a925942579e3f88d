"""The rare facts of a record as the server stores them: crashes, the targets that are notified, and limit keys."""

from __future__ import annotations

from typing import Final

import msgspec

from ...limits.keys import LimitKey
from ...task import Brings, Rare, make_serial

_NO_TARGETS: Final = Brings()
_NUMBERS: Final = make_serial(1, 0) - 1
"""The bits of a serial that are the task's number in its queue."""


class StoredRare(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Facts that few tasks have. A task that brings deliveries also has its handler here, for their notices.

    ``retry_of`` is the number of a task in the same queue: Lua's numbers cannot hold a serial.
    """

    crashes: int
    handler: str = ""
    brings: Brings | None = None
    limit_keys: tuple[LimitKey, ...] = ()
    retry_of: int = 0


def to_rare(rare: Rare | None, handler: str) -> StoredRare | bool:
    """Return the rare facts of a task with this handler as the server stores them; ``False`` if there are none."""
    if rare is None or rare == Rare():
        return False
    handler = "" if rare.brings is None else handler
    return StoredRare(rare.crashes, handler, rare.brings, rare.limit_keys, rare.retry_of & _NUMBERS)


def rare_of(brings: Brings | None, limit_keys: tuple[LimitKey, ...], retry_of: int = 0) -> Rare | None:
    """Return the rare facts of a new task, or ``None`` if it has none.

    Parameters:
        brings: the targets that are notified of its outcome.
        limit_keys: the keys of the limits that bound it.
        retry_of: the serial of the finished task that it repeats; 0 for none.
    """
    brings = None if brings == _NO_TARGETS else brings
    if brings is None and not limit_keys and not retry_of:
        return None
    return Rare(brings=brings, limit_keys=limit_keys, retry_of=retry_of)


def from_rare(stored: StoredRare | bool, tag: int) -> Rare | None:
    """Return rare facts that the server has stored in the queue with this tag."""
    if isinstance(stored, bool):
        return None
    retry_of = make_serial(tag, stored.retry_of) if stored.retry_of else 0
    return Rare(stored.crashes, stored.brings, stored.limit_keys, retry_of)
