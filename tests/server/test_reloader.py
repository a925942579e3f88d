"""A reload in a server of the test's own Trio run: what it changes, what it reports, and what it refuses."""

from __future__ import annotations

import hmac
import json
import os
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
import trustme
from structlog.testing import capture_logs

from pexecutor import reload as reload_module
from pexecutor.access import hash_token
from pexecutor.config import FILE_BYTES_MAX, Config, HttpKind, load_config
from pexecutor.core.executor import Executor
from pexecutor.core.settings import ExecutorSettings
from pexecutor.observe.events import Reloaded, SettingChange
from pexecutor.reload import RELOADED, compare
from pexecutor.server import serve

TOKENS = {name: f"pex_{name:x<43}" for name in ("admin", "old", "new")}

SLEEPY = '[handlers.nap]\ncommand = ["sleep", "60"]\n'


def token(name: str, scope: str = "admin") -> str:
    return f'[tokens.{name}]\nsha256 = "{hash_token(TOKENS[name])}"\nscope = "{scope}"\n'


class Live:
    """A server that runs, and its settings file."""

    def __init__(self, file: Path, client: httpx2.AsyncClient) -> None:
        self.file = file
        self.client = client

    async def reload(self, text: str | None = None) -> httpx2.Response:
        if text is not None:
            await trio.Path(self.file).write_text(text)
        return await self.client.post("/reload")

    async def get(self, path: str) -> Any:
        reply = await self.client.get(path)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def until_running(self) -> None:
        while not await self.get("/tasks/running"):  # noqa: ASYNC110
            await trio.sleep(0.01)


