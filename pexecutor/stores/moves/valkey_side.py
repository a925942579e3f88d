"""``QueueSide``: a queue on a server, while tasks are moved out of it or into it. No node uses the queue meanwhile.

Tasks arrive in many calls. From before the first call until after the last one the queue is *sealed*: a mark of the
move is in it, and no node can join. If a move is interrupted and then repeated, the queue drops the tasks that have
arrived so far, and all tasks are sent again. No method returns before its changes are on the server's disk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from operator import attrgetter
from typing import Any, Final

import msgspec

from ...errors import StoreUnavailableError, UnusableStoreError, counted
from ...task import Attempt, Finished, Following, Record, Running, Scheduled, Task, make_serial
from ..address import ValkeyAddress
from ..answers import KeyedAnswer, RequestKind
from ..deliveries import Delivery
from ..local.limit_settings import LimitChange
from ..schedules import Schedule
from ..sqlite.database import StoreIdentity
from ..valkey.answers import to_answer, to_kept, to_key
from ..valkey.client import ValkeyLink
from ..valkey.damage import Damage
from ..valkey.delivery_rows import RESULTS as DELIVERY_RESULTS
from ..valkey.delivery_rows import DeliveryRow, to_delivery, to_delivery_row
from ..valkey.limit_rows import RESULTS as LIMIT_RESULTS
from ..valkey.limit_rows import LimitsReply, to_setting, to_setting_row
from ..valkey.protocol import Stored
from ..valkey.queue_rows import MarkRow, QueueIdentity, UpgradeStep, to_mark
from ..valkey.rare import to_rare
from ..valkey.schedule_rows import RESULTS, ScheduleRow, to_schedule, to_schedule_row
from ..valkey.upgrade import upgrade
from ..valkey.wire import AttemptRow, KeepSeconds, KeptAnswer, Row, StoredRecord, decoder, to_arguments, to_text
from .marks import Mark, Role
from .renumbering import More

RECORDS_A_CALL: Final = 500
ANSWERS_A_CALL: Final = 100
SCHEDULES_A_CALL: Final = 100
DELIVERIES_A_CALL: Final = 500

_DECODERS: Final = {
    "marks": decoder(list[MarkRow]),
    "upgrade": decoder(UpgradeStep),
    "identity": decoder(QueueIdentity),
    "enter": decoder(list[str] | bool),
    "numbers": decoder(list[int]),
    "rows": decoder(list[Row]),
    "seal": decoder(bool),
    "unseal": decoder(bool),
    "identify": decoder(bool),
    "arrive": decoder(int),
    "drop_arrivals": decoder(int),
    "settle": decoder(bool),
    "drop": decoder(bool),
    "answers": decoder(list[KeptAnswer]),
    "count_answers": decoder(int),
    "arrive_answers": decoder(bool),
    "drop_answer_arrivals": decoder(int),
    "drop_answers": decoder(bool),
    **{verb: decoder(result) for verb, result in (RESULTS | DELIVERY_RESULTS | LIMIT_RESULTS).items()},
}


class QueueSide:
    """A queue to move tasks out of or into.

    Parameters:
        address: the server.
        queue: the name of the queue.
        keep_seconds_max: how long finished tasks can be read there.
        may_forget: whether to accept a server that loses everything when it restarts.
    """

    def __init__(self, address: ValkeyAddress, queue: str, *, keep_seconds_max: KeepSeconds, may_forget: bool) -> None:
        self.shown: str = f"{address.shown} --queue {queue}"
        self._link = ValkeyLink(address, queue, flushed=True)
        self._keep_seconds_max = keep_seconds_max
        self._may_forget = may_forget
        self._has_a_file = False
        self._tag = 0
        self._damage = Damage(lambda _: None)
        self._numbers: list[int] = []  # of all records, ascending; read when a reader begins

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect to the server, and have it recover the tasks of nodes whose lease has ended.

        Raises:
            UnusableStoreError: the server cannot be reached, would lose the moved tasks, or has nodes on the queue.
        """
        async with self._link.opened(lambda _: None):
            settings = await self._link.settings("appendonly")
            self._has_a_file = settings.get("appendonly") == "yes"
            if not (self._has_a_file or self._may_forget):
                raise UnusableStoreError(
                    f"{self.shown} has no append-only file, so a restart of the server would lose the moved tasks: "
                    "set `appendonly yes` on the server, or add --volatile"
                )
            await self._keep()  # fails now if the server cannot confirm its disk
            await upgrade(self._call)
            while isinstance(nodes := await self._call("enter"), bool):
                pass  # dead nodes are reaped in several steps
            if nodes:
                raise self._in_use(nodes)
            yield

    def _in_use(self, nodes: Sequence[str]) -> UnusableStoreError:
        shown = ", ".join(nodes[:3])
        return UnusableStoreError(
            f"{self.shown} is in use by {counted(len(nodes), 'node')} ({shown}): stop them, or wait until the leases "
            "of killed nodes have ended"
        )

    async def _call(self, verb: str, *arguments: Any) -> Any:
        try:
            return _DECODERS[verb].decode(await self._link.call(verb, *arguments)).result
        except StoreUnavailableError as error:
            raise UnusableStoreError(str(error)) from error

    async def _keep(self) -> None:
        """Wait until everything so far is on the server's disk."""
        try:
            if self._has_a_file and not self._may_forget:
                await self._link.flush()
        except StoreUnavailableError as error:
            raise UnusableStoreError(str(error)) from error

    async def _keep_all_since(self, life: bytes) -> None:
        """Wait until the changes of several calls are on the server's disk.

        Raises:
            UnusableStoreError: the server has restarted since the first of them, and may have lost some.
        """
        if self._link.life == life:
            await self._keep()
        if self._link.life != life:
            raise UnusableStoreError(f"{self.shown} was restarted or replaced meanwhile: run the same command again")

    async def identity(self) -> StoreIdentity:
        """Return the queue's tag, and how many tasks it has accepted."""
        identity: QueueIdentity = await self._call("identity")
        self._tag = identity.tag
        return StoreIdentity(identity.tag, identity.acceptances)

    async def marks(self) -> list[Mark]:
        """Return the marks of earlier moves."""
        return [to_mark(row) for row in await self._call("marks")]

    async def read(self, after: int) -> list[Record]:
        """Return the next records after this serial, in order of acceptance; an empty list at the end."""
        if not after:
            await self.identity()
            self._numbers = sorted(await self._call("numbers"))
        first = bisect_right(self._numbers, after - make_serial(self._tag, 0)) if after else 0
        wanted = self._numbers[first : first + RECORDS_A_CALL]
        return [self._damage.to_record(row, self._tag) for row in await self._call("rows", wanted)] if wanted else []

    async def schedules(self) -> list[Schedule]:
        """Return every schedule that can be read, and set the others aside."""
        await self.identity()
        found: list[Schedule] = []
        after = ""
        while rows := await self._call("moving_schedules", SCHEDULES_A_CALL, after):
            found += [schedule for row in rows for schedule in await self._read_schedule(row)]
            after = rows[-1].name
        return found

    async def _read_schedule(self, row: ScheduleRow) -> list[Schedule]:
        try:
            return [to_schedule(row, self._tag)]
        except ValueError as error:
            await self._call("set_schedule_aside", self._tag, row.name, row.generation, str(error))
            return []

    async def recover(self) -> None:
        """Do nothing: the server has recovered the tasks of dead nodes, or ``opened`` has failed."""

    async def seal(self, mark: Mark) -> None:
        """Leave a mark."""
        await self._seal(mark)
        await self._keep()

    async def _seal(self, mark: Mark) -> None:
        if not await self._call("seal", mark.move, mark.role, mark.other, mark.history):
            raise UnusableStoreError(f"{self.shown} is in use now, or another move has begun: try again")

    async def unseal(self, mark: Mark) -> None:
        """Drop what has arrived since the queue was sealed, and remove the mark."""
        await self._drop_arrivals()
        await self._call("unseal", mark.move)
        await self._keep()

    async def answers(self) -> list[KeyedAnswer]:
        """Return the remembered answers, the oldest first."""
        tag = (await self.identity()).tag
        found: list[KeyedAnswer] = []
        for kind in RequestKind:
            for first in range(0, await self._call("count_answers", kind.value), ANSWERS_A_CALL):
                some: list[KeptAnswer] = await self._call("answers", kind.value, first, ANSWERS_A_CALL)
                found += [KeyedAnswer(to_key(kind, kept.request), to_answer(kept.answer, tag)) for kept in some]
        return found

    async def deliveries(self) -> list[Delivery]:
        """Return every delivery, the oldest first."""
        tag = (await self.identity()).tag
        found: list[Delivery] = []
        for first in count(0, DELIVERIES_A_CALL):
            rows: list[DeliveryRow] = await self._call("moving_deliveries", first, DELIVERIES_A_CALL)
            if not rows:
                break
            found += [to_delivery(row, tag) for row in rows]
        return found

    async def limits(self) -> list[LimitChange]:
        """Return the numbers of limits and the pauses, with their keys."""
        reply: LimitsReply = await self._call("moving_limits")
        return [LimitChange(*to_setting(row)) for row in reply.settings]

    async def adopt(
        self,
        mark: Mark,
        identity: StoreIdentity,
        more: More,
        *,
        schedules: Sequence[Schedule] = (),
        answers: Sequence[KeyedAnswer] = (),
        deliveries: Sequence[Delivery] = (),
        limits: Sequence[LimitChange] = (),
    ) -> None:
        """Take over everything that is moved, and leave the mark. The queue is sealed until that is done."""
        life = self._link.life
        await self._seal(msgspec.structs.replace(mark, role=Role.ARRIVING))
        await self._drop_arrivals()
        await self._call("identify", *identity)
        history: list[Finished] = []
        while some := await more():
            history += [record for record in some if isinstance(record, Finished)]
            await self._arrive([record for record in some if not isinstance(record, Finished)])
        await self._arrive(sorted(history, key=attrgetter("finished_at", "serial")))  # history is in order of endings
        await self._arrive_answers(answers)
        for first in range(0, len(schedules), SCHEDULES_A_CALL):
            some_schedules = schedules[first : first + SCHEDULES_A_CALL]
            await self._call("arrive_schedules", [to_schedule_row(schedule) for schedule in some_schedules])
        await self._arrive_deliveries(deliveries)
        rows = [to_setting_row(change.key, change.value) for change in limits if change.value is not None]
        await self._call("arrive_limits", rows)
        await self._keep_all_since(life)
        await self._call("settle", mark.move, mark.role, mark.other, mark.history)
        await self._keep()

    async def _arrive(self, records: Sequence[Record]) -> None:
        for first in range(0, len(records), RECORDS_A_CALL):
            some = [_to_table(record, self._keep_seconds_max) for record in records[first : first + RECORDS_A_CALL]]
            if await self._call("arrive", some):
                raise UnusableStoreError(f"{self.shown} has other tasks with the same ids: use a new queue")

    async def _arrive_answers(self, answers: Sequence[KeyedAnswer]) -> None:
        for kind in RequestKind:
            kept = [to_kept(keyed) for keyed in answers if keyed.key.kind is kind]
            for first in range(0, len(kept), ANSWERS_A_CALL):
                await self._call("arrive_answers", kind.value, kept[first : first + ANSWERS_A_CALL])

    async def _arrive_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        for first in range(0, len(deliveries), DELIVERIES_A_CALL):
            some = [to_delivery_row(delivery) for delivery in deliveries[first : first + DELIVERIES_A_CALL]]
            if await self._call("arrive_deliveries", some):
                raise UnusableStoreError(f"{self.shown} has other deliveries with the same ids: use a new queue")

    async def _drop_arrivals(self) -> None:
        while await self._call("drop_arrivals", RECORDS_A_CALL):
            pass
        while await self._call("drop_answer_arrivals", ANSWERS_A_CALL):
            pass
        while await self._call("drop_schedule_arrivals", SCHEDULES_A_CALL):
            pass
        while await self._call("drop_delivery_arrivals", DELIVERIES_A_CALL):
            pass
        await self._call("drop_limit_arrivals")

    async def let_go(self, mark: Mark) -> None:
        """Drop what was moved, and leave the mark. The queue is sealed meanwhile."""
        last = 0
        while some := await self.read(last):
            last = some[-1].serial
            gone = [record for record in some if mark.history or not isinstance(record, Finished)]
            await self._call("drop", [_number(record.serial) for record in gone])
        for kind in RequestKind:
            await self._call("drop_answers", kind.value)
        while await self._call("drop_schedules", SCHEDULES_A_CALL):
            pass
        while await self._call("drop_deliveries", DELIVERIES_A_CALL):
            pass
        await self._call("drop_limits")
        await self._call("settle", mark.move, mark.role, mark.other, mark.history)
        await self._keep()


