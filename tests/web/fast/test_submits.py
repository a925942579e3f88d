"""A round replies to a short submit with the same bytes as every other path."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from pexecutor import Executor, LocalStore, Task
from pexecutor.config import Config
from pexecutor.handlers import Catalogue
from pexecutor.web import Web, create_web
from pexecutor.web.api.coalesce import TASKS_TOGETHER_MAX
from pexecutor.web.fast.parser import Parser
from pexecutor.web.fast.request import Ends, Request
from pexecutor.web.fast.response import encode_reply

from ...fakes import Gate
from ..raw import JSON, request

ENDS: Final = Ends("http", ("127.0.0.1", 40_000), ("127.0.0.1", 8080))
SAME_ID: Final = "X-Request-Id: the-same"
TRACE: Final = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
QUEUE_SIZE: Final = 70


def post(body: bytes, *headers: str) -> bytes:
    return request("POST /tasks", JSON, *headers, body=body)


def parsed(data: bytes) -> Request:
    parser = Parser(ENDS, trio.sleep_forever)
    parser.feed(data)
    [asked] = parser.requests
    return asked


def shown(reply: bytes) -> bytes:
    """Remove the parts of a reply that differ from one to the next: the date, and the request id."""
    return re.sub(rb"(?m)^(date|x-request-id): .*$", rb"\1", reply)


async def by_round(web: Web, data: bytes) -> bytes | None:
    """Return the reply of a round, or ``None`` if a round cannot handle the request."""
    submit = web.submits.known_submit(data, ENDS) or web.submits.submit_of(parsed(data), data)
    if submit is None:
        return None
    await trio.testing.wait_all_tasks_blocked()  # a worker may have become free; let it take its next task first
    verdicts = web.submits.submit_nowait(submit.sent.tasks)
    if verdicts is None:
        return shown(web.submits.reply_to(submit, await web.submits.submit(submit.sent.tasks)))
    return shown(web.submits.reply_to(submit, verdicts))


async def alone(web: Web, data: bytes) -> bytes:
    """Return the reply to a request that is answered alone."""
    asked = parsed(data)
    route = web.prompt.find(asked)
    assert route is not None
    await trio.testing.wait_all_tasks_blocked()
    return shown(encode_reply(await web.prompt.answer(asked, route), asked.id))


async def started(nursery: trio.Nursery) -> tuple[Executor, Web]:
    """Start an executor whose only worker stays busy, so that records depend on the requests only."""
    store = LocalStore(queue_size=QUEUE_SIZE, tag=7, now=lambda: 1_000_000_000.5)
    executor = Executor(store, pool_size=1, handlers=Catalogue({"sleep": Gate()}))
    await nursery.start(executor.run)
    await executor.submit([Task("held")])
    await trio.testing.wait_all_tasks_blocked()
    return executor, create_web(executor, Config(queue_size=QUEUE_SIZE, batch_tasks_max=100))


async def answer_twice(requests: list[bytes], *, draining: bool = False) -> tuple[list[bytes | None], list[bytes]]:
    """Return the replies of rounds and the replies without rounds, each from a new server."""
    async with trio.open_nursery() as nursery:
        servers = [await started(nursery) for _ in range(2)]
        if draining:
            for executor, _ in servers:
                executor.drain()
        (_, one), (_, other) = servers
        in_rounds = [await by_round(one, data) for data in requests]
        without = [await alone(other, data) for data, reply in zip(requests, in_rounds, strict=True) if reply]
        nursery.cancel_scope.cancel()
    return in_rounds, without


def names(number: int, prefix: str = "t") -> bytes:
    return json.dumps([{"name": f"{prefix}{index}"} for index in range(number)]).encode()


LISTS: Final = [
    post(b'[{"name": "a"}]'),
    post(b'[{"name": "a"}]'),
    post(b'[{"name": "b"}, {"name": "c"}, {"name": "b"}]', SAME_ID),
    post(b'[{"name": "d"}, {"name": "held"}, {"name": "a", "on_conflict": "join"}]'),
    post(b'[{"name": "e", "delay": 60000}, {"name": "f"}]'),
    post(b'[{"name": "traced"}, {"name": "own", "traceparent": "%b"}]' % TRACE.partition(" ")[2].encode(), TRACE),
    post(b'[{"name": "traced", "on_conflict": "latest"}, {"name": "g", "on_conflict": "supersede"}]', SAME_ID),
    post(b" \n[ ]\n"),
    post(b'{"name": "alone"}'),
    post(b'[{"n\\u0061me": "h", "priority": 3}]'),
    # Invalid ones
    post(b"["),
    post(b"[null]"),
    post(b'[{"name": "x"}, {"name": 1}, {"wat": 1}]'),
    post(b'[{"name": "x", "name": "y"}]'),
    post(b'[{"name": "x"}, {"name": "y", "handler": "none"}, {"name": "z", "params": {"bad": 1}}]', SAME_ID),
    post(b'[{"name": "\xff"}]'),
    post(b"[%b]" % b",".join([b'{"n\\u0061me": "x"}'] * 101)),
    # Room for some tasks, then for none
    post(names(TASKS_TOGETHER_MAX)),
    post(names(TASKS_TOGETHER_MAX), SAME_ID),
    post(b'[{"name": "late"}]'),
    post(b'[{"name": "late"}, {"name": "a"}]'),
]


@pytest.mark.parametrize("draining", [False, True])
async def test_lists_are_answered_as_without_a_round(*, draining: bool) -> None:
    in_rounds, without = await answer_twice(LISTS, draining=draining)

    assert in_rounds == without
    statuses = {reply.split()[1] for reply in without}
    assert statuses == ({b"200", b"400", b"413", b"503"} if draining else {b"200", b"202", b"400", b"413", b"429"})


@pytest.mark.parametrize(
    "data",
    [
        post(names(TASKS_TOGETHER_MAX + 1)),
        post(b"[%b]" % b",".join(b'{"n\\u0061me": "%d"}' % number for number in range(TASKS_TOGETHER_MAX + 1))),
        post(b'\xef\xbb\xbf[{"name": "marked"}]'),
        request("POST /tasks?verdicts=all", JSON, body=b'[{"name": "a"}]'),
    ],
)
async def test_other_submits_are_not_for_a_round(data: bytes) -> None:
    in_rounds, _ = await answer_twice([post(names(1)), post(b'{"name": "again"}'), data])

    assert [reply is None for reply in in_rounds] == [False, False, True]


TASKS = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "c", "held", "ä", '"']) | st.text(min_size=1, max_size=3)},
    optional={
        "priority": st.integers(-100, 100),
        "delay": st.sampled_from([0, 60_000]),
        "on_conflict": st.sampled_from(["reject", "join", "latest", "supersede"]),
        "retries": st.integers(0, 3),
    },
)
INVALID: st.SearchStrategy[Any] = st.sampled_from(
    [None, {}, {"name": ""}, {"name": "x", "wat": 1}, {"name": "x", "handler": "none"}]
)
BODIES = st.builds(
    lambda tasks, indent, escaped: json.dumps(tasks, indent=indent, ensure_ascii=escaped).encode(errors="replace"),
    st.lists(TASKS, max_size=6) | st.lists(TASKS | INVALID, max_size=4) | TASKS,
    st.none() | st.just(1),
    st.booleans(),
)


@settings(deadline=None)
@given(st.lists(BODIES, min_size=1, max_size=6), st.booleans())
def test_any_submits_are_answered_as_without_a_round(bodies: list[bytes], traced: bool) -> None:
    requests = [post(body, *([TRACE] if traced else [])) for body in bodies]

    in_rounds, without = trio.run(answer_twice, requests)

    assert in_rounds == without