@asynccontextmanager
async def serving(file: Path, text: str, **flags: Any) -> AsyncIterator[Live]:
    """Serve with a settings file on a free port, with the tasks in memory."""
    await trio.Path(file).write_text(text)
    load = partial(load_config, file=file, environment={}, flags={"port": 0, "store": "memory", **flags})

    async def run(task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        def announce(url: str) -> None:
            task_status.started(url)

        await serve(load(), announce=announce, load=load)

    async with trio.open_nursery() as nursery:
        url = await nursery.start(run)
        async with httpx2.AsyncClient(base_url=url, timeout=20, verify=False) as client:
            yield Live(file, client)
        nursery.cancel_scope.cancel()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], Reloaded]] = {
    "nothing": ({"port": 1}, {"port": 1}, Reloaded()),
    "a value": ({}, {"pool_size": 9}, Reloaded((SettingChange("pool_size"),))),
    "a restart": ({}, {"port": 1, "queue_size": 7}, Reloaded((), ("port", "queue_size"))),
    "a list": ({}, {"allowed_hosts": ("a.example",)}, Reloaded((SettingChange("allowed_hosts"),))),
    "tables": (
        {"handlers": {"b": {"x": 1}, "c": {"x": 1}, "same": {}}},
        {"handlers": {"c": {"x": 2}, "a": {}, "same": {}}},
        Reloaded((SettingChange("handlers", added=("a",), changed=("c",), removed=("b",)),)),
    ),
    "an order": ({"limits": {"a": {}, "b": {}}}, {"limits": {"b": {}, "a": {}}}, Reloaded()),
    "both": (
        {"tokens": {"ci": {"sha256": "0"}}},
        {"tokens": {"ci": {"sha256": "1"}}, "store": "memory"},
        Reloaded((SettingChange("tokens", changed=("ci",)),), ("store",)),
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CASES.values(), ids=CASES)
def test_the_difference_names_settings_and_entries_without_values(
    old: dict[str, Any], new: dict[str, Any], expected: Reloaded
) -> None:
    assert compare(Config(**old), Config(**new)) == expected


def test_each_setting_is_either_reloaded_or_needs_a_restart() -> None:
    assert RELOADED.issubset(Config.__struct_fields__)


def test_a_change_reads_as_one_line() -> None:
    assert SettingChange("pool_size").text() == "pool_size"
    assert SettingChange("tokens", ("a", "b"), (), ("c",)).text() == "tokens: added a b, removed c"


async def test_the_reply_the_log_and_the_event_say_what_changed(file: Path) -> None:
    async with serving(file, SLEEPY) as live, live.client.stream("GET", "/events") as events:
        with capture_logs() as log:
            reply = await live.reload('pool_size = 7\nqueue_size = 3\n[handlers.doze]\ncommand = ["true"]\n')
        difference = {
            "changed": [{"setting": "pool_size"}, {"setting": "handlers", "added": ["doze"], "removed": ["nap"]}],
            "restart_needed": ["queue_size"],
        }
        assert (reply.status_code, reply.json()) == (200, difference)
        [line] = [line for line in log if line["event"] == "settings reloaded"]
        assert line["changed"] == ["pool_size", "handlers: added doze, removed nap"]
        assert (line["restart_needed"], line["log_level"]) == (["queue_size"], "warning")
        assert [handler["name"] for handler in await live.get("/handlers")] == ["doze", "sleep"]
        assert (await live.get("/readyz"))["statistics"]["pool_size"] == 7
        schemas = (await live.get("/openapi.json"))["components"]["schemas"]
        assert ("Params.doze" in schemas, "Params.nap" in schemas) == (True, False)
        assert (await live.reload()).json() == {"changed": [], "restart_needed": ["queue_size"]}
        await live.client.post("/drain")  # ends the stream
        first = next(part for part in (await events.aread()).decode().split("\n\n") if "event: reloaded" in part)
        assert json.loads(first.partition("data: ")[2]) == difference


BROKEN = {
    "TOML": ("pool_size = 2\nport = = 3\n", "at line 2"),
    "cut off": ('pool_size = 2\nlog_level = "', "at line 2"),
    "unknown setting": ("pool_sise = 2\n", "did you mean `pool_size`"),
    "wrong type": ('pool_size = "2"\n', "pool_size in"),
    "out of range": ("pool_size = 0\n", "pool_size in"),
    "handler": ("[handlers.nap]\ncommand = 3\n", "handlers.nap"),
    "handler of a schedule": ('[schedules.s]\nevery = 60000\ntask = {name = "a", handler = "nap"}\n', "schedules.s"),
    "handler of a hook": (
        '[hooks.h]\nscheme = "bearer"\nsecret = "0123456789abcdef"\ntask = {name = "a", handler = "nap"}\n',
        "hooks.h",
    ),
    "secret of a hook": ('[hooks.h]\nscheme = "bearer"\nsecret = "${NOT_SET}"\ntask = {name = "a"}\n', "NOT_SET"),
    "token": ('[tokens.ci]\nsha256 = "1"\nscope = "read"\n', "tokens.ci"),
    "contradiction": (f"allow_anonymous = true\n{token('admin')}", "contradict"),
    "host": ('allowed_hosts = ["*"]\n', "allowed_hosts"),
    "notify": ('[notify.ops]\nurl = "ftp://example.org"\n', "notify.ops"),
    "limit": ("[limits.disk]\nconcurrency = 0\n", "limits.disk"),
    "certificate": ('tls_certfile = "/nowhere.pem"\n', "/nowhere.pem"),
    "long number": (f"pool_size = {'9' * 5000}\n", "a number is too long"),
    "deep value": (f"limits = {'[' * 5000}\n", "too many levels"),
    "large file": ("#" * (FILE_BYTES_MAX + 1), "is it a file of settings?"),
    "key alone": ('tls_keyfile = "/nowhere.pem"\n', "tls_certfile"),
}


async def test_a_broken_file_changes_nothing(file: Path) -> None:
    async with serving(file, SLEEPY) as live:
        before = await live.get("/handlers")
        for kind, (text, part) in BROKEN.items():
            with capture_logs() as log:
                # What is valid in the file must not take effect either.
                reply = await live.reload(
                    f'{text}\n[handlers.other]\ncommand = ["true"]\n' if kind != "cut off" else text
                )
            assert (reply.status_code, part in reply.json()["detail"]) == (422, True), (kind, reply.text)
            assert [(line["log_level"], line["reason"]) for line in log if "settings" in line["event"]] == [
                ("error", reply.json()["detail"])
            ], kind
        assert await live.get("/handlers") == before
        await trio.Path(file).unlink()
        assert "cannot read" in (await live.reload()).json()["detail"]
        assert (await live.reload(SLEEPY)).json() == {"changed": [], "restart_needed": []}


@pytest.mark.parametrize("server", ["hypercorn", "fast"])
async def test_an_admin_can_remove_its_own_token(file: Path, server: HttpKind) -> None:
    async with serving(file, token("old") + token("admin"), server=server) as live:
        live.client.headers["authorization"] = f"Bearer {TOKENS['old']}"
        reply = await live.reload(token("admin") + token("new"))
        assert (reply.status_code, reply.json()["changed"]) == (
            200,
            [{"setting": "tokens", "added": ["new"], "removed": ["old"]}],
        )
        assert (await live.reload()).status_code == 401
        live.client.headers["authorization"] = f"Bearer {TOKENS['new']}"
        assert (await live.reload()).status_code == 200


async def test_the_last_token_stays_on_an_address_that_others_can_reach(file: Path) -> None:
    async with serving(file, token("admin"), host="0.0.0.0") as live:
        live.client.base_url = str(live.client.base_url).replace("0.0.0.0", "127.0.0.1")
        live.client.headers["authorization"] = f"Bearer {TOKENS['admin']}"
        reply = await live.reload("")
        assert (reply.status_code, "reachable from other machines" in reply.text) == (422, True)
        assert (await live.reload("allow_anonymous = true\n")).status_code == 200
        assert (await live.reload("")).status_code == 422


async def test_hooks_change_and_their_remembered_deliveries_stay(file: Path) -> None:
    hook = '[hooks.{}]\nscheme = "standard"\nsecret = "{}"\ntask = {{name = "{}"}}\n'
    secrets = [f"whsec_{'a' * 32}", f"whsec_{'b' * 32}"]

    async def deliver(live: Live, name: str, secret: str, delivery_id: str = "d") -> httpx2.Response:
        return await live.client.post(f"/hooks/{name}", content=b"{}", headers=signed(secret, delivery_id))

    async with serving(file, hook.format("h", secrets[0], "first") + hook.format("gone", secrets[0], "x")) as live:
        first = (await deliver(live, "h", secrets[0])).json()
        assert (await live.reload(hook.format("h", secrets[1], "second"))).status_code == 200
        assert (await deliver(live, "gone", secrets[0])).status_code == 404
        assert (await deliver(live, "h", secrets[0])).status_code == 401
        assert (await deliver(live, "h", secrets[1])).json()["id"] == first["id"]
        assert (await deliver(live, "h", secrets[1], "e")).json()["name"] == "second"


def signed(secret: str, delivery_id: str) -> dict[str, str]:
    at = str(int(time.time()))
    digest = hmac.new(b64decode(secret[6:]), f"{delivery_id}.{at}.{{}}".encode(), sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }


async def test_equal_schedules_add_no_run_and_a_table_that_is_gone_is_removed(file: Path) -> None:
    table = '[schedules.s]\nevery = 3600000\ntask = {name = "a", handler = "nap"}\n'
    async with serving(file, SLEEPY + table) as live:
        assert (await live.client.post("/schedules/s/run")).status_code == 202
        await live.until_running()
        before = await live.get("/schedules/s")
        for _ in range(3):
            assert (await live.reload()).status_code == 200
        assert await live.get("/schedules/s") == before
        assert (await live.reload(SLEEPY)).json()["changed"] == [{"setting": "schedules", "removed": ["s"]}]
        assert (await live.client.get("/schedules/s")).status_code == 404
        assert [(task["name"], task["state"]) for task in await live.get("/tasks")] == [("a", "running")]


async def test_a_second_reload_waits_for_the_first_and_reads_the_file_again(file: Path) -> None:
    replies: list[httpx2.Response] = []

    async def reload(live: Live) -> None:
        replies.append(await live.reload())

    async with serving(file, "pool_size = 2\n") as live:
        await trio.Path(file).write_text("pool_size = 3\n")
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(reload, live)
        assert sorted(len(reply.json()["changed"]) for reply in replies) == [0, 0, 0, 0, 1]


async def test_a_file_that_cannot_be_read_to_its_end_holds_up_no_later_reload(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(file, "pool_size = 2\n") as live:
        await trio.Path(file).unlink()
        os.mkfifo(file)
        with monkeypatch.context() as patch:
            patch.setattr(reload_module, "LOAD_SECONDS_MAX", 0.1)
            reply = await live.reload()
        assert (reply.status_code, "regular file" in reply.json()["detail"]) == (422, True)
        os.close(os.open(file, os.O_WRONLY))  # the thread that reads can end
        await trio.Path(file).unlink()
        assert (await live.reload("pool_size = 3\n")).json()["changed"] == [{"setting": "pool_size"}]


async def test_a_certificate_that_cannot_be_read_to_its_end_is_refused(file: Path, tmp_path: Path) -> None:
    async with serving(file, SLEEPY) as live:
        os.mkfifo(tmp_path / "pipe")
        await trio.Path(tmp_path / "large").write_bytes(bytes(FILE_BYTES_MAX + 1))
        for name, part in (("pipe", "is not a regular file"), ("large", "the limit is"), ("", "is not a regular file")):
            with trio.fail_after(10):
                reply = await live.reload(f'tls_certfile = "{tmp_path / name}"\n')
            assert (reply.status_code, part in reply.json()["detail"]) == (422, True)


def hourly(*names: str) -> str:
    return "".join(f'[schedules.{name}]\nevery = 3600000\ntask = {{name = "{name}"}}\n' for name in names)


async def test_more_schedules_than_the_store_keeps_change_nothing(file: Path) -> None:
    begin = "schedules_max = 3\n"
    async with serving(file, begin + hourly("a", "b")) as live:
        assert (await live.client.put("/schedules/api", json={"every": 3_600_000, "task": {"name": "x"}})).is_success
        with capture_logs() as log:
            reply = await live.reload(f"pool_size = 7\n{begin}" + hourly("b", "c", "d"))
        detail = "there would be 4 schedules, and the store keeps at most 3 (`schedules_max`): remove some"
        assert (reply.status_code, reply.json()["detail"]) == (422, detail)
        assert [line["reason"] for line in log if line["log_level"] == "error"] == [detail]
        assert [schedule["name"] for schedule in await live.get("/schedules")] == ["a", "api", "b"]
        assert (await live.get("/readyz"))["statistics"]["pool_size"] != 7

        # Others in their place have room.
        assert (await live.reload(begin + hourly("c", "d"))).status_code == 200
        assert [schedule["name"] for schedule in await live.get("/schedules")] == ["api", "c", "d"]


async def test_a_reload_during_the_drain_is_refused(file: Path) -> None:
    async with serving(file, SLEEPY) as live:
        await live.client.post("/tasks", json={"name": "a", "handler": "nap"})
        await live.until_running()
        await live.client.post("/drain")
        reply = await live.reload("pool_size = 3\n")
        assert (reply.status_code, reply.json()["title"]) == (503, "Service Unavailable")


async def test_the_log_level_changes_at_once(file: Path) -> None:
    async with serving(file, 'log_level = "info"\n') as live:

        async def submitted(name: str) -> list[str]:
            with capture_logs() as log:
                await live.client.post("/tasks?wait=20", json={"name": name})
            return sorted({line["event"] for line in log} & {"submitted", "task"})

        await live.reload('log_level = "error"\n')
        assert await submitted("a") == []
        await live.reload('log_level = "debug"\n')
        assert await submitted("b") == ["submitted", "task"]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("server", ["hypercorn", "fast"])
async def test_new_connections_get_the_new_certificate(
    file: Path, tmp_path: Path, authority: trustme.CA, server: HttpKind
) -> None:
    pem = tmp_path / "server.pem"

    def issue(host: str) -> None:
        authority.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(str(pem))

    async def served_hosts(live: Live) -> bool:
        """Return whether the certificate of a new connection is for ``new.example``."""
        return await _is_for(live, "new.example", authority)

    issue("old.example")
    text = f'tls_certfile = "{pem}"\nallowed_hosts = ["old.example", "new.example"]\n'
    async with serving(file, text, server=server) as live:
        assert (await live.reload()).json() == {"changed": [], "restart_needed": []}
        assert not await served_hosts(live)
        issue("new.example")
        assert (await live.reload()).json()["changed"] == [{"setting": "tls_certfile"}]
        assert await served_hosts(live)
        await trio.Path(pem).write_text("broken")
        assert (await live.reload()).status_code == 422
        assert await served_hosts(live)
        assert (await live.reload("")).json() == {
            "changed": [{"setting": "allowed_hosts"}],
            "restart_needed": ["tls_certfile"],
        }
        assert await served_hosts(live)


async def _is_for(live: Live, name: str, authority: trustme.CA) -> bool:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    host, port = live.client.base_url.host, live.client.base_url.port
    assert port is not None
    stream = trio.SSLStream(await trio.open_tcp_stream(host, port), context, server_hostname=name)
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError:
        return False
    finally:
        await stream.transport_stream.aclose()
    return True


@pytest.mark.parametrize("is_whole", [True, False], ids=["after the exchange", "before the exchange"])
async def test_a_reload_that_takes_too_long_is_whole_or_changes_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch, *, is_whole: bool
) -> None:
    apply_settings = Executor.apply_settings

    async def stuck(executor: Executor, new: ExecutorSettings) -> None:
        if is_whole:
            await apply_settings(executor, new)
        await trio.sleep_forever()

    monkeypatch.setattr(Executor, "apply_settings", stuck)
    monkeypatch.setattr(reload_module, "APPLY_SECONDS_MAX", 0.2)
    async with serving(file, token("admin") + token("old")) as live:
        live.client.headers["Authorization"] = f"Bearer {TOKENS['admin']}"
        reply = await live.reload(token("admin"))
        assert reply.status_code == (200 if is_whole else 422)
        old = await live.client.get("/tasks", headers={"Authorization": f"Bearer {TOKENS['old']}"})
        assert old.status_code == (401 if is_whole else 200)


async def test_a_reload_whose_caller_leaves_is_whole(file: Path) -> None:
    async with serving(file, "pool_size = 2\n") as live:
        await trio.Path(file).write_text(f"pool_size = 3\n{SLEEPY}")
        with trio.move_on_after(0.001):
            await live.reload()
        for _ in range(50):
            size, names = (await live.get("/readyz"))["statistics"]["pool_size"], await live.get("/handlers")
            assert (size, len(names)) in ((2, 1), (3, 2))
