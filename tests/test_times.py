"""Time limits that depend on one another: the smaller limit, the larger limit, and the reason."""

from __future__ import annotations

import pytest

from pexecutor.client.documents import DocumentClient
from pexecutor.limits import times
from pexecutor.limits.times import (
    BEAT_SECONDS,
    CLIENT_DRAIN_SECONDS,
    CLIENT_REPLY_SECONDS_MAX,
    CLIENT_WAIT_SECONDS_MAX,
    COALESCED_SECONDS_MAX,
    CONNECT_SECONDS_MAX,
    DELIVERY_ATTEMPT_SECONDS_MAX,
    DELIVERY_REPLY_SECONDS_MAX,
    DELIVERY_TAKEN_SECONDS,
    DRAIN_FOLLOWS_SECONDS,
    DRAIN_TIMEOUT_SECONDS,
    FIRST_REQUEST_SECONDS,
    FUNCTION_CLOSE_SECONDS_MAX,
    HEARTBEAT_SECONDS,
    INPUT_CHECK_SECONDS,
    JOURNAL_CLOSE_SECONDS_MAX,
    KILL_AFTER_SECONDS,
    KILL_AFTER_SECONDS_MAX,
    KILL_SECONDS_MAX,
    LAST_EVENT_SECONDS_MAX,
    LEASE_SECONDS,
    LEASE_SECONDS_MAX,
    LEASE_SECONDS_MIN,
    LEASE_SHARE,
    LINGER_SECONDS_MAX,
    LINK_CALL_SECONDS_MAX,
    LISTENER_STOP_SECONDS_MAX,
    LOG_PACE_SECONDS_MAX,
    LOGS_CLOSE_SECONDS_MAX,
    LOGS_OPEN_SECONDS_MAX,
    REFUSED_SECONDS,
    REQUEST_TIMEOUT_SECONDS,
    SENTINEL_SECONDS_MAX,
    SETTLE_SECONDS_MAX,
    STOP_MARGIN_SECONDS,
    STORE_CALL_SECONDS_MAX,
    STORE_RETRY_SECONDS,
    SYSTEM_TASKS_SECONDS_MAX,
    TIMER_SHARE,
    WAIT_FOR_ROOM_SECONDS_MAX,
    WAIT_SECONDS_MAX,
    WRITE_SECONDS_MAX,
)
from pexecutor.process.guard import SAME_REQUEST_SECONDS, STACKS_SHARE
from pexecutor.stores.sqlite.database import BUSY_SECONDS_MAX
from pexecutor.stores.valkey.store import LOOK_AGAIN_SECONDS

TIMER_SECONDS = STOP_MARGIN_SECONDS * TIMER_SHARE

