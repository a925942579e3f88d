"""Measure the dashboard under load: ``python -m tests.browser.load [PENDING] [SECONDS] [PATH ...]``.

A server with many waiting tasks runs short ones as fast as it can, and a log grows by 5,000 lines a second. For each
page, the program prints how many events a second arrived, the longest frames, how busy the page was, its memory at the
start, after one and two thirds and at the end, its elements, and how long the server took to reply meanwhile.
Without a path, it measures the overview, the list of tasks and the log that grows.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any, Final

from ..server.process import ServerProcess
from . import scenes
from .conftest import start_browser
from .page import Page

BATCH: Final = 500

WATCH: Final = """window.frames_ms = [];
    let last = performance.now();
    const frame = (now) => { window.frames_ms.push(now - last); last = now; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
    window.tasks_ms = [];
    new PerformanceObserver((list) => window.tasks_ms.push(...list.getEntries().map((it) => it.duration)))
        .observe({ entryTypes: ["longtask"] });
    const listen = EventSource.prototype.addEventListener;
    window.events = 0;
    EventSource.prototype.addEventListener = function (kind, receive) {
        listen.call(this, kind, (event) => { window.events += 1; receive(event); });
    };"""

READ: Final = """const sorted = window.frames_ms.slice(5).sort((a, b) => b - a);
    return {
        events: window.events,
        frames: sorted.length,
        longest_frames_ms: sorted.slice(0, 3).map(Math.round),
        long_tasks: window.tasks_ms.length,
        longest_task_ms: Math.round(Math.max(0, ...window.tasks_ms)),
        elements: document.querySelectorAll("*").length,
    }"""


def keep_busy(server: ServerProcess, stop: Event) -> None:
    """Submit short tasks that start before all others, until `stop` is set."""
    number = 0
    while not stop.is_set():
        number += BATCH
        tasks = [{"name": f"flood/{each}", "duration": 0, "priority": 9} for each in range(number - BATCH, number)]
        server.client.post("/tasks?verdicts=none", json=tasks)
        stop.wait(BATCH / 700)


def busy_seconds(page: Page) -> float:
    """Return how much of a processor's time the page's main thread has used."""
    metrics = page.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")


def heap_mib(page: Page) -> float:
    """Return the size of the page's objects after a collection of garbage."""
    page.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    usage = page.driver.execute_cdp_cmd("Runtime.getHeapUsage", {})
    return round(float(usage["usedSize"]) / 2**20, 1)


def measure(page: Page, server: ServerProcess, path: str, seconds: float) -> dict[str, Any]:
    """Return what was measured on a page."""
    page.open(f"{server.url}{path}")
    page.run("window.frames_ms.length = window.tasks_ms.length = 0; window.events = 0")
    page.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    begin, slowest, before = time.monotonic(), 0.0, busy_seconds(page)
    heaps_mib: list[float] = []
    while (passed := time.monotonic() - begin) < seconds:
        asked = time.monotonic()
        server.client.get("/livez").raise_for_status()
        slowest = max(slowest, time.monotonic() - asked)
        if passed > seconds * len(heaps_mib) / 3:
            heaps_mib.append(heap_mib(page))
        time.sleep(0.1)
    found: dict[str, Any] = page.run(READ)
    busy = (busy_seconds(page) - before) / (time.monotonic() - begin)
    return {
        **found,
        "busy_percent": round(100 * busy),
        "events_per_second": round(found["events"] / seconds),
        "heap_mib": [*heaps_mib, heap_mib(page)],
        "slowest_reply_ms": round(slowest * 1000),
    }


def main(pending: int, seconds: float, paths: list[str]) -> None:
    """Measure these pages, or the overview, the list of tasks and a log that grows."""
    with ExitStack() as stack:
        driver = start_browser(stack.enter_context(TemporaryDirectory()))
        stack.callback(driver.quit)
        server = scenes.start("--pool-size", "8", "--store", "memory")
        stack.callback(server.close)
        scenes.submit(server, [{"name": "talking", "handler": "talk", "params": {"seconds": 3600}}])
        for begin in range(0, pending, 1000):
            waiting = [{"name": f"waiting/{each}", "duration": 600_000, "delay": 3_600_000} for each in range(1000)]
            scenes.submit(server, [{**task, "name": f"waiting/{begin}/{at}"} for at, task in enumerate(waiting)])
        stop = Event()
        flood = Thread(target=keep_busy, args=(server, stop))
        flood.start()
        page = Page(driver)
        page.look()
        with page.running_first(WATCH):
            for path in paths or ("/", "/ui/tasks", f"/ui/tasks/{scenes.task_id(server, 'talking')}"):
                print(path, measure(page, server, path, seconds), flush=True)  # noqa: T201  (a program)
            driver.get("about:blank")
        stop.set()
        flood.join()


if __name__ == "__main__":
    [pending] = sys.argv[1:2] or ["100000"]
    [seconds] = sys.argv[2:3] or ["20"]
    main(int(pending), float(seconds), sys.argv[3:])
