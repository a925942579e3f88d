"""Invalid input for tasks, of every kind that clients have sent.

Each request gets a 4xx reply that says what to change. The server accepts no part of it and continues. Errors below
JSON, in HTTP itself, are in ``test_bad_http.py``.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..replies import Reply, faults_in, problem_in

OK = '{"name": "ok"}'


@pytest.fixture
async def served(serve_here: ServeHere, gate: Gate) -> Served:
    """A server that keeps every task it accepts."""
    return await serve_here(handler=gate)


async def post(served: Served, body: bytes | str, content_type: str | None = "application/json") -> Reply:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return await served.client.post("/tasks", content=body, headers=headers)


async def assert_nothing_was_taken_and_all_is_well(served: Served) -> None:
    assert await served.listing() == []
    assert (await post(served, f"[{OK}]")).status_code == 200


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "ü" * 128}, "name"),
        ({"name": "🦆" * 64}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "\x7f"}, "name"),
        ({"name": "ü\x85"}, "name"),
        ({"name": None}, "name"),
        ({"name": 1}, "name"),
        ({"name": ["a"]}, "name"),
        ({"name": "x", "duration": -1}, "duration"),
        ({"name": "x", "duration": 604_800_001}, "duration"),
        ({"name": "x", "duration": 99999999999999999999}, "duration"),
        ({"name": "x", "duration": -99999999999999999999}, "duration"),
        ({"name": "x", "duration": 10**400}, "duration"),
        ({"name": "x", "duration": 1.0}, "duration"),
        ({"name": "x", "duration": 0.5}, "duration"),
        ({"name": "x", "duration": "5"}, "duration"),
        ({"name": "x", "duration": True}, "duration"),
        ({"name": "x", "duration": None}, "duration"),
        ({"name": "x", "duration": {}}, "duration"),
        ({"name": "x", "priority": 101}, "priority"),
        ({"name": "x", "priority": -101}, "priority"),
        ({"name": "x", "priority": 1.5}, "priority"),
        ({"name": "x", "timeout": 0}, "timeout"),
        ({"name": "x", "timeout": 604_800_001}, "timeout"),
        ({"name": "x", "timeout": "1"}, "timeout"),
        ({"name": "x", "run_at": "9999-12-31T23:59:59-00:01"}, "run_at"),
        ({"name": "x", "tags": "a"}, "tags"),
        ({"name": "x", "tags": [""]}, "tags[0]"),
        ({"name": "x", "tags": ["a" * 65]}, "tags[0]"),
        ({"name": "x", "tags": [1]}, "tags[0]"),
        ({"name": "x", "tags": [str(number) for number in range(11)]}, "tags"),
        ({"name": "x", "tags": ["a", "b", "a"]}, "tags"),
        ({"name": "x", "tags": ["a\nb"]}, "tags"),
        ({"name": "x", "color": 1}, "color"),
        ({"name": "x", "Duration": 1}, "Duration"),
        ({"name": "x", "": 1}, ""),
        ({"name": "x", "a`b - at c": 1}, "a`b - at c"),
        ({"name": "x", "y" * 1000: 1}, "y" * 100),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_faulty_field_is_told_with_its_index_and_name(
    served: Served, fields: dict[str, Any], field: str
) -> None:
    task = json.dumps(fields)

    assert faults_in(await post(served, task)) == [(0, field)]
    assert faults_in(await post(served, f"[{OK}, {task}]")) == [(1, field)]
    await assert_nothing_was_taken_and_all_is_well(served)


@pytest.mark.parametrize("element", ["null", "true", "1", '"a"', "[]", f"[{OK}]"])
async def test_an_element_that_is_no_object_is_told_with_its_index(served: Served, element: str) -> None:
    assert faults_in(await post(served, f"[{OK}, {element}]")) == [(1, None)]
    await assert_nothing_was_taken_and_all_is_well(served)


@pytest.mark.parametrize(
    "task",
    [
        '{"name": "x", "name": "y"}',
        '{"name": "x", "na\\u006de": "y"}',
        '{"name": "x", "duration": 1, "name": "x"}',
        '{"name": "x", "\\u006eame": "y", "duration": 1}',
        '{"name": "x", "name": "x", "params": {"x": 1e12}}',  # compared with the parsed content
    ],
)
async def test_a_key_that_comes_twice_is_refused_however_it_is_written(served: Served, task: str) -> None:
    assert faults_in(await post(served, task)) == [(0, "name")]
    assert faults_in(await post(served, f"[{OK}, {OK}, {task}]")) == [(2, "name")]
    await assert_nothing_was_taken_and_all_is_well(served)


async def test_all_faulty_elements_are_told_up_to_a_hundred(served: Served) -> None:
    assert faults_in(await post(served, f'[null, {OK}, {{"name": ""}}, {{"name": "x", "color": 1}}]')) == [
        (0, None),
        (2, "name"),
        (3, "color"),
    ]
    assert len(faults_in(await post(served, json.dumps([None] * 150)))) == 100
    await assert_nothing_was_taken_and_all_is_well(served)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \r\n\t ",
        b"null",
        b"true",
        b"1",
        b'"name"',
        b"[",
        b"[{",
        b'[{"name": "a"}',
        b'[{"name": "a"},]',
        b'[{"name": "a"}] x',
        b'[{"name": "a"}][]',
        b"[{'name': 'a'}]",
        b'[{name: "a"}]',
        b'[{"name": "a", "duration": NaN}]',
        b'[{"name": "a", "duration": Infinity}]',
        b'[{"name": "a", "duration": -Infinity}]',
        b'[{"name": "a", "duration": 01}]',
        b'[{"name": "a", "duration": 0x1}]',
        b'[{"name": "a\nb"}]',
        b'[{"name": "\\x41"}]',
        b'[{"name": "\\ud800"}]',
        b'[{"name": "\\udc00\\ud800"}]',
        b'[{"name": "\xff"}]',
        b'[{"name": "\xed\xa0\x80"}]',
        b'[{"name": "\xc0\xaf"}]',
        b'[\xef\xbb\xbf{"name": "a"}]',
        '[{"name": "a"}]'.encode("utf-16"),
        b'[{"name": "a"}]\x00',
        b"\x00",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'[{"name": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        b'[{"name": ' * 50_000 + b"1" + b"}]" * 50_000,
        b'{"name": ' * 100_000,
        b'{"name": "a"',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b'{"name": "a"} {"name": "b"}',
        b"name=a&duration=1",
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_a_body_that_is_not_json_of_the_right_kind_is_refused(served: Served, body: bytes) -> None:
    assert problem_in(await post(served, body), 400)
    await assert_nothing_was_taken_and_all_is_well(served)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/json-seq",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx; charset=utf-8",
        ";;;=",
        "text/plain, application/json",
    ],
)
async def test_another_media_type_is_refused(served: Served, content_type: str | None) -> None:
    assert "application/json" in problem_in(await post(served, f"[{OK}]", content_type), 415)["detail"]
    await assert_nothing_was_taken_and_all_is_well(served)


async def test_a_list_may_hold_only_so_many_tasks(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(queue_size=20_000, handler=gate)
    tasks = [{"name": f"t{number}"} for number in range(10_001)]

    assert "10000" in problem_in(await post(served, json.dumps(tasks)), 413)["detail"]
    assert problem_in(await post(served, json.dumps([*tasks, None])), 413)
    assert await served.listing() == []
    assert (await post(served, json.dumps(tasks[1:]))).status_code == 200
