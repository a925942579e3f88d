"""One suite for every store: what the contract promises, as checks that can be run wherever a store is.

A guarantee is a sentence, the words of the contract that it comes from, and a check that asks stores through the verbs
of the contract alone. A subject is a store under test: it gives each check an empty queue of its own. ``try_all`` runs
the checks side by side, each within a bounded time, in real time: the clock of a shared store is its server's.

What is promised about one store only (a file's format, what a disk's failure leads to) is not in here. Nor can be what
a check would have to destroy a machine for; a subject says what is left unproved of it.
"""

from __future__ import annotations

from . import attempts, cancelling, conflicts, crashes, keeping, names, order, reading, room, sharing
from .guarantee import DECLARED, BrokenPromiseError, Guarantee, Need, Place, Subject
from .trial import Finding, Standing, try_all

_PARTS = [
    part.__name__ for part in (names, room, order, conflicts, attempts, cancelling, reading, keeping, crashes, sharing)
]

GUARANTEES = tuple(sorted(DECLARED, key=lambda guarantee: _PARTS.index(guarantee.check.__module__)))
"""All of them, in the order in which they are told."""

__all__ = [
    "GUARANTEES",
    "BrokenPromiseError",
    "Finding",
    "Guarantee",
    "Need",
    "Place",
    "Standing",
    "Subject",
    "try_all",
]