def _number(serial: int) -> int:
    return serial & make_serial(1, 0) - 1


def _to_table(record: Record, keep_seconds_max: KeepSeconds) -> dict[str, Any]:
    """Return a record in the form in which the functions on the server handle it."""
    assert not isinstance(record, Running), "no task runs while it is moved"
    arguments = to_arguments(record.task, keep_seconds_max)
    stored = StoredRecord(
        state=Stored.FOLLOWING if isinstance(record, Following) else record.state.value,
        name=arguments.name,
        priority=arguments.priority,
        submitted_at=record.submitted_at,
        at=_at(record, record.task),
        on_crash=arguments.on_crash,
        keep=arguments.keep,
        token=0,
        node="",
        follows=_number(record.follows) if isinstance(record, Following) else 0,
        supersedes=isinstance(record, Following) and record.supersedes,
        attempts=[_to_row(attempt) for attempt in record.attempts],
        ending=to_text(record.ending) if isinstance(record, Finished) else "",
        cancelled=False,
        rare=to_rare(record.rare, record.task.handler),
        task_bytes=len(arguments.task.encode()),
        handler=record.task.handler,
        keep_failed=arguments.keep_failed,
    )
    return {"number": _number(record.serial), "task": arguments.task, **stored._asdict()}


def _at(record: Record, task: Task) -> float:
    match record:
        case Finished():
            return record.finished_at
        case Scheduled():
            return record.due_at
        case _:
            return task.due_at(record.submitted_at)


def _to_row(attempt: Attempt) -> AttemptRow:
    return AttemptRow(attempt.started_at, attempt.ended_at, attempt.outcome, attempt.error or False)
