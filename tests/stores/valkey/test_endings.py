"""An ending that the server cannot store fails its task, with the text that every store uses."""

from __future__ import annotations

import random
from typing import Any, Final

import pytest

from pexecutor import Ending, Outcome, Running, Task
from pexecutor.stores.mending import failed_to_write
from pexecutor.stores.valkey import endings
from pexecutor.stores.valkey.endings import ending_arguments
from pexecutor.stores.valkey.protocol import NO_RETRY
from pexecutor.task import Finished

RUNNING: Final = Running(1, Task("a", retries=1), 0.0, (), 0.0)
NOT_TEXT: Any = object()


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (Ending(Outcome.FAILED, "\ud800"), "UnicodeEncodeError: 'utf-8' codec can't encode"),
        (Ending(Outcome.FAILED, NOT_TEXT), "TypeError: Encoding objects of type object is unsupported"),
        (Ending(Outcome.SUCCEEDED, result=b'"long"'), "ValueError: the ending has 113 bytes, and at most 40 are"),
    ],
)
def test_an_ending_that_cannot_be_stored(ending: Ending, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "ENDING_BYTES_MAX", 40)
    outcome, error, _, again_in = ending_arguments(RUNNING, ending, random.Random(1))
    assert (outcome, again_in) == (Outcome.FAILED, NO_RETRY)
    assert error.startswith(f"the record of this task could not be written ({reason}")
    finished = Finished(RUNNING.serial, RUNNING.task, 0.0, (), 0.0, ending)
    assert failed_to_write(finished, "why").ending.error == "the record of this task could not be written (why)"
