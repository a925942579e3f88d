"""When a request is sent again, and after what pause: plain code with a clock of the test."""

from __future__ import annotations

import pytest

from pexecutor import ConfigError, PexecutorError, RefusedError, UnreachableError
from pexecutor.client import requests
from pexecutor.client.repeating import Repeats
from pexecutor.client.requests import ApiRequest
from pexecutor.limits.defaults import CLIENT_PAUSE_SECONDS_MAX

LOST = UnreachableError("lost")
READ = requests.handlers()
SUBMIT = requests.with_key(requests.submit({"name": "a"}), "key")


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def pauses(
    request: ApiRequest, error: PexecutorError, *, retry_seconds_max: float = 30, until: float | None = None
) -> list[float]:
    clock = Clock()
    repeats = Repeats(request, now=clock, retry_seconds_max=retry_seconds_max, until=until, jitter=lambda: 1.0)
    found: list[float] = []
    while (pause := repeats.pause_after(error)) is not None and len(found) < 100:
        found.append(pause)
        clock.time += pause
    return found


def test_the_pauses_double_up_to_a_maximum_within_the_bound() -> None:
    found = pauses(READ, LOST)

    assert found[:6] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0])
    assert max(found) == CLIENT_PAUSE_SECONDS_MAX
    assert sum(found) == pytest.approx(30)


def test_the_bound_counts_from_the_first_failure() -> None:
    clock = Clock()
    repeats = Repeats(READ, now=clock, retry_seconds_max=1)
    clock.time += 1000

    assert repeats.pause_after(LOST) is not None


def test_the_deadline_of_the_caller_comes_first() -> None:
    assert sum(pauses(READ, LOST, until=100.5)) == pytest.approx(0.5)
    assert pauses(READ, LOST, until=99) == []
    assert pauses(READ, LOST, retry_seconds_max=0) == []


def test_a_pause_is_at_least_what_the_server_asks_for() -> None:
    busy = RefusedError(503, {}, "5")

    assert pauses(SUBMIT, busy) == [5, 5, 5, 5, 5, 5]
    assert pauses(SUBMIT, RefusedError(503, {}, "31")) == []
    assert pauses(SUBMIT, RefusedError(503, {}, "Wed, 21 Oct 2026 07:28:00 GMT"))[0] == pytest.approx(0.1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 410, 413, 422, 429, 500, 501])
def test_other_refusals_are_final(status: int) -> None:
    assert pauses(SUBMIT, RefusedError(status, {}, "1")) == []


def test_what_is_under_way_is_not_what_is_held() -> None:
    assert pauses(SUBMIT, RefusedError(409, {}, "1")) != []
    assert pauses(SUBMIT, RefusedError(409, {"holder": {}}, "1")) == []
    assert pauses(SUBMIT, RefusedError(409, {})) == []
    assert pauses(requests.cancel("a"), RefusedError(409, {}, "1")) == []


def test_a_reply_that_will_not_change_is_final() -> None:
    assert pauses(SUBMIT, RefusedError(503, {"SubmittedTasks": 1})) == []
    assert pauses(requests.readiness(), RefusedError(503, {"statistics": {}})) == []
    assert pauses(READ, ConfigError("wrong")) == []


@pytest.mark.parametrize(
    "request_sent",
    [
        requests.submit({"name": "a"}),
        requests.change("a", {}),
        requests.bulk({}),
        requests.drain(),
        requests.pause(None),
        requests.resume("h"),
        requests.put_schedule("s", {}),
        requests.pause_schedule("s", paused=True),
        requests.run_schedule("s"),
    ],
    ids=lambda request: f"{request.method} {request.path}",
)
def test_unsafe_requests_are_sent_once(request_sent: ApiRequest) -> None:
    assert pauses(request_sent, LOST) == []
