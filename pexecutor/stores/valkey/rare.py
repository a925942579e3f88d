"""The rare facts of a record as the server stores them: crashes, the targets that are notified, and limit keys."""

from __future__ import annotations

from typing import Final

import msgspec

from ...limits.keys import LimitKey
from ...task import Brings, Rare

_NO_TARGETS: Final = Brings()


class StoredRare(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Facts that few tasks have. A task that brings deliveries also has its handler here, for their notices."""

    crashes: int
    handler: str = ""
    brings: Brings | None = None
    limit_keys: tuple[LimitKey, ...] = ()


def to_rare(rare: Rare | None, handler: str) -> StoredRare | bool:
    """Return the rare facts of a task with this handler as the server stores them; ``False`` if there are none."""
    if rare is None or rare == Rare():
        return False
    return StoredRare(rare.crashes, "" if rare.brings is None else handler, rare.brings, rare.limit_keys)


def rare_of(brings: Brings | None, limit_keys: tuple[LimitKey, ...]) -> Rare | None:
    """Return the rare facts of a new task that brings deliveries to these targets and has these limit keys."""
    brings = None if brings == _NO_TARGETS else brings
    return None if brings is None and not limit_keys else Rare(brings=brings, limit_keys=limit_keys)


def from_rare(stored: StoredRare | bool) -> Rare | None:
    """Return rare facts that the server has stored."""
    return None if isinstance(stored, bool) else Rare(stored.crashes, stored.brings, stored.limit_keys)
