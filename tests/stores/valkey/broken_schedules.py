"""Bugs in the schedules of a shared store, each as one might make it by mistake."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from pexecutor import Task
from pexecutor.stores.schedules import DueSchedules, Firing, Schedule, ScheduleStep
from pexecutor.stores.valkey import client, schedules
from pexecutor.stores.valkey.library import read_functions
from pexecutor.stores.valkey.schedules import ValkeySchedules
from pexecutor.stores.valkey.wire import to_arguments

Plant = Callable[[pytest.MonkeyPatch], None]


def on_the_server(*changes: tuple[str, str]) -> Plant:
    """Have the server's functions read so."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        name, text = read_functions()
        for before, after in changes:
            assert before in text, before
            text = text.replace(before, after)
        other = "pexecutor_" + hashlib.sha256(text.encode()).hexdigest()[:12]
        patch.setattr(client, "read_functions", lambda: (other, text.replace(name, other)))

    return plant


def submit_beside_the_step(patch: pytest.MonkeyPatch) -> None:
    """Two calls, and a cancel or a death may come between them."""
    fire = ValkeySchedules.fire

    async def fire_in_two(self: ValkeySchedules, step: ScheduleStep, task: Task) -> Firing | None:
        await self._calls.call("time")
        firing = await fire(self, step, msgspec.structs.replace(task, name=f"{task.name} "))
        if firing is not None:
            arguments = [to_arguments(task, self._keep_seconds_max)]
            await self._calls._link.call(
                "submit", self._calls.tag, self._calls.new_id(), arguments, False, self._queue_size
            )
        return firing

    patch.setattr(ValkeySchedules, "fire", fire_in_two)


def report_nothing(patch: pytest.MonkeyPatch) -> None:
    async def flush(self: ValkeySchedules) -> None:
        await self._link.flush()

    patch.setattr(ValkeySchedules, "_report", flush)


def report_every_put(patch: pytest.MonkeyPatch) -> None:
    put = ValkeySchedules.put

    async def put_and_report(self: ValkeySchedules, schedule: Schedule) -> Schedule | None:
        stored = await put(self, schedule)
        if stored is None:
            await self._report()
        return stored

    patch.setattr(ValkeySchedules, "put", put_and_report)


def enter_due_ones_at_the_beginning(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedules, "place_arguments", lambda _, nothing: (nothing, ""))


def say_the_time_of_the_node(patch: pytest.MonkeyPatch) -> None:
    due = ValkeySchedules.due

    async def due_by_another_clock(self: ValkeySchedules, *arguments: Any) -> DueSchedules:
        found = await due(self, *arguments)
        return msgspec.structs.replace(found, now=found.now + 60)

    patch.setattr(ValkeySchedules, "due", due_by_another_clock)


