"""The prelude: Lua that is written from Python's names, and precedes the functions in ``functions/``.

So a word, a text, a number or the place of a value in a list has one definition, in Python. Lua finds there:

* ``STATE.running``, ``OUTCOME.failed`` and so on: the words of ``protocol.py``.
* ``TEXT``, ``LIMIT``, ``NONE``: its texts and numbers.
* ``TASK.name``: the place of a value in a list that Python has sent, as in ``task[TASK.name]``.
* ``NAMED.step(list)``: such a list as a table with named values.
* ``LIST.beat{lost = lost, ...}``: a list for Python, built from named values. A forgotten value goes unnoticed here,
  but Python refuses the reply.
* ``pack_record``, ``unpack_record``, ``unpack_remains``, ``PACKED.facts`` and ``list_row``, which run for every record:
  lists are built and read without a Lua table in between, which would take most of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from .delivery_rows import DeliveriesReply, DeliveryRow, StoredDelivery
from .limit_rows import LimitsReply, SettingRow, SlotRow
from .protocol import HELD, LAYOUT, NUMBERS, TEXTS, WORDS
from .queue_rows import Joined, MarkRow, NodeRow, QueueIdentity, UpgradeStep
from .schedule_rows import (
    DueReply,
    FiringReply,
    NextRow,
    OccurrenceRow,
    PutReply,
    ScheduleRow,
    StepRow,
    StoredSchedule,
)
from .wire import (
    AttemptRow,
    Beat,
    Claimed,
    Found,
    KeptAnswer,
    OnceReply,
    PagePlace,
    PageReply,
    QueueCounts,
    RequestArguments,
    Retry,
    Row,
    ServerReply,
    StoredAnswer,
    StoredRecord,
    Taken,
    TaskArguments,
    WhyReply,
)

_READ: Final[dict[str, Sequence[str]]] = {
    "TASK": TaskArguments.__struct_fields__,
    "ATTEMPT": AttemptRow.__struct_fields__,
    "HELD": HELD,
    "REQUEST": RequestArguments.__struct_fields__,
    "ANSWER": StoredAnswer.__struct_fields__,
    "KEPT": KeptAnswer.__struct_fields__,
    "NEXT": NextRow.__struct_fields__,
    "OCCURRENCE": OccurrenceRow.__struct_fields__,
    "NODE": NodeRow.__struct_fields__,
}
"""Lists whose values Lua reads by their places."""

_NAMED: Final[dict[str, type[msgspec.Struct]]] = {
    "stored_schedule": StoredSchedule,
    "schedule": ScheduleRow,
    "step": StepRow,
    "stored_delivery": StoredDelivery,
    "delivery": DeliveryRow,
    "setting": SettingRow,
}
"""Lists that Lua turns into tables with named values."""

_BUILT: Final[dict[str, type[msgspec.Struct]]] = {
    "attempt": AttemptRow,
    "reply": ServerReply,
    "counts": QueueCounts,
    "taken": Taken,
    "retry": Retry,
    "found": Found,
    "joined": Joined,
    "beat": Beat,
    "node": NodeRow,
    "page": PageReply,
    "place": PagePlace,
    "mark": MarkRow,
    "identity": QueueIdentity,
    "upgrade_step": UpgradeStep,
    "answer": StoredAnswer,
    "kept_answer": KeptAnswer,
    "once": OnceReply,
    "stored_schedule": StoredSchedule,
    "schedule": ScheduleRow,
    "occurrence": OccurrenceRow,
    "put": PutReply,
    "firing": FiringReply,
    "due": DueReply,
    "stored_delivery": StoredDelivery,
    "delivery": DeliveryRow,
    "deliveries": DeliveriesReply,
    "claimed": Claimed,
    "setting": SettingRow,
    "slot": SlotRow,
    "limits": LimitsReply,
    "why": WhyReply,
}
"""Lists that Lua builds."""

_FACTS: Final = ("state", "name", "submitted_at", "at", "ending", "task_bytes", "handler")
"""The fields of a record that a filter needs."""


def prelude() -> str:
    """Return the prelude."""
    return "".join(
        [
            "-- Written by prelude.py\n",
            *[_table(name, {word: _quoted(text) for word, text in words.items()}) for name, words in WORDS.items()],
            _table("TEXT", {name: _quoted(text) for name, text in TEXTS.items()}),
            *[
                _table(name, {one: f"{value:.15g}" for one, value in numbers.items()})
                for name, numbers in NUMBERS.items()
            ],
            f"local LAYOUT = {_quoted(LAYOUT)}\n",
            *[_table(name, {field: str(i) for i, field in enumerate(fields, 1)}) for name, fields in _READ.items()],
            _table("NAMED", {name: _reader(struct) for name, struct in _NAMED.items()}),
            _table("LIST", {name: _builder(struct) for name, struct in _BUILT.items()}),
            _row_builder(),
            _packer(),
            _unpacker("unpack_record", StoredRecord._fields),
            _unpacker("unpack_remains", ("state", "task_bytes")),
            _unpacker("PACKED.facts", _FACTS),
        ]
    )


def _table(name: str, fields: Mapping[str, str]) -> str:
    return f"local {name} = {{{', '.join(f'{field} = {value}' for field, value in fields.items())}}}\n"


def _quoted(text: str) -> str:
    """Return a text as a Lua literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def _builder(struct: type[msgspec.Struct]) -> str:
    return f"function(named) return {{{_fields_of('named', struct.__struct_fields__)}}} end"


def _reader(struct: type[msgspec.Struct]) -> str:
    places = [f"{field} = list[{place}]" for place, field in enumerate(struct.__struct_fields__, 1)]
    return f"function(list) return {{{', '.join(places)}}} end"


def _row_builder() -> str:
    """Return the function that lists a record for a node; the record itself does not have its ``task``."""
    values = [field if field == "task" else f"record.{field}" for field in Row.__struct_fields__]
    return f"local function list_row(record, task) return {{{', '.join(values)}}} end\n"


def _packer() -> str:
    """Return the function that packs a record, as a MessagePack list of 16 to 65535 values."""
    count = len(StoredRecord._fields)
    head = f"'\\220\\{count >> 8:03}\\{count & 255:03}'"
    return (
        f"local PACKED = {{head = {head}, fields = {count}}}\n"
        "local function pack_record(record)\n"
        f"  return PACKED.head .. cmsgpack.pack({_fields_of('record', StoredRecord._fields)})\n"
        "end\n"
    )


def _unpacker(name: str, wanted: Sequence[str]) -> str:
    """Return the function that reads some fields of a packed record; ``limit`` and ``offset`` say where they are.

    A name with a dot is a field of a table, because Lua allows 200 locals at once.
    """
    places = ["_", *[field if field in wanted else "_" for field in StoredRecord._fields]]
    fields = [f"{field} = {field}" for field in ("id", *wanted)]
    return (
        f"{'' if '.' in name else 'local '}function {name}(id, packed, limit, offset)\n"
        f"  local {', '.join(places)} = cmsgpack.unpack_limit(packed, limit, offset)\n"
        f"  return {{number = tonumber(id), packed_bytes = #packed, {', '.join(fields)}}}\n"
        "end\n"
    )


def _fields_of(table: str, fields: Iterable[str]) -> str:
    return ", ".join(f"{table}.{field}" for field in fields)
