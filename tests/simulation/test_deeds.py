"""Each deed of a handler ends as it says, so a seed that fails for it has found something else."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from pexecutor import Accepted, Executor, Finished, LocalStore, Task
from pexecutor.handlers import Catalogue

from ..fakes import Doing
from .deeds import DEEDS, DEEDS_ALONE, Deed


@pytest.mark.parametrize("deed", [*DEEDS, *DEEDS_ALONE])
async def test_a_deed_ends_as_it_says(deed: Deed, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    handlers = Catalogue({"sleep": Doing(lambda context, _: deed.act(context))})
    executor = Executor(LocalStore(), handlers=handlers)
    await nursery.start(executor.run)
    [verdict] = await executor.submit([Task("a")])
    assert isinstance(verdict, Accepted)
    finished = await executor.wait(verdict.record.id)
    assert isinstance(finished, Finished)
    assert finished.outcome is deed.given.outcome
    assert deed.given.error in (finished.ending.error or "")
    assert finished.ending.retryable is deed.given.retryable
    nursery.cancel_scope.cancel()
