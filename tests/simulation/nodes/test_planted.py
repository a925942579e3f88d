"""The test of this simulation: bugs of the kind that it is there for, planted one at a time, are all found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
import trio
from coredis.exceptions import RedisError

from pexecutor.errors import UnusableStoreError
from pexecutor.handlers.descriptors import is_exhaustion
from pexecutor.stores.valkey import lease, server_checks
from pexecutor.stores.valkey.client import ValkeyLink
from pexecutor.stores.valkey.connection import Line
from pexecutor.stores.valkey.lease import Lease
from pexecutor.stores.valkey.library import read_functions

from ...stores.valkey import fake
from ..ledger import BrokenInvariantError
from ..requests import FIRST_SEED
from ..test_planted import (
    contain_exceptions_alone,
    leave_open_what_a_handler_leaves_open,
    let_cancelled_pass_whoever_raises_it,
    let_the_log_fail_a_change,
)
from .world import NodesWorld

SEEDS_MAX: Final = 200

Plant = Callable[[pytest.MonkeyPatch], None]


def on_the_server(*changes: tuple[str, str]) -> Plant:
    """Have the server's functions read so."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        name, text = read_functions()
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        patch.setattr(fake, "read_functions", lambda: (name, text))

    return plant


def never_give_up(patch: pytest.MonkeyPatch) -> None:
    async def guard(_: Lease) -> None:
        await trio.sleep_forever()

    patch.setattr(Lease, "_guard", guard)


def count_a_lease_from_the_answer(patch: pytest.MonkeyPatch) -> None:
    beat_once = Lease._beat_once

    async def beat_and_count(self: Lease) -> None:
        before = self._good_until
        await beat_once(self)
        if self._good_until != before:
            self._good_until = self._clock() + self._seconds * 2 / 3

    patch.setattr(Lease, "_beat_once", beat_and_count)


def let_a_late_answer_undo_that_all_was_given_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lease, "_term", property(lambda _: 0, lambda *_: None), raising=False)


def let_the_log_fail_the_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lease, "notifier", lambda callback: callback)


