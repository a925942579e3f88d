"""Run a Huey consumer in this process until the last job has run."""

from __future__ import annotations

import logging
import threading
from typing import Any

from stopwatch import Stopwatch

DRAIN_SECONDS_MAX = 120


def drain(huey: Any, watch: Stopwatch) -> None:
    """Run the jobs and print the result. Huey's log line for each job, at INFO, is turned off."""
    logging.getLogger("huey").setLevel(logging.WARNING)
    done = threading.Event()
    watch.on_last = done.set
    consumer = huey.create_consumer(
        workers=1, periodic=False, initial_delay=0.01, max_delay=0.01, check_worker_health=False
    )
    consumer.start()
    done.wait(DRAIN_SECONDS_MAX)
    watch.report()
