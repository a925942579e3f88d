"""A reply that is encoded in one step has the same bytes as one that is encoded in several steps."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pexecutor import Executor, LocalStore, Task
from pexecutor.config import Config
from pexecutor.task import Accepted, Attempt, Outcome, Pending
from pexecutor.web.api.decode import TaskBody
from pexecutor.web.api.submit import SubmitAnswers
from pexecutor.web.fast.accepted import encode_accepted, is_new
from pexecutor.web.fast.response import encode_reply


def undated(reply: bytes) -> bytes:
    """Return a reply without its date: a second may pass between two of them."""
    return re.sub(rb"(?m)^date: .*$", b"date", reply)


ANSWERS = SubmitAnswers(Executor(LocalStore()), Config())

TASKS = st.builds(
    Task,
    name=st.text(min_size=1, max_size=20).filter(str.isprintable),
    duration=st.integers(0, 1000),
    handler=st.sampled_from(["sleep", 'a "b"', "ä"]),
    params=st.dictionaries(st.text(max_size=3), st.none() | st.integers(0, 5) | st.text(max_size=3), max_size=2),
    priority=st.integers(-100, 100),
    timeout=st.none() | st.integers(1, 9),
    retries=st.integers(0, 3),
    on_conflict=st.sampled_from(["reject", "join", "latest", "supersede"]),
    on_crash=st.sampled_from(["rerun", "abandon"]),
    keep=st.none() | st.integers(0, 9),
)


@given(TASKS, st.integers(1, 2**60), st.floats(0, 2e9))
def test_a_new_task_is_shown_as_any_other(task: Task, serial: int, submitted_at: float) -> None:
    record = Pending(serial, task, submitted_at, ())

    assert is_new(record)
    whole = encode_reply(
        ANSWERS.reply(TaskBody([task], is_list=False), [Accepted(record)], "/path", "refused"), "an-id"
    )
    assert undated(encode_accepted(record, "/path", "an-id")) == undated(whole)


def test_one_that_has_more_to_show_is_not_new() -> None:
    attempt = Attempt(1.0, 2.0, Outcome.FAILED, "no")
    traced = Task("a", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

    assert not is_new(Pending(1, traced, 1.0, ()))
    assert not is_new(Pending(1, Task("a", tags=("blue",)), 1.0, ()))
    assert not is_new(Pending(1, Task("a"), 1.0, (attempt,)))