BROKEN: Final[dict[str, tuple[Plant, str]]] = {
    "times drift": (
        on_the_server(
            (
                "if step.expected then upcoming = step.next end",
                "upcoming = step.next and {step.next[1] + 0.001, step.next[2]}",
            )
        ),
        "a_schedule_fires",
    ),
    "the generation alone is compared": (
        on_the_server(("  if not expected then return true end\n", "  if true then return true end\n")),
        "one_occurrence_is_fired_once",
    ),
    "the generation is not compared": (
        on_the_server(("if not schedule or schedule.generation ~= step.generation", "if not schedule")),
        "a_step_on_another_schedule_does_nothing",
    ),
    "a time fires before it is due": (
        on_the_server(("    and upcoming[NEXT.due_at] <= now\n", "")),
        "a_step_on_another_schedule_does_nothing",
    ),
    "the due time alone is compared": (
        on_the_server(("expected[NEXT.at] == upcoming[NEXT.at] and ", "")),
        "a_step_on_another_schedule_does_nothing",
    ),
    "a full queue is a skip": (
        on_the_server(
            ("  return reason and {at = step.at", "  reason = reason or SKIP.full\n  return {at = step.at"),
            ("task = verdict.record.number}", "task = verdict.record and verdict.record.number or TEXT.no_task}"),
        ),
        "an_occurrence_is_decided_as_a_submit",
    ),
    "no holder is named": (
        on_the_server(
            ("task = verdict.record.number}", "task = reason == SKIP.held and TEXT.no_task or verdict.record.number}")
        ),
        "an_occurrence_is_decided_as_a_submit",
    ),
    "a schedule submits beyond the bound of the queue": (
        on_the_server(
            (
                "local submission = Submission.new(queue_size)\n    submission:decide({task})",
                "local submission = Submission.new(queue_size + 1)\n    submission:decide({task})",
            )
        ),
        "an_occurrence_is_decided_as_a_submit",
    ),
    "what joins is skipped": (
        on_the_server(
            (
                "if verdict.word == VERDICT.accepted then reason = TEXT.fired end",
                "if verdict.word == VERDICT.accepted then reason = verdict.fresh and TEXT.fired or SKIP.held end",
            )
        ),
        "an_occurrence_may_join",
    ),
    "a refusal on request is recorded": (
        on_the_server(
            ("if verdict.word == VERDICT.duplicate and step.expected then", "if verdict.word == VERDICT.duplicate then")
        ),
        "an_occurrence_on_request",
    ),
    "a request sets the next time": (
        on_the_server(("if step.expected then upcoming = step.next end", "upcoming = step.next")),
        "an_occurrence_on_request",
    ),
    "no skip is folded": (
        on_the_server(("if latest and new.reason ~= TEXT.fired and", "if false and")),
        "skips_are_folded",
    ),
    "skips are folded whatever their reason": (
        on_the_server(
            (" and latest[OCCURRENCE.reason] == new.reason then", " and latest[OCCURRENCE.reason] ~= TEXT.fired then")
        ),
        "skips_are_folded",
    ),
    "every occurrence is kept": (on_the_server(("#kept < LIMIT.occurrences_max", "true")), "skips_are_folded"),
    "a long skip is its last time": (
        on_the_server(("{at = step.expected[NEXT.at], last_at = step.at", "{at = step.at, last_at = step.at")),
        "a_skip_may_be_long",
    ),
    "any generation can be put": (
        on_the_server(("if new.generation ~= (old and old.generation or 0) then return false end", "")),
        "generations_rise",
    ),
    "any generation can be removed": (
        on_the_server(
            (
                "if not schedule or schedule.generation ~= generation then return false end",
                "if not schedule then return false end",
            )
        ),
        "generations_rise",
    ),
    "generations begin anew with each schedule": (
        on_the_server(
            (
                "local generation, occurrences = next_token(), old",
                "local generation, occurrences = (old and old.generation or 0) + 1, old",
            )
        ),
        "generations_rise",
    ),
    "a replaced schedule loses its occurrences": (
        on_the_server(("next_token(), old and old.occurrences or {}", "next_token(), {}")),
        "occurrences_stay",
    ),
    "the owner cannot be replaced": (
        on_the_server(
            (
                "changed(new, generation, new.next, occurrences)",
                "changed(old or new, generation, new.next, occurrences)",
            )
        ),
        "occurrences_stay",
    ),
    "schedules are not counted": (
        on_the_server(("if not old and call('HLEN', key('schedule')) >= schedules_max", "if false")),
        "schedules_are_bounded",
    ),
    "bytes are not counted": (
        on_the_server(("if more > 0 and number_in_head", "if false and number_in_head")),
        "schedules_are_bounded",
    ),
    "what needs no more room is refused": (
        on_the_server(
            (
                "  local more = #new.definition - call('HSTRLEN', key('definition'), new.name)\n",
                "  local more = #new.definition * 10\n",
            )
        ),
        "schedules_are_bounded",
    ),
    "the statistics count no schedules": (
        on_the_server(("schedules = call('ZCARD', key('schedules')), deliveries", "schedules = 0, deliveries")),
        "schedules_are_bounded",
    ),
    "due ones come by name": (
        on_the_server(
            ("return string.format('%0' .. TIME_DIGITS .. '.0f', milliseconds)", "return string.rep('0', TIME_DIGITS)")
        ),
        "due_in_order",
    ),
    "due ones come again": (enter_due_ones_at_the_beginning, "due_in_order"),
    "nobody says when the next one is due": (
        on_the_server(
            (
                "return rows, later and",
                "return rows, false and",
            )
        ),
        "due_in_order",
    ),
    "two clocks": (say_the_time_of_the_node, "due_in_order"),
    "schedules are listed by their times": (
        on_the_server(
            ("order('ZADD', 'schedules', SCORE, new.name)", "order('ZADD', 'schedules', generation, new.name)")
        ),
        "schedules_by_name",
    ),
    "nobody is notified": (report_nothing, "watchers_of_schedules"),
    "a put that changed nothing is reported": (report_every_put, "watchers_of_schedules"),
    "the task is submitted beside the step": (submit_beside_the_step, "a_cancelled_fire_is_whole"),
    "the task is submitted beside the step, and the node dies": (
        submit_beside_the_step,
        "a_crash_divides_no_occurrence",
    ),
    "a node that joins begins anew": (
        on_the_server(
            (
                "verb('join', function(tag, to_end)\n",
                (
                    "verb('join', function(tag, to_end)\n"
                    "  for _, name in ipairs({'schedule', 'definition', 'schedules'}) do call('DEL', key(name)) end\n"
                ),
            )
        ),
        "schedules_are_kept",
    ),
}
"""Bugs, each with the guarantee that it breaks."""
