"""Cut the tasks of one call into lists that a server accepts, and collect the verdicts on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from ..errors import FieldError, InvalidTaskError, RefusedError
from .decoding import foreign
from .fields import NewTask, json_of
from .records import BatchCounts, SubmitVerdict

LIST_TASKS_MAX: Final = 1000
LIST_BYTES_MAX: Final = 1024 * 1024


class IndexedTask(NamedTuple):
    """A task as JSON, with its place among all tasks of the call, from 0."""

    place: int
    json: bytes


def lists_of(tasks: Iterable[NewTask]) -> Iterator[list[IndexedTask]]:
    """Yield the tasks in lists of a bounded length and size."""
    found: list[IndexedTask] = []
    size = 0
    for index, task in enumerate(tasks):
        encoded = msgspec.json.encode(json_of(task))
        if found and (len(found) == LIST_TASKS_MAX or size + len(encoded) > LIST_BYTES_MAX):
            yield found
            found, size = [], 0
        found.append(IndexedTask(index, encoded))
        size += len(encoded)
    if found:
        yield found


def verdicts_of(counts: BatchCounts, tasks: Sequence[IndexedTask]) -> list[SubmitVerdict]:
    """Return the verdicts of a reply, with the indexes of the call."""
    if len(counts.tasks) != len(tasks):
        raise foreign()
    return [
        msgspec.structs.replace(verdict, index=task.place) for verdict, task in zip(counts.tasks, tasks, strict=True)
    ]


def counts_of(error: RefusedError) -> BatchCounts | None:
    """Return the counts and verdicts in a refusal for lack of room; ``None`` for any other refusal."""
    try:
        return msgspec.convert(error.problem, BatchCounts)
    except msgspec.ValidationError:
        return None


def with_indexes(error: InvalidTaskError, tasks: Sequence[IndexedTask]) -> InvalidTaskError:
    """Return the error about a list, with the indexes of the call."""
    return InvalidTaskError([FieldError(tasks[fault.index].place, fault.field, fault.detail) for fault in error.errors])
