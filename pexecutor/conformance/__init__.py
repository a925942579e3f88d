"""A suite of checks for every store: the guarantees of the store contract, tried on the store itself.

A guarantee is a sentence, the words of the contract that it comes from, and a check that uses only the methods of the
contract. A subject is a store under test; it gives each check an empty queue of its own. ``try_all`` runs the checks
concurrently, each within a bounded time, and in real time, because the clock of a shared store is its server's.

Guarantees of one kind of store only (the format of a file, the effect of a disk failure) are not part of the suite, nor
are those that a check could only try by destroying a machine. A subject names what remains unproved for its store.
"""

from __future__ import annotations

from . import (
    attempts,
    cancelling,
    conflicts,
    crashes,
    deliveries,
    deliveries_kept,
    finding,
    history,
    keeping,
    limits,
    limits_shared,
    many,
    names,
    order,
    pauses,
    reading,
    requests,
    room,
    schedules,
    schedules_kept,
    sharing,
)
from .guarantee import DECLARED, BrokenPromiseError, Guarantee, Need, Place, Subject
from .trial import Finding, Standing, try_all

_PARTS = [
    part.__name__
    for part in (
        names,
        room,
        order,
        conflicts,
        attempts,
        cancelling,
        reading,
        finding,
        many,
        history,
        keeping,
        crashes,
        requests,
        schedules,
        schedules_kept,
        deliveries,
        deliveries_kept,
        limits,
        pauses,
        limits_shared,
        sharing,
    )
]

GUARANTEES = tuple(sorted(DECLARED, key=lambda guarantee: _PARTS.index(guarantee.check.__module__)))
"""All guarantees, in the order of the parts."""

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
