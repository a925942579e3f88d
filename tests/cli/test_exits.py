"""Exit statuses for replies that a pexecutor server does not send: from token checks, gateways, and other servers."""

from __future__ import annotations

import pytest

from pexecutor import Outcome
from pexecutor.cli.exit_status import OF_OUTCOME

from .conftest import TOKEN, Run
from .proxy import answering

PROBLEM = b'{"type":"about:blank","title":"No","status":%d,"detail":"no, because"}'
RECORD = (
    b'{"id":"abcdef-1","name":"a","state":"finished","outcome":"abandoned","handler":"sleep",'
    b'"submitted_at":"2026-11-25T00:00:00.000Z"}'
)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, 2), (401, 11), (403, 11), (404, 10), (409, 7), (410, 10), (413, 2), (429, 8), (500, 1), (503, 9)],
)
def test_each_refusal_is_one_line_and_its_status(run: Run, status: int, expected: int) -> None:
    with answering(status, PROBLEM % status, Content_Type="application/problem+json") as answer:
        assert run("handlers", url=answer.url) == (expected, "", "pexecutor: no, because\n")


@pytest.mark.parametrize(
    ("status", "body", "expected", "said"),
    [
        (502, b"<html>Bad Gateway</html>", 9, "a gateway answered with the status 502"),
        (503, b"", 9, "a gateway answered with the status 503"),
        (404, b"<html>Not Found</html>", 10, "the server answered with the status 404 and no reason: check the URL"),
        (302, b"", 1, "the server answered with the status 302"),
        (200, b"<html>Welcome</html>", 1, "check the URL"),
        (200, b"[1]", 1, "check the URL"),
        (200, b"\xff", 1, "check the URL"),
    ],
)
def test_a_server_of_another_kind(run: Run, status: int, body: bytes, expected: int, said: str) -> None:
    with answering(status, body, Location="http://127.0.0.1:1/") as answer:
        result = run("show", "abcdef-1", url=answer.url)
    assert (result.status, result.out, result.err.count("\n")) == (expected, "", 1)
    assert said in result.err


@pytest.mark.parametrize("body", [b"{}", b"[{}]", b'{"statistics":{}}', b'{"name":1}'])
@pytest.mark.parametrize(
    "command",
    [
        ["submit", "a"],
        ["submit", "a", "b=c"],
        ["list"],
        ["show", "abcdef-1"],
        ["logs", "a"],
        ["cancel", "a"],
        ["drain"],
        ["drain", "--wait"],
        ["handlers"],
        ["watch", "--json"],
    ],
    ids=" ".join,
)
def test_json_of_another_kind(run: Run, command: list[str], body: bytes) -> None:
    with answering(200, body) as answer:
        result = run(*command, url=answer.url)
    assert (result.status, result.out) == (1, "")
    assert result.err == "pexecutor: the reply did not come from a pexecutor server: check the URL\n"


def test_an_abandoned_task(run: Run) -> None:
    with answering(200, RECORD) as answer:
        assert run("submit", "a", "--wait", url=answer.url).status == 6


class TestToken:
    def test_it_is_sent_from_the_environment(self, run: Run) -> None:
        with answering(200, b"[]") as answer:
            assert run("handlers", url=answer.url, PEXECUTOR_TOKEN=TOKEN).status == 0
        assert answer.authorizations == [f"Bearer {TOKEN}"]

    def test_the_flag_is_stronger(self, run: Run) -> None:
        with answering(200, b"[]") as answer:
            run("handlers", "--token", "another", url=answer.url, PEXECUTOR_TOKEN=TOKEN)
        assert answer.authorizations == ["Bearer another"]

    def test_without_one_nothing_is_sent(self, run: Run) -> None:
        with answering(200, b"[]") as answer:
            run("handlers", url=answer.url)
            run("handlers", url=answer.url, PEXECUTOR_TOKEN="")
        assert answer.authorizations == [None, None]

    def test_it_is_in_no_message(self, run: Run) -> None:
        for command in (["handlers"], ["submit", "a", "--params", "["]):
            result = run(*command, url="http://127.0.0.1:1", PEXECUTOR_TOKEN=TOKEN)
            assert TOKEN not in result.out + result.err


def test_a_path_in_front_of_the_routes(run: Run) -> None:
    with answering(200, b"[]", Link='</elsewhere?cursor=1>; rel="prev"') as answer:
        assert run("list", url=f"{answer.url}/behind/a/proxy/").status == 0


def test_no_proxy_leads_to_this_machine(run: Run) -> None:
    with answering(200, b"[]") as answer:
        assert run("handlers", url=answer.url, http_proxy="http://127.0.0.1:1", no_proxy="").status == 0


def test_each_outcome_has_a_status_of_its_own() -> None:
    assert {*Outcome} <= OF_OUTCOME.keys()
    assert len(set(OF_OUTCOME.values())) == len(OF_OUTCOME)
