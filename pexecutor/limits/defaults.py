"""Defaults of settings, and limits that more than one module applies."""

from __future__ import annotations

from typing import Final

SPAN_SECONDS_MAX: Final = 7 * 24 * 60 * 60.0
"""The longest duration anywhere: seven days. The fields of a task, the settings and a handler's wait share it."""

HOST: Final = "127.0.0.1"
PORT: Final = 8080

POOL_SIZE: Final = 5
QUEUE_SIZE: Final = 1000

CRASHES_MAX: Final = 3
"""The number of crashes after which a task is abandoned."""

HISTORY_RECORDS_MAX: Final = 10_000
HISTORY_SECONDS_MAX: Final = SPAN_SECONDS_MAX
HISTORY_FAILED_RECORDS_MAX: Final = 10_000
HISTORY_FAILED_SECONDS_MAX: Final = 30 * 24 * 60 * 60.0
HISTORY_BYTES_MAX: Final = 128 * 1024 * 1024

LOG_BYTES_MAX: Final = 10 * 1024 * 1024
"""The size of the log of one attempt."""

LOG_HEAD_BYTES: Final = 1024 * 1024
"""How much of the beginning of a log is kept when it is too long."""

LOGS_BYTES_MAX: Final = 1024 * 1024 * 1024
"""The size of the logs of all attempts."""

BODY_BYTES_MAX: Final = 8 * 1024 * 1024
"""The longest body of a request. A client reads no longer file of params."""

PAGE_RECORDS_MAX: Final = 1000
"""The largest page of a listing, and its default size."""

BULK_TASKS_MAX: Final = 100_000
"""The largest number of tasks that one request may cancel, retry or change."""

STEP_RECORDS_MAX: Final = 500
"""The largest number of records that one step of many changes, deliveries counted."""

LOOK_SECONDS: Final = 60.0
"""The longest sleep of a loop that waits for a time of the wall clock, in seconds: the clock may be set meanwhile."""

SHORTEST_SECONDS: Final = 0.001
"""The shortest sleep of such a loop, in seconds."""

RETRY_DELAY_MS: Final = 1000
"""The default longest pause before the first retry of a task."""

RETRY_DELAY_MS_MAX: Final = 60_000
"""The default longest pause before any retry of a task."""

CLIENT_PAUSE_SECONDS: Final = 0.2
"""The pause of a client before it requests an outcome or the rest of a log again, in seconds."""

CLIENT_PAUSE_SECONDS_MAX: Final = 2.0
"""The longest pause between repetitions of a request that failed, in seconds."""

LIMIT_SETTINGS_MAX: Final = 1000
"""How many numbers of limits, numbers of handlers and pauses a store keeps, all together."""

CHARACTERS_SHOWN_MAX: Final = 100
"""How many characters of a caller's text a message shows."""

DECLARE_RETRY_SECONDS: Final = 5.0
"""How long to wait before what the settings declare is stored again, if the store could not be written."""
