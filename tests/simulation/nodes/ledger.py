"""``Ledger``: what everybody was told, what the server keeps, and what handlers really do, held against each other.

Two runs of one name at once are allowed for one reason: a node was paused, and did not know how late it was. Then one
of the two ends soon after it wakes. And what a server forgets because it was not written yet is forgiven, no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import trio

from pexecutor import Ending, Finished, Outcome, Task
from pexecutor.handlers import Context
from pexecutor.stores.valkey.wire import StoredRecord
from pexecutor.task import make_serial, parse_task_id

from ..ledger import demand
from .network import KEY

CRASHES_MAX: Final = 3
IN_FLIGHT: Final = ("pending", "scheduled", "following", "running")


class Runner(Protocol):
    """A node, as far as its runs are concerned."""

    name: str
    woke_at: float

    @property
    def paused(self) -> bool:
        """Whether it does nothing at present, and does not know."""


class Run(NamedTuple):
    """A handler at work."""

    runner: Runner
    serial: int
    token: int
    task: Task


class Ledger:
    """The accounts of one seed.

    Parameters:
        queue_size: how many tasks may wait.
        pool_size: how many run at once on a node.
        overrun_seconds_max: how long a handler goes on after it was cancelled.
    """

    def __init__(self, queue_size: int, pool_size: int, *, overrun_seconds_max: float) -> None:
        self.queue_size = queue_size
        self.pool_size = pool_size
        self.accepted: set[int] = set()
        self.at_work: list[Run] = []
        self._overrun_seconds_max = overrun_seconds_max
        # What the server has, by number; and of it what it had at its last write.
        self._records: dict[int, tuple[str, StoredRecord]] = {}
        self._written: dict[int, tuple[str, StoredRecord]] = {}
        self._was_damaged = False
        self._is_damaged = False  # and it is not certain that all is mended
        self._token = 0
        # Tasks that have crashed and are missing in the index of such tasks; pairs that run together for that reason.
        self._unlisted: set[int] = set()
        self._none_listed = True
        self._excused: set[frozenset[int]] = set()
        self._excused_at_write: set[frozenset[int]] = set()
        self._nodes_most = 0
        self._tag = 0
        self._outcomes: dict[int, str] = {}  # by serial
        self._returned: set[tuple[int, int]] = set()  # serial and token of runs that came to their end
        self._cut_off: set[int] = set()  # serials of tasks whose run did not, and that are not to run again
        # What the server has forgotten: tasks, outcomes, claims up to a token by serial, nodes.
        self._forgiven: set[int] = set()
        self._undone: set[int] = set()
        self._forgiven_tokens: dict[int, int] = {}
        self._forgotten_nodes: set[str] = set()

    # What callers know

    def tell_accepted(self, serial: int) -> None:
        """A caller was told that a task is accepted."""
        self.accepted.add(serial)
        if serial - make_serial(self._tag, 0) not in self._records and serial not in self._outcomes:
            demand(serial in self._forgiven, "what was accepted is there", serial)

    def tell_refused(self, marks: Any) -> None:
        """A caller was told that it is not known, or not so, that tasks were taken."""

    def tell_outcome(self, record: Finished) -> None:
        """An outcome could be read."""
        known = record.serial in self._outcomes.keys() | self._forgiven | self._undone
        demand(known, "what can be read has ended", record)

    def is_known(self, serial: int) -> bool:
        """Whether the server has a task, or has had it."""
        return serial - make_serial(self._tag, 0) in self._records or serial in self._outcomes

    def records(self) -> dict[int, StoredRecord]:
        """The records that the server has, by number."""
        return {number: record for number, (_, record) in self._records.items()}

    def by_mark(self, data: dict[str, Any]) -> dict[int, object]:
        """The numbers of tasks by the marks in them."""
        submitted: dict[str, str] = data.get(f"{KEY}:task", {})
        return {msgspec.json.decode(text)["params"]["mark"]: digits for digits, text in submitted.items()}

    # What handlers do

    def begin(self, runner: Runner, context: Context, task: Task) -> Run:
        """A handler begins."""
        serial = parse_task_id(context.id)
        assert serial is not None
        run = Run(runner, serial, context.token, task)
        if not self._is_late(run):
            demand(serial not in self._cut_off, "what is not to run again does not", run)
        self.at_work.append(run)
        self._look_at_work()
        return run

    def returned(self, run: Run) -> None:
        """A handler comes to its end."""
        self._returned.add((run.serial, run.token))

    def end(self, run: Run, *, lost: bool) -> None:
        """A handler is at work no more; whether that is because its node has lost the task, or is lost itself."""
        self.at_work.remove(run)
        if lost and run.task.on_crash == "fail" and run.token > self._forgiven_tokens.get(run.serial, 0):
            self._cut_off.add(run.serial)

    def died(self, runner: Runner) -> None:
        """A node is gone, and with it what ran there."""
        for run in [run for run in self.at_work if run.runner is runner]:
            self.end(run, lost=True)

    def _look_at_work(self) -> None:
        names: dict[str, Run] = {}
        for run in self.at_work:
            other = names.setdefault(run.task.name, run)
            late = other is run or self._is_late(run) or self._is_late(other)
            demand(late, "no name is at work twice", run, other, trio.current_time())

    def _is_late(self, run: Run) -> bool:
        runner = run.runner
        soon = trio.current_time() <= runner.woke_at + self._overrun_seconds_max
        return runner.paused or soon or runner.name in self._forgotten_nodes

    # What the server keeps

    def look(self, data: dict[str, Any]) -> None:
        """Compare the accounts with the server as it is."""
        tag = int(data.get(f"{KEY}:head", {}).get("tag", 0))
        if tag != self._tag:
            self._tag, self._token = tag, 0
        kept: dict[str, str] = data.get(f"{KEY}:record", {})
        before, self._records = self._records, {}
        for digits, packed in kept.items():
            number = int(digits)
            known = before.get(number)
            if known is not None and known[0] == packed:
                self._records[number] = known
            else:
                record = StoredRecord(*msgspec.msgpack.decode(packed.encode("latin-1")))
                self._records[number] = (packed, record)
                self._look_at_change(number, known and known[1], record)
        for number in before.keys() - self._records.keys():
            demand(before[number][1].state == "finished", "only what has ended is forgotten", number, before[number])
        self._look_at_bounds(data)
        self._look_at_trials(before)
        self._note_listed(data)
        self._look_at_work()

    def _look_at_change(self, number: int, known: StoredRecord | None, record: StoredRecord) -> None:
        serial = make_serial(self._tag, number)
        demand(serial not in self._outcomes or known is not None, "no id is given twice", serial, record)
        demand(known is None or known.state != "finished", "an outcome is final", known, record)
        if known is not None:
            demand(record.attempts[: len(known.attempts)] == known.attempts, "no attempt is lost", known, record)
        if known is not None and known.state == "running" and record.state != "running":
            demand(record.token in (0, known.token), "only the last claim ends a run", known, record)
        if record.state == "running" and (known is None or known.state != "running"):
            demand(record.token >= self._token, "each claim has a higher token", record, self._token)
            self._token = record.token
        if record.state == "finished":
            self._outcomes[serial] = record.ending
            ending = msgspec.json.decode(record.ending, type=Ending)
            if ending.outcome is Outcome.SUCCEEDED:
                demand(ending.result == b"%d" % record.token, "the outcome is of whoever claimed last", record)
                demand((serial, record.token) in self._returned, "what has succeeded has run to its end", record)

    def _look_at_bounds(self, data: dict[str, Any]) -> None:
        holders: dict[str, int] = {}
        running: dict[str, int] = {}
        in_flight = 0
        for number, (_, record) in self._records.items():
            if record.state not in ("following", "finished"):
                demand(record.name not in holders, "at most one task holds a name", number, record)
                holders[record.name] = number
            if record.state == "running":
                running[record.node] = running.get(record.node, 0) + 1
            in_flight += record.state in IN_FLIGHT
        self._look_at_names(data, holders)
        self._nodes_most = max(self._nodes_most, len(data.get(f"{KEY}:nodes", {})))
        bound = self.queue_size + self.pool_size * self._nodes_most
        demand(in_flight <= bound or self._was_damaged, "the bound holds", in_flight, bound)
        for node, count in running.items():
            demand(
                count <= self.pool_size or self._was_damaged,
                "no more run on a node than there are workers",
                node,
                count,
            )

    def _look_at_trials(self, before: Mapping[int, tuple[str, StoredRecord]]) -> None:
        crashed = {number: _crashes(record) for number, record in self._running() if _crashes(record)}
        demand(max(crashed.values(), default=0) < CRASHES_MAX, "what has crashed too often does not run", crashed)
        ran = {number for number in crashed if number in before and before[number][1].state == "running"}
        pairs = {
            frozenset(pair) for pair in combinations(crashed, 2) if max(crashed[one] for one in pair) >= CRASHES_MAX - 1
        }
        self._excused = {pair for pair in pairs if pair in self._excused or self._is_excused(pair, ran)}
        alone = pairs <= self._excused
        demand(alone, "what the next crash abandons runs with no other that has one", crashed, self._unlisted)

    def _is_excused(self, pair: frozenset[int], ran: set[int]) -> bool:
        """Whether the server could not know, when it started the second of two tasks, that both have crashed.

        The server finds tasks that have crashed by an index. A task whose entry was lost is missing there until the
        task changes state or the queue is mended. A beat does not notice the loss: for that it would have to read all
        records, or each change would have to keep one more count. So this cannot end with the next beat.
        """
        already = pair & ran
        if len(already) == 1:
            return already <= self._unlisted
        # Of those that are started by the same call, each record is looked at, unless the whole index is empty.
        return not already and pair <= self._unlisted and self._none_listed

    def _running(self) -> list[tuple[int, StoredRecord]]:
        return [(number, record) for number, (_, record) in self._records.items() if record.state == "running"]

    def damaged(self, data: dict[str, Any]) -> None:
        """The server has lost some of what is derived from records."""
        self._was_damaged = self._is_damaged = True
        self._note_listed(data)

    def _note_listed(self, data: dict[str, Any]) -> None:
        listed = {int(digits) for digits in data.get(f"{KEY}:crashed", {})}
        in_flight = [(number, record) for number, (_, record) in self._records.items() if record.state != "finished"]
        self._unlisted = {number for number, record in in_flight if _crashes(record)} - listed
        self._none_listed = not listed

    def _look_at_names(self, data: dict[str, Any], holders: dict[str, int]) -> None:
        names = {name: int(digits) for name, digits in data.get(f"{KEY}:names", {}).items()}
        if names == holders:
            self._is_damaged = self._is_damaged and "mending" in data.get(f"{KEY}:head", {})
        else:
            demand(self._is_damaged, "a name is held by its task, and a free one is free", names, holders)

    def wrote(self) -> None:
        """The server has on its disk what it has."""
        self._written = dict(self._records)
        self._excused_at_write = set(self._excused)

    def forgot(self, data: dict[str, Any], nodes_before: set[str]) -> None:
        """The server has died, and has what it has written."""
        kept = {int(digits) for digits in data.get(f"{KEY}:record", {})}
        demand(kept == self._written.keys(), "what was written is there", kept ^ self._written.keys())
        for number, (packed, _) in self._records.items():
            if number not in self._written or self._written[number][0] != packed:
                self._forgive(number)
        self._records = dict(self._written)
        self._excused = set(self._excused_at_write)
        self._note_listed(data)
        self._forgotten_nodes |= nodes_before - set(data.get(f"{KEY}:nodes", {}))

    def _forgive(self, number: int) -> None:
        serial = make_serial(self._tag, number)
        self._cut_off.discard(serial)
        self._forgiven_tokens[serial] = self._token
        if number not in self._written:
            self._forgiven.add(serial)
        elif self._outcomes.pop(serial, None) is not None:
            self._undone.add(serial)

    def all_done(self) -> None:
        """The end, with all the time there was."""
        in_flight = [record for _, record in self._records.values() if record.state != "finished"]
        demand(not in_flight, "every task comes to its end", in_flight)
        left = {serial for serial in self.accepted if serial not in self._outcomes} - self._forgiven
        demand(not left, "every accepted task has an outcome", left)
        demand(not self.at_work, "nothing is at work in the end", self.at_work)


def _crashes(record: StoredRecord) -> int:
    return record.rare["crashes"] if isinstance(record.rare, dict) else 0
