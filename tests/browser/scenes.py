"""Servers with data for the dashboard to show: nothing at all, and a busy day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..server.process import ServerProcess, eventually

HANDLERS = str(Path(__file__).with_name("handlers.py"))
SETTINGS = str(Path(__file__).with_name("settings.toml"))

POOL_SIZE = 8
PENDING = 5000
FINISHED = 300

LONG_NAME = "web/build-4712 (refs/heads/feature/checkout-redesign-with-a-very-long-branch-name-that-needs-room)"
ARABIC_NAME = "تقرير-المبيعات-الشهري-2026-11"
EMOJI_NAME = "🎉 newsletter/launch-de"
CYRILLIC_NAME = "encode/урок-12-введение-в-алгоритмы-и-структуры-данных.mp4"
PASSWORD_FAULT = "password authentication failed for user “backup”"
SCRIPT_NAME = "<script>alert(1)</script>"

RUNNING: list[dict[str, Any]] = [
    {"name": "encode/trailer-4k.mov", "handler": "encode", "params": {"frames": 200, "seconds": 4000}},
    {"name": LONG_NAME, "handler": "build", "tags": ["team:web", "branch"], "retries": 3, "priority": 5},
    {"name": CYRILLIC_NAME, "handler": "encode", "params": {"frames": 40, "seconds": 900}},
    {"name": ARABIC_NAME, "handler": "build"},
    {"name": "invoices/stark-2026-10", "handler": "import_invoices", "params": {"account": "stark"}},
    {"name": "invoices/stark-2026-11", "handler": "import_invoices", "params": {"account": "stark"}},
    {"name": "encode/interview.mp4", "handler": "encode", "params": {"frames": 400, "seconds": 900}},
    {"name": "warmup/cache-eu", "duration": 1_200_000},
]

ENDING: list[dict[str, Any]] = [
    {
        "name": "backup/crm-nightly",
        "handler": "fail",
        "params": {"message": PASSWORD_FAULT},
    },
    {"name": "reports/weekly", "handler": "fail", "retries": 2, "retry_delay": 300, "tags": ["reports"]},
    {"name": "thumbs/catalogue-2026", "duration": 900_000, "timeout": 60},
    {"name": "greeting", "handler": "greet", "params": {"greeting": "hello", "name": "world"}},
    {"name": "call", "handler": "call", "params": {"place": "nowhere"}},
    {"name": "web/build-4711", "handler": "build", "params": {"seconds": 0.2}},
    {"name": "web/build-4710", "handler": "build", "params": {"seconds": 0.2, "fails": True}},
    {"name": SCRIPT_NAME, "duration": 11},
    {"name": "pictures/holiday-1", "handler": "resize", "params": {"path": "holiday-1.jpg", "size": {"width": 320}}},
]

WAITING: list[dict[str, Any]] = [
    {"name": "invoices/stark-2026-12", "handler": "import_invoices", "params": {"account": "stark"}, "priority": 10},
    {"name": "invoices/stark-2027-01", "handler": "import_invoices", "params": {"account": "stark"}, "priority": 10},
    {"name": EMOJI_NAME, "duration": 1000, "priority": 10},
    *({"name": f"thumbnails/holiday-{number:05}.jpg", "duration": 600_000} for number in range(PENDING - 3)),
]

SCHEDULED: list[dict[str, Any]] = [
    {"name": "digest/weekly", "delay": 540_000},
    {"name": "backup/hourly", "delay": 3_600_000, "tags": ["nightly"]},
    {"name": "certificates/check", "delay": 86_400_000},
]

SCHEDULES: dict[str, dict[str, Any]] = {
    "sync-crm": {"every": 60_000, "task": {"name": "sync/crm"}},
    "certificates": {"every": 21_600_000, "task": {"name": "certificates/renew"}},
    "report-hourly": {"cron": "0 * * * *", "timezone": "Europe/Berlin", "task": {"name": "report/hourly"}},
    "sales-emea": {"cron": "0 8,12,16 * * MON-FRI", "timezone": "Europe/Berlin", "task": {"name": "report/sales-emea"}},
    ARABIC_NAME: {"cron": "0 22 L * *", "timezone": "Europe/Berlin", "task": {"name": "report/monthly"}},
    "backup-crm": {
        "cron": "0 3 * * *",
        "timezone": "America/New_York",
        "jitter": 60_000,
        "task": {"name": "backup/crm-nightly", "handler": "fail", "params": {"message": PASSWORD_FAULT}},
    },
    "newsletter-weekly": {"cron": "0 9 * * TUE", "paused": True, "task": {"name": "newsletter/weekly"}},
    "cache-eu": {"every": 1000, "task": {"name": "warmup/cache-eu"}},
}

OCCURRENCES: dict[str, int] = {"report-hourly": 9, "sales-emea": 4, "backup-crm": 3, "newsletter-weekly": 10}
"""How often each schedule has run its task."""

ABANDONED: dict[str, Any] = {"name": "export/ledger-2026-11", "duration": 600_000, "on_crash": "fail"}


def start(*flags: str) -> ServerProcess:
    """Start a server with the handlers and the settings of these tests."""
    own = ("--port", "0", "--handlers", HANDLERS, "--config", SETTINGS, "--queue-size", "200000")
    return ServerProcess(*own, *flags)


@contextmanager
def empty() -> Iterator[ServerProcess]:
    """A server that has had no task."""
    server = start("--pool-size", str(POOL_SIZE))
    yield server
    server.close()


@contextmanager
def busy(*, pending: int = PENDING) -> Iterator[ServerProcess]:
    """A server with tasks in each state and with each outcome."""
    with TemporaryDirectory() as data:
        flags = ("--pool-size", str(POOL_SIZE), "--data-dir", data)
        _leave_abandoned(*flags)
        server = start(*flags)
        _fill(server, WAITING[: max(3, pending)])
        yield server
        server.close()


def _leave_abandoned(*flags: str) -> None:
    """Start a task and kill its server, so that the next server finds the task abandoned."""
    server = start(*flags)
    submit(server, [ABANDONED])
    eventually(lambda: server.client.get("/tasks/running").json())
    server.kill()
    server.close()


def _fill(server: ServerProcess, waiting: list[dict[str, Any]]) -> None:
    submit(server, [{"name": f"newsletter/batch-{number:04}", "duration": 5} for number in range(FINISHED - 11)])
    submit(server, ENDING)
    for name, schedule in SCHEDULES.items():
        if name != "cache-eu":
            server.client.put(f"/schedules/{name}", json=schedule).raise_for_status()
    for name, runs in OCCURRENCES.items():
        run_schedule(server, name, runs)
    eventually(lambda: server.client.get("/readyz").json()["statistics"]["store"]["pending"] == 0)
    eventually(lambda: _named(server, "reports/weekly")["state"] == "finished")
    submit(server, RUNNING)
    eventually(lambda: len(server.client.get("/tasks/running").json()) == POOL_SIZE)
    submit(server, [*SCHEDULED, {"name": "encode/draft-v3.mov", "delay": 600_000}, *waiting])
    server.client.delete(f"/tasks/{_named(server, 'encode/draft-v3.mov')['id']}").raise_for_status()
    server.client.put("/schedules/cache-eu", json=SCHEDULES["cache-eu"]).raise_for_status()


def submit(server: ServerProcess, tasks: list[dict[str, Any]]) -> None:
    """Submit tasks, all of which the server must accept."""
    reply = server.client.post("/tasks?verdicts=none", json=tasks)
    assert reply.status_code == 200, reply.text


def run_schedule(server: ServerProcess, name: str, runs: int = 1) -> None:
    """Run the task of a schedule several times, one after another."""
    for _ in range(runs):
        task = server.client.post(f"/schedules/{name}/run").raise_for_status().json()["id"]
        server.client.get(f"/tasks/{task}?wait=20").raise_for_status()


def _named(server: ServerProcess, name: str) -> dict[str, Any]:
    records: list[dict[str, Any]] = server.client.get("/tasks", params={"name": name}).json()
    return records[0]


def task_id(server: ServerProcess, name: str) -> str:
    """Return the id of the task with this name."""
    found: str = _named(server, name)["id"]
    return found