NOT_LONGER = [
    # the stop
    (TIMER_SHARE, 1 - STACKS_SHARE, "the timer ends the process before the guard has to kill it"),
    (KILL_AFTER_SECONDS_MAX, TIMER_SECONDS, "a command that ends only by SIGKILL must not make the stop fail"),
    (KILL_AFTER_SECONDS + KILL_SECONDS_MAX, TIMER_SECONDS, "nor a process that the kernel cannot end at once"),
    (FUNCTION_CLOSE_SECONDS_MAX + SYSTEM_TASKS_SECONDS_MAX, TIMER_SECONDS, "nor a function that leaves Trio tasks"),
    (SETTLE_SECONDS_MAX + JOURNAL_CLOSE_SECONDS_MAX, TIMER_SECONDS, "nor a disk that does not answer"),
    (LOGS_CLOSE_SECONDS_MAX + JOURNAL_CLOSE_SECONDS_MAX, TIMER_SECONDS, "nor log files on such a disk"),
    (LOG_PACE_SECONDS_MAX, TIMER_SECONDS, "nor the output of a command that waits for such a disk"),
    (LOGS_CLOSE_SECONDS_MAX, LOGS_OPEN_SECONDS_MAX, "a start may read what an end has written"),
    (JOURNAL_CLOSE_SECONDS_MAX + LISTENER_STOP_SECONDS_MAX, TIMER_SECONDS, "nor slow clients after a slow disk"),
    (FIRST_REQUEST_SECONDS + LINGER_SECONDS_MAX, LISTENER_STOP_SECONDS_MAX, "the last reply is read before the cut"),
    (LAST_EVENT_SECONDS_MAX, TIMER_SECONDS, "nor a reply that its client does not read"),
    (SAME_REQUEST_SECONDS, STOP_MARGIN_SECONDS, "the guard must see a second signal within the margin"),
    (DRAIN_FOLLOWS_SECONDS, SETTLE_SECONDS_MAX, "an attempt that waits for a drain still has time to be released"),
    (
        STORE_RETRY_SECONDS,
        SETTLE_SECONDS_MAX,
        "a store that was unavailable is tried again before endings are given up",
    ),
    (LINGER_SECONDS_MAX, LISTENER_STOP_SECONDS_MAX, "a refused client reads its reply before connections are cut"),
    # the store: the inner limit ends first, so that the caller gets the reason
    (SENTINEL_SECONDS_MAX, CONNECT_SECONDS_MAX, "a dead sentinel leaves time for the next one"),
    (2 * CONNECT_SECONDS_MAX, LINK_CALL_SECONDS_MAX, "a call survives one failed attempt to connect"),
    (LINK_CALL_SECONDS_MAX, STORE_CALL_SECONDS_MAX, "the link says why a server is unreachable before the shield ends"),
    (BUSY_SECONDS_MAX, STORE_CALL_SECONDS_MAX, "SQLite reports a locked file before the shield ends"),
    (
        STORE_CALL_SECONDS_MAX,
        WRITE_SECONDS_MAX,
        "a slow disk first refuses submits, and only a stuck one ends the server",
    ),
    (STORE_CALL_SECONDS_MAX, SETTLE_SECONDS_MAX, "a hard stop waits for one whole call of the store"),
    (STORE_CALL_SECONDS_MAX, COALESCED_SECONDS_MAX, "a submit is answered by the store and not by the step around it"),
    # the lease
    (LEASE_SECONDS_MIN, LEASE_SECONDS, "the default is a valid lease"),
    (LEASE_SECONDS, LEASE_SECONDS_MAX, "the default is a valid lease"),
    (2 * BEAT_SECONDS, LEASE_SECONDS_MIN * LEASE_SHARE, "the shortest lease survives a lost beat"),
    (LINK_CALL_SECONDS_MAX + BEAT_SECONDS, LEASE_SECONDS * LEASE_SHARE, "the default lease survives a silent call"),
    (KILL_AFTER_SECONDS, LEASE_SECONDS * (1 - LEASE_SHARE), "a command ends before another node starts its task"),
    (REFUSED_SECONDS, BEAT_SECONDS, "a refused beat is tried again before the next one is due"),
    (LOOK_AGAIN_SECONDS, LEASE_SECONDS_MIN, "a lost message delays a claim by less than any lease"),
    # notifications
    (DELIVERY_REPLY_SECONDS_MAX, DELIVERY_ATTEMPT_SECONDS_MAX, "the end of a reply is read within the attempt"),
    (
        DELIVERY_ATTEMPT_SECONDS_MAX + SETTLE_SECONDS_MAX,
        DELIVERY_TAKEN_SECONDS,
        "no other node attempts a delivery before this node has recorded its attempt",
    ),
    # requests
    (STORE_CALL_SECONDS_MAX, CLIENT_REPLY_SECONDS_MAX, "a client waits for the store's answer"),
    (COALESCED_SECONDS_MAX, CLIENT_REPLY_SECONDS_MAX, "a client learns that the store did not answer"),
    (STORE_CALL_SECONDS_MAX, REQUEST_TIMEOUT_SECONDS, "a slow store does not look like a slow client"),
    (CLIENT_WAIT_SECONDS_MAX, WAIT_SECONDS_MAX, "the server accepts the command line's waits"),
    (WAIT_FOR_ROOM_SECONDS_MAX, WAIT_SECONDS_MAX, "the shorter wait is that of a submit"),
    (2 * INPUT_CHECK_SECONDS, HEARTBEAT_SECONDS, "a reader that is gone is noticed by the check, not by the heartbeat"),
    (DRAIN_TIMEOUT_SECONDS + STOP_MARGIN_SECONDS, CLIENT_DRAIN_SECONDS, "`drain --wait` outlasts a default stop"),
]


@pytest.mark.parametrize(("smaller", "larger", "_reason"), NOT_LONGER, ids=[reason for _, _, reason in NOT_LONGER])
def test_a_time_limit_fits_into_those_around_it(smaller: float, larger: float, _reason: str) -> None:
    assert smaller <= larger + 1e-9


def test_every_coupled_limit_is_compared() -> None:
    compared = {name for name in vars(times) if name.isupper()} & set(globals())
    assert {name for name in vars(times) if name.isupper()} - compared == {"CLIENT_CONNECT_SECONDS_MAX"}


def test_a_client_waits_longer_than_the_server_is_asked_to() -> None:
    with DocumentClient("http://127.0.0.1:1") as client:
        assert client._http._timeout(WAIT_SECONDS_MAX).read == WAIT_SECONDS_MAX + CLIENT_REPLY_SECONDS_MAX
