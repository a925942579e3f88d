"""Each kind of handler gets the trace that its task belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from pexecutor import Context, load_catalogue

from .conftest import Lab, task
from .http.test_http import OK, answer, calling

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

MODULE = """
from pexecutor import handler

@handler(process=True)
def it(context):
    return context.traceparent
"""


@pytest.fixture
def traced() -> Context:
    return Context("000001-1", "a", traceparent=TRACE)


@pytest.mark.parametrize("env", [{}, {"TRACEPARENT": OTHER}])
async def test_a_command_has_it_in_its_environment(lab: Lab, traced: Context, env: dict[str, str]) -> None:
    await lab.python("import os; print(os.environ['TRACEPARENT'])", env=env).run(traced, task())

    assert traced.output.snapshot().stdout == f"{TRACE}\n"


async def test_a_command_has_none_of_a_task_that_belongs_to_none(lab: Lab, context: Context) -> None:
    lab.environment["TRACEPARENT"] = OTHER
    await lab.python("import os; print(os.environ.get('TRACEPARENT'))").run(context, task())

    assert context.output.snapshot().stdout == "None\n"


@pytest.mark.parametrize("headers", [{}, {"Traceparent": OTHER}])
async def test_a_call_has_it_in_a_header(lab: Lab, traced: Context, headers: dict[str, str]) -> None:
    async with calling(lab, answer(OK), headers=headers) as (catalogue, peer):
        await catalogue["it"].run(traced, task())

    assert peer.requests[0].lower().count(b"traceparent") == 1
    assert f"traceparent: {TRACE}\r\n".encode() in peer.requests[0].lower()


async def test_a_call_has_none_of_a_task_that_belongs_to_none(lab: Lab, context: Context) -> None:
    async with calling(lab, answer(OK)) as (catalogue, peer):
        await catalogue["it"].run(context, task())

    assert b"traceparent" not in peer.requests[0].lower()


async def test_a_function_in_a_process_has_it_in_its_context(tmp_path: Path, traced: Context, context: Context) -> None:
    (tmp_path / "work.py").write_text(MODULE)
    it = load_catalogue(declared={}, modules=[str(tmp_path / "work.py")], environment={})["it"]

    with trio.fail_after(20):
        assert await it.run(traced, task()) == TRACE
        assert await it.run(context, task()) is None
