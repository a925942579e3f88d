"""Time limits that depend on one another, in seconds. ``tests/test_times.py`` checks how, with the reasons.

A limit that is longer than the limit around it never takes effect: the outer limit cuts the work off first, without the
message or the cleaning up of the inner one. So whoever changes a number here can change what happens elsewhere.
"""

from __future__ import annotations

from typing import Final

# The stop. The drain timeout is a setting; everything after it shares the margin.

DRAIN_TIMEOUT_SECONDS: Final = 30.0
"""The default time that running tasks have to end at a stop."""

STOP_MARGIN_SECONDS: Final = 10.0
"""How long a stop may take in addition to the drain timeout: then the guard kills the process."""

TIMER_SHARE: Final = 0.8
"""The share of the margin after which the timer writes the stacks and ends the process."""

DRAIN_FOLLOWS_SECONDS: Final = 1.0
"""How long to wait for a drain after a signal has ended a process of an attempt: both may have the same cause."""

SETTLE_SECONDS_MAX: Final = 5.0
"""How long recording outcomes or releasing tasks may take after the work was cancelled: the bound of the shields."""

JOURNAL_CLOSE_SECONDS_MAX: Final = 3.0
"""How long closing the journal waits for the disk."""

LISTENER_STOP_SECONDS_MAX: Final = 3.0
"""How long connections may take to end once the server stops."""

FIRST_REQUEST_SECONDS: Final = 0.5
"""How long a connection that was accepted just before a stop may take to send its request."""

LOGS_CLOSE_SECONDS_MAX: Final = 2.0
"""How long the end of the server waits until the last output is in the log files."""

LOGS_OPEN_SECONDS_MAX: Final = 10.0
"""How long a start may look for log files of an earlier process."""

LOG_PACE_SECONDS_MAX: Final = 5.0
"""How long a command's output waits for a slow disk before the attempt's log is given up."""

# The end of an attempt.

KILL_AFTER_SECONDS: Final = 5.0
"""The default time from SIGTERM to SIGKILL."""

KILL_AFTER_SECONDS_MAX: Final = 6.0

KILL_SECONDS_MAX: Final = 2.0
"""How long a group of processes may take to be gone after SIGKILL. Added to ``kill_after``, it bounds a shield."""

FUNCTION_CLOSE_SECONDS_MAX: Final = 5.0
"""How long Trio tasks that a function has left running may take to end once they are cancelled."""

SYSTEM_TASKS_SECONDS_MAX: Final = 1.0
"""How long an attempt waits for system tasks that its function has started. A library may start endless ones."""

# A change of the store.

STORE_CALL_SECONDS_MAX: Final = 5.0
"""How long a verb of a store waits for its change to be durable, or for the server's reply: the bound of the shield."""

WRITE_SECONDS_MAX: Final = 30.0
"""How long one write of a store may take before the watchdog of a service manager gets no more beats."""

LINK_CALL_SECONDS_MAX: Final = 4.0
"""How long a call of a Valkey server may take, including the wait for a new connection."""

CONNECT_SECONDS_MAX: Final = 2.0
"""How long one attempt to connect to a Valkey server may take."""

SENTINEL_SECONDS_MAX: Final = 0.5
"""How long to wait for a sentinel before trying the next one."""

STORE_RETRY_SECONDS: Final = 0.5
"""The pause before another try after the store was unavailable."""

# The lease of a node on a shared store.

LEASE_SECONDS: Final = 15.0
"""The default lease: how long a node may be silent before other nodes run its tasks."""

LEASE_SECONDS_MIN: Final = 3.0
LEASE_SECONDS_MAX: Final = 3600.0

LEASE_SHARE: Final = 2 / 3
"""The share of the lease in which a node trusts its last beat; in the rest its work ends."""

BEAT_SECONDS: Final = 1.0
"""The time between two beats, each of which renews the lease."""

REFUSED_SECONDS: Final = 0.1
"""The pause after a beat that failed: a server that is out of memory refuses each beat at once."""

# Notifications.

DELIVERY_ATTEMPT_SECONDS_MAX: Final = 10.0
"""How long one attempt of a delivery may take, from the look-up of the receiver's name to the end of its reply."""

DELIVERY_REPLY_SECONDS_MAX: Final = 2.0
"""How long to read the body of a receiver's reply, whose status is known already."""

DELIVERY_TAKEN_SECONDS: Final = 30.0
"""How long no other node attempts a delivery that one node has taken."""

# Requests over HTTP.

REQUEST_TIMEOUT_SECONDS: Final = 30.0
"""The default time that the head and the body of a request may take to arrive."""

COALESCED_SECONDS_MAX: Final = 30.0
"""How long the shielded step of coalesced submits may wait for the store."""

WAIT_SECONDS_MAX: Final = 300
"""How long a request may wait for an outcome."""

WAIT_FOR_ROOM_SECONDS_MAX: Final = 60
"""How long a submit may wait for room."""

LAST_EVENT_SECONDS_MAX: Final = 5.0
"""How long the end of a reply may take to be sent, also when its request is cancelled."""

LINGER_SECONDS_MAX: Final = 2.0
"""How long a closed connection may still read, so that the client receives the whole reply."""

HEARTBEAT_SECONDS: Final = 15.0
"""The pause after which a stream of events sends a comment."""

INPUT_CHECK_SECONDS: Final = 0.5
"""How often to look whether a client that has ended its side of a connection is gone."""

# The command line as a client.

CLIENT_CONNECT_SECONDS_MAX: Final = 5.0
CLIENT_REPLY_SECONDS_MAX: Final = 30.0
"""How long a reply may take, beyond the wait that the request itself asks for."""

CLIENT_WAIT_SECONDS_MAX: Final = 20.0
"""How long one request waits for an outcome: short enough for the timeouts of common proxies."""

CLIENT_DRAIN_SECONDS: Final = 600.0
"""The default time that ``drain --wait`` waits for the end of the stop."""