def let_the_log_fail_the_start(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(server_checks, "notifier", lambda callback: callback)


def end_when_no_descriptor_is_left(patch: pytest.MonkeyPatch) -> None:
    live = Line._live

    async def live_while_there_are_descriptors(self: Line, nursery: trio.Nursery) -> None:
        try:
            await live(self, nursery)
        except RedisError as error:
            if is_exhaustion(error):
                raise UnusableStoreError("no descriptor is left") from error
            raise

    patch.setattr(Line, "_live", live_while_there_are_descriptors)


def ask_for_settings_once(patch: pytest.MonkeyPatch) -> None:
    async def settings(self: ValkeyLink, *names: str) -> Mapping[str, str]:
        connection = await self._line.connection()
        found: Any = await connection.create_request(b"CONFIG GET", *names, decode=True)
        return dict(found)

    patch.setattr(ValkeyLink, "settings", settings)


PLANTED: Final[dict[str, tuple[int, Plant]]] = {
    "a node never gives up": (22, never_give_up),
    "a lease is counted from the answer": (26, count_a_lease_from_the_answer),
    "an answer that is late undoes that all was given up": (2, let_a_late_answer_undo_that_all_was_given_up),
    "an outcome is taken without its token": (
        87,
        on_the_server(
            ("if not record or record.token ~= token then return false end", "if not record then return false end"),
            ("  if record.node ~= node then return false end\n  if delay", "  if delay"),
        ),
    ),
    "nobody has to compare": (
        12,
        on_the_server(
            ("function nothing_unknown_runs()", "function nothing_unknown_runs() if true then return true end")
        ),
    ),
    "what a dead node ran is left as it is": (
        0,
        on_the_server(("  if not recover_all_of(node, {}, has_left) then\n", "  if false then\n")),
    ),
    "ids and tokens are given again": (23, on_the_server(("local GIVEN_MAX = 200000", "local GIVEN_MAX = 0"))),
    "crashes are not counted": (6, on_the_server(("crashes_of(record) + 1", "1"))),
    "tasks on trial run with others": (
        0,
        on_the_server(("    if trial_runs or one_runs and is_on_trial(record) then return false end\n", "")),
    ),
    "what is missing is not noticed": (
        6,
        on_the_server(("if not mending and not (are_complete()", "if false and (true")),
    ),
    "names are given while some are missing": (
        3,
        on_the_server(
            ("  if not are_names_missing() then return nil end\n", "  if true then return nil end\n"),
            (" or are_names_missing() then", " then"),
        ),
    ),
    "a handler's exception that is no Exception ends the node": (5, contain_exceptions_alone),
    "a handler's Cancelled is taken for that of the stop": (35, let_cancelled_pass_whoever_raises_it),
    "what a handler leaves open is left open": (1, leave_open_what_a_handler_leaves_open),
    "a log that fails, fails a change": (0, let_the_log_fail_a_change),
    "a log that fails keeps a lease from ending": (3, let_the_log_fail_the_lease),
    "a log that fails keeps a node from starting": (16, let_the_log_fail_the_start),
    "a node ends when it has no descriptor for its connection": (9, end_when_no_descriptor_is_left),
    "a node that starts does not ask again when its connection breaks": (4, ask_for_settings_once),
    "tasks of a request are accepted without its answer": (
        FIRST_SEED,
        on_the_server(("if has_accepted then Answers.remember(request, numbers) end", "")),
    ),
    "what was refused of a request is remembered": (
        18,
        on_the_server(("if has_accepted then Answers.remember", "if true then Answers.remember")),
    ),
    "a repeated request is decided anew": (
        18,
        on_the_server(("if answer then return LIST.once", "if false then return LIST.once")),
    ),
    "every node fires each time": (
        3,
        on_the_server(("  if not expected then return true end\n", "  if true then return true end\n")),
    ),
    "a time is fired, and stays": (
        2,
        on_the_server(("  if step.expected then upcoming = step.next end\n", "")),
    ),
    "the task of a time is forgotten": (
        2,
        on_the_server(("    submission:apply()\n    local verdict", "    begin_writing()\n    local verdict")),
    ),
    "an outcome that no node has recorded makes no delivery": (
        0,
        on_the_server(
            ("if old and old.state ~= STATE.finished then Deliveries", "if record.token > 0 then Deliveries")
        ),
    ),
    "a retry makes a delivery": (
        0,
        on_the_server(
            (
                "    changes[#changes + 1] = record.number\n    return LIST.retry",
                "    Deliveries.bring(with(record, {outcome = outcome}))\n    return LIST.retry",
            )
        ),
    ),
    "an outcome that is recorded again makes a delivery again": (
        33,
        on_the_server(
            (
                "then return finished_before(record) end",
                "then Deliveries.bring(with(record, {outcome = outcome})) return finished_before(record) end",
            )
        ),
    ),
    "a delivery that is taken stays due": (
        0,
        on_the_server(("        postpone(delivery, seconds, delivery.attempts)\n", "")),
    ),
    "a limit is exceeded by one": (
        5,
        on_the_server(("return self.used[slot] >= number", "return self.used[slot] > number")),
    ),
    "a claim does not count what it has chosen": (
        28,
        on_the_server(("      if self.used[slot] then self.used[slot] = self.used[slot] + 1 end\n", "")),
    ),
    "a blocked task never wakes": (
        54,
        on_the_server(("      if is_there == 1 then settle_queue(queues[first + i - 1], true) end\n", "")),
    ),
    "a slot is kept when its task no longer runs": (5, on_the_server(("    Lanes.free_slots(old, id)\n", ""))),
    "a later task overtakes an earlier one of its lane": (
        5,
        on_the_server(("order('ZADD', 'lane:' .. lane, place, id)", "order('ZADD', 'lane:' .. lane, -place, id)")),
    ),
    "a pause of a handler is not asked for": (5, on_the_server(("and not self.settings.pause[handler]", ""))),
    "a pause of everything is not asked for": (
        5,
        on_the_server(("  if settings.pause[''] then return {}, false end\n", "")),
    ),
    "nobody asks which queue is meant": (97, on_the_server(("own_tag ~= tag", "false"))),
}
"""Each with a seed that finds it, as long as nothing changes what seeds decide; then another one does."""


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, plant = PLANTED[bug]
    plant(monkeypatch)
    with pytest.raises(BrokenInvariantError):
        run_seeds(first)


def run_seeds(first: int) -> None:
    for seed in (first, *range(SEEDS_MAX)):
        NodesWorld(seed).run()
