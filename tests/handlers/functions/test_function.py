"""Tests of functions on Trio, in threads, and in separate processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from pexecutor import Catalogue, ConfigError, Context, HandlerFailedError, Task, load_catalogue

from ..test_command import group_is_gone


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(declared={}, modules=["tests.handlers.functions.functions"], environment={})


def test_only_what_is_declared_is_a_handler(catalogue: Catalogue) -> None:
    assert [view.name for view in catalogue.describe()] == ["apart", "in-a-thread", "looks_out", "resize", "sleep"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "params.image"),
        ({"image": 5}, "params.image"),
        ({"image": "x", "width": "wide"}, "params.width"),
        ({"image": "x", "width": 0}, "params.width"),
        ({"image": "x", "mode": "stretch"}, "params.mode"),
        ({"image": "x", "height": 5}, "params.height"),
    ],
)
def test_params_are_checked_against_the_signature(catalogue: Catalogue, params: dict[str, Any], field: str) -> None:
    complaint = catalogue.check(Task("a", handler="resize", params=params))
    assert complaint is not None
    assert complaint[0] == field


def test_the_schema_is_that_of_the_signature(catalogue: Catalogue) -> None:
    [resize] = [view for view in catalogue.describe() if view.name == "resize"]
    assert resize.description == "Resizes an image."
    [params] = [schema for name, schema in resize.params["$defs"].items() if name == "Params"]
    assert params["required"] == ["image"]
    assert params["properties"]["width"] == {"type": "integer", "minimum": 1, "default": 100}


async def test_an_async_function_runs_on_trio(catalogue: Catalogue, context: Context) -> None:
    result = await catalogue["resize"].run(context, Task("a", handler="resize", params={"image": "x", "mode": "fill"}))
    assert result == {"image": "x", "width": 100, "mode": "fill", "attempt": 1}
    assert (context.done, context.total) == (2, 2)
    assert context.output.snapshot().log == "half way\n"


MUTABLE = """
from msgspec import Struct
from pexecutor import handler

class Box(Struct):
    seen: list[str] = []

def seen(items, more, box, pair):
    for each in (items, more.setdefault("seen", []), box.seen, pair[0]):
        each.append("x")
    return [items, more, box.seen, pair[0]]

ITEMS = ["a"]

@handler
async def in_trio(context, items: list[str] = ITEMS, more: dict[str, list[str]] = {"seen": ["b"]},
                  box: Box = Box(["c"]), pair: tuple[list[str], int] = (["d"], 1)):
    return seen(items, more, box, pair)

@handler
def in_thread(context, items: list[str] = [], more: dict[str, list[str]] = {}, box: Box = Box(),
              pair: tuple[list[str], int] = ([], 1)):
    return seen(items, more, box, pair)
"""


@pytest.fixture
def mutable(tmp_path: Path) -> Catalogue:
    (tmp_path / "mutable.py").write_text(MUTABLE)
    return load_catalogue(declared={}, modules=[str(tmp_path / "mutable.py")], environment={})


async def test_each_attempt_gets_its_own_copy_of_a_mutable_default(mutable: Catalogue, context: Context) -> None:
    for _ in range(2):
        found = await mutable["in_trio"].run(context, Task("a", handler="in_trio"))
        assert found == [["a", "x"], {"seen": ["b", "x"]}, ["c", "x"], ["d", "x"]]
        found = await mutable["in_thread"].run(context, Task("a", handler="in_thread"))
        assert found == [["x"], {"seen": ["x"]}, ["x"], ["x"]]


def test_a_mutable_default_is_in_the_schema(mutable: Catalogue) -> None:
    properties = mutable["in_trio"].params_schema["$defs"]["Params"]["properties"]
    defaults = msgspec.json.decode(msgspec.json.encode({name: each["default"] for name, each in properties.items()}))
    assert defaults == {"items": ["a"], "more": {"seen": ["b"]}, "box": {"seen": ["c"]}, "pair": [["d"], 1]}


@pytest.mark.parametrize("default", ["threading.Lock()", "NeverCopied()", "[object()]"])
def test_a_default_that_cannot_be_copied_is_refused(default: str, tmp_path: Path) -> None:
    (tmp_path / "refused.py").write_text(
        "import threading, typing\nfrom pexecutor import handler\n"
        "class NeverCopied(list):\n    def __deepcopy__(self, memo): raise ValueError('there is only one')\n"
        f"@handler\ndef f(context, items: typing.Any = {default}): pass\n"
    )
    with pytest.raises(ConfigError, match="the default of `items` cannot be copied, or JSON cannot express it"):
        load_catalogue(declared={}, modules=[str(tmp_path / "refused.py")], environment={})


async def test_another_function_runs_in_a_thread(catalogue: Catalogue, context: Context) -> None:
    assert await catalogue["in-a-thread"].run(context, Task("a", params={"seconds": 0})) == "done"
    assert context.output.snapshot().log == "in a thread\n"


async def test_a_thread_is_waited_for_whatever_is_cancelled(catalogue: Catalogue, context: Context) -> None:
    began = trio.current_time()
    with trio.move_on_after(0.05):
        await catalogue["in-a-thread"].run(context, Task("a", params={"seconds": 0.4}))
    assert trio.current_time() - began >= 0.4


async def test_a_thread_may_look_out_for_a_cancel(catalogue: Catalogue, context: Context) -> None:
    with trio.fail_after(5), trio.move_on_after(0.1) as scope:
        await catalogue["looks_out"].run(context, Task("a"))
    assert scope.cancelled_caught


async def test_a_process_of_its_own_reports_and_returns(catalogue: Catalogue, context: Context) -> None:
    result = await catalogue["apart"].run(context, Task("a", params={"do": "return"}))
    assert result["pid"] != os.getpid()
    snapshot = context.output.snapshot()
    assert (snapshot.stdout, snapshot.stderr, snapshot.log) == ("printed\n", "complained\n", "000001-1 a 1\n")
    assert (context.done, context.total, snapshot.exit_code) == (1, 3, 0)


@pytest.mark.parametrize(
    ("do", "sentence"),
    [
        ("raise", "no such image"),
        ("die", "the handler's process ended without a result: exit code 7"),
        ("set", "the handler's result is not JSON"),
    ],
)
async def test_a_process_of_its_own_fails_with_a_sentence(
    catalogue: Catalogue, context: Context, do: str, sentence: str
) -> None:
    with pytest.raises(HandlerFailedError, match=sentence):
        await catalogue["apart"].run(context, Task("a", params={"do": do}))


async def test_a_process_of_its_own_is_ended_with_everybody_it_started(catalogue: Catalogue, context: Context) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(catalogue["apart"].run, context, Task("a", params={"do": "block"}))
        with trio.fail_after(10):
            while "printed" not in context.output.snapshot().stdout:  # noqa: ASYNC110
                await trio.sleep(0.02)
        children = [int(child) for child in _children()]
        assert children
        nursery.cancel_scope.cancel()
    assert all(group_is_gone(child) for child in children)


def _children() -> list[str]:
    """Return the child processes of all threads, because one of Trio's threads started the process."""
    return [child for path in Path("/proc/self/task").glob("*/children") for child in path.read_text().split()]
