"""Crash counting: a task that kills its server is not started for ever, and does not cause other tasks to be abandoned.

A start that a crash interrupts counts as a crash of its task. All tasks that ran at that moment get one, because it is
not known which of them caused the crash. A task that has ``crashes_max`` crashes is abandoned.

So that only the cause is abandoned, a task that one more crash would abandon is *on trial*: it never runs beside
another task that has a crash. Tasks without a crash run beside it as usual.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Final

import msgspec
import trio

from ...task import Pending, Rare, Record, Running
from .start_order import StartOrder

CAUTION_SECONDS: Final = 60.0
"""How long after a crash every start is written before it happens, in seconds, so that a further crash is counted."""


def with_crash(record: Running) -> Running:
    """Return the record with one more crash."""
    rare = Rare() if record.rare is None else record.rare
    return msgspec.structs.replace(record, rare=msgspec.structs.replace(rare, crashes=rare.crashes + 1))


class Beside:
    """The tasks with a crash that run or are being started, to which further ones are added.

    Parameters:
        running: these tasks.
        crashes_max: the number of crashes at which a task is abandoned.
    """

    def __init__(self, running: Iterable[Record], crashes_max: int) -> None:
        beside = list(running)
        self._crashes_max = crashes_max
        self._one_runs = bool(beside)
        self._trial_runs = any(_is_on_trial(record, crashes_max) for record in beside)

    def lets_start(self, record: Pending) -> bool:
        """Return whether a task may start beside these tasks; if so, it is one of them from now on."""
        if record.crashes:
            on_trial = _is_on_trial(record, self._crashes_max)
            if self._trial_runs or (on_trial and self._one_runs):
                return False
            self._one_runs, self._trial_runs = True, on_trial
        return True


class Trials:
    """The rules about which tasks of a store may start, with regard to crashes.

    Parameters:
        pending: the tasks that wait, in start order.
        crashed: the tasks in flight that have a crash; nearly always empty.
        changing: the serials of tasks whose change is being written.
        crashes_max: the number of crashes at which a task is abandoned.
    """

    def __init__(
        self, pending: StartOrder, crashed: Mapping[int, Record], changing: Set[int], crashes_max: int
    ) -> None:
        self._pending = pending
        self._crashed = crashed
        self._changing = changing
        self._crashes_max = crashes_max
        self._cautious_until: float | None = None  # by Trio's clock

    def first(self, limit: int) -> list[Pending]:
        """Return the first tasks in start order that may be started together, at most ``limit``."""
        return self._pending.first(limit, self._beside().lets_start if self._crashed else None)

    def still_first(self, first: Sequence[Pending]) -> list[Pending]:
        """Return those of some tasks that ``first`` has returned which may still be started together."""
        if not self._crashed and self._pending.is_plain:
            return [record for record in first if self._pending.has(record)]
        now_first = {record.serial: record for record in self.first(len(first))}
        return [record for record in first if now_first.get(record.serial) is record]

    def _beside(self) -> Beside:
        running = [
            record
            for serial, record in self._crashed.items()
            if isinstance(record, Running) or serial in self._changing  # its start may be what is being written
        ]
        return Beside(running, self._crashes_max)

    def begin_caution(self) -> None:
        """Make every start durable for ``CAUTION_SECONDS``, because the server has died."""
        self._cautious_until = trio.current_time() + CAUTION_SECONDS

    @property
    def under_caution(self) -> bool:
        """Whether every start has to be durable."""
        if self._cautious_until is not None and trio.current_time() >= self._cautious_until:
            self._cautious_until = None
        return self._cautious_until is not None


def _is_on_trial(record: Record, crashes_max: int) -> bool:
    return record.crashes >= max(1, crashes_max - 1)
