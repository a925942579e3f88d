"""The examples work: a server with the settings file and the module, and a program that embeds the executor."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest
from PIL import Image

from .conftest import PROJECT, ServerProcess, clean_environment, serving

EXAMPLES = PROJECT / "examples"

TOKEN = "a-secret"
WAIT_SECONDS = 30


class Received(NamedTuple):
    """A request that the receiver of the HTTP call got."""

    path: str
    authorization: str | None
    body: dict[str, Any]


@contextmanager
def chat_service(received: list[Received]) -> Iterator[int]:
    """Run the receiver of the HTTP call; yield its port. It refuses the first request (503) and accepts the others."""

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(Received(self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(503 if len(received) == 1 else 201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Chat) as service:
        thread = Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service.server_port
        finally:
            service.shutdown()
            thread.join()


class Served(NamedTuple):
    """A server with the examples' handlers, its working directory, and the requests that its HTTP calls sent."""

    server: ServerProcess
    home: Path
    received: list[Received]

    def submit(self, **task: Any) -> dict[str, Any]:
        """Submit a task and wait for its outcome."""
        record = self._ask("/tasks", task)
        ended: dict[str, Any] = self._ask(f"/tasks/{record['id']}?wait={WAIT_SECONDS}")
        return ended

    def handlers(self) -> set[str]:
        return {handler["name"] for handler in self._ask("/handlers")}

    def _ask(self, path: str, content: dict[str, Any] | None = None) -> Any:
        request = Request(f"http://127.0.0.1:{self.server.port}{path}", headers={"Content-Type": "application/json"})
        request.data = None if content is None else json.dumps(content).encode()
        with urlopen(request, timeout=2 * WAIT_SECONDS) as response:
            return json.load(response)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("served")
    received: list[Received] = []
    with ExitStack() as stack:
        port = stack.enter_context(chat_service(received))
        settings = (EXAMPLES / "pexecutor.toml").read_text(encoding="utf-8")
        assert "port = 8080" in settings
        assert "http://127.0.0.1:9000/" in settings
        settings = settings.replace("port = 8080", "port = 0").replace(":9000/", f":{port}/")
        (home / "pexecutor.toml").write_text(settings, encoding="utf-8")
        command = [sys.executable, "-m", "pexecutor", "--config", "pexecutor.toml"]
        command += ["--handlers", str(EXAMPLES / "thumbnails.py")]
        server = stack.enter_context(serving(command, home, CHAT_TOKEN=TOKEN, PEXECUTOR_DATA_DIR=str(home)))
        yield Served(server, home, received)
        status, log = server.stop()
    assert status == 0
    assert TOKEN not in log


def test_the_server_has_the_handlers_of_both(served: Served) -> None:
    assert served.handlers() == {"sleep", "backup", "notify", "thumbnail"}


def test_a_backup_is_made(served: Served) -> None:
    (served.home / "-notes").mkdir()
    (served.home / "-notes" / "today.txt").write_text("buy milk\n", encoding="utf-8")

    record = served.submit(name="backup", handler="backup", params={"file": "notes.tar.gz", "folder": "-notes"})

    assert record["outcome"] == "succeeded", record
    assert record["output"]["exit_code"] == 0
    assert record["output"]["stdout"].split() == ["-notes/", "-notes/today.txt"]
    with tarfile.open(served.home / "notes.tar.gz") as archive:
        assert "-notes/today.txt" in archive.getnames()


def test_a_message_arrives_in_the_second_attempt(served: Served) -> None:
    params = {"team": "night shift", "text": "the backup is done"}

    record = served.submit(name="notify", handler="notify", params=params, retries=5, retry_delay=10)

    assert record["outcome"] == "succeeded", record
    assert record["result"] == {"status": 201}
    assert [attempt.get("error") for attempt in record["attempts"]] == ["status 503", None]
    assert TOKEN not in json.dumps(record)
    assert served.received == 2 * [
        Received("/teams/night%20shift/messages", f"Bearer {TOKEN}", {"text": "the backup is done"})
    ]


def test_a_thumbnail_is_made(served: Served) -> None:
    Image.new("RGB", (640, 480), "teal").save(served.home / "big.png")
    params = {"source": "big.png", "target": "small.png", "width": 64}

    record = served.submit(name="thumbnail", handler="thumbnail", params=params)

    assert record["outcome"] == "succeeded", record
    assert record["result"] == {"width": 64, "height": 48}
    assert record["output"]["log"] == "big.png is 640 x 480, PNG\n"
    with Image.open(served.home / "small.png") as small:
        assert small.size == (64, 48)


def test_what_is_no_image_makes_no_thumbnail(served: Served) -> None:
    (served.home / "text.png").write_text("not an image", encoding="utf-8")

    record = served.submit(name="text", handler="thumbnail", params={"source": "text.png", "target": "none.png"})

    assert record["outcome"] == "failed"
    assert "cannot identify image file" in record["error"]
    assert not list(served.home.glob("*none.png"))


def test_an_executor_is_embedded() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / "embed.py")],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")
    refused, *reports, executor = run.stdout.splitlines()
    assert refused == "level: refused, as a pending task has this name"
    assert sorted(reports) == [
        'drain: succeeded in attempt 2, "niard"',
        'executor: succeeded in attempt 1, "rotucexe"',
        'level: succeeded in attempt 1, "level"',
        'trio: succeeded in attempt 1, "oirt"',
    ]
    assert executor == "<Executor stopped, 0 of 2 running, 0 of 100 pending>"


def expressions(part: Any) -> Iterator[str]:
    """Yield all Prometheus expressions of a dashboard."""
    match part:
        case {"expr": str(expression)} | {"query": {"query": str(expression)}}:
            yield expression
        case dict():
            yield from (found for inner in part.values() for found in expressions(inner))
        case list():
            yield from (found for inner in part for found in expressions(inner))


def test_the_dashboard_asks_for_every_metric_and_for_none_that_is_not_there(served: Served) -> None:
    dashboard = json.loads((EXAMPLES / "grafana.json").read_text(encoding="utf-8"))
    asked = re.findall(r"\b(?:pexecutor|process)_\w+", " ".join(expressions(dashboard)))
    with urlopen(f"http://127.0.0.1:{served.server.port}/metrics", timeout=WAIT_SECONDS) as response:
        there_are = re.findall(r"^# TYPE (\S+)", response.read().decode(), re.MULTILINE)

    assert {name.removesuffix("_bucket") for name in asked} <= set(there_are)
    assert {name for name in there_are if name.startswith("pexecutor_")} <= {
        *(name.removesuffix("_bucket") for name in asked),
        "pexecutor_history_tasks",
    }


def test_every_panel_of_the_dashboard_says_what_it_shows() -> None:
    panels = json.loads((EXAMPLES / "grafana.json").read_text(encoding="utf-8"))["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith(".")


def test_they_are_all_run() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {
        "thumbnails.py",
        "pexecutor.toml",
        "embed.py",
        "grafana.json",
    }
