"""Every path has one spelling, so that no client can get around a proxy's rules for a path by another spelling."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..conftest import Served
from ..needs import NEEDS
from ..raw import RawReply, connected, request
from ..replies import problem_in

ROUTES = [need.split(" ") for need in NEEDS if "{}" not in need and need != "GET /"]

OTHERS: dict[str, Callable[[str], str]] = {
    "two slashes": lambda path: "/" + path,
    "three slashes": lambda path: "//" + path,
    "a slash at the end": lambda path: path + "/",
    "two slashes at the end": lambda path: path + "//",
    "an encoded slash before": lambda path: "/%2F" + path[1:],
    "an encoded slash for the first": lambda path: "%2F" + path[1:],
    "an encoded slash at the end": lambda path: path + "%2F",
    "encoded slashes inside": lambda path: "/" + path[1:].replace("/", "%2F") + ("%2f" if path.count("/") == 1 else ""),
    "the first letter encoded": lambda path: f"/%{ord(path[1]):02x}{path[2:]}",
    "the last letter encoded": lambda path: f"{path[:-1]}%{ord(path[-1]):02X}",
    "encoded twice": lambda path: f"/%25{ord(path[1]):02x}{path[2:]}",
    "a dot segment": lambda path: "/." + path,
    "a dot segment at the end": lambda path: path + "/.",
    "up and down": lambda path: "/x/.." + path,
    "up at the root": lambda path: "/.." + path,
    "encoded dots": lambda path: "/x/%2e%2e" + path,
    "an encoded dot": lambda path: "/%2e" + path,
    "up with a parameter": lambda path: "/x/..;" + path,
    "upper case": lambda path: "/" + path[1:].swapcase() if path[1:].swapcase() != path[1:] else path + "/",
    "a parameter": lambda path: path + ";x=1",
    "an empty parameter": lambda path: path + ";",
    "a backslash": lambda path: "/\\" + path[1:],
    "an encoded backslash": lambda path: "/%5C" + path[1:],
    "a backslash at the end": lambda path: path + "\\",
    "a space at the end": lambda path: path + "%20",
    "a NUL at the end": lambda path: path + "%00",
    "a tab at the end": lambda path: path + "%09",
    "a fragment": lambda path: path + "#x",
    "an encoded question mark": lambda path: path + "%3Fx=1",
    "absolute, two slashes": lambda path: "http://localhost/" + path,
    "absolute, encoded": lambda path: f"http://localhost/%{ord(path[1]):02x}{path[2:]}",
    "absolute, up": lambda path: "http://localhost/x/.." + path,
    "absolute, in itself": lambda path: "/http://localhost" + path,
    "absolute, encoded scheme": lambda path: "http:%2F%2Flocalhost" + path,
    "no slash": lambda path: path[1:],
}


async def ask(served: Served, data: bytes) -> RawReply:
    async with connected(served.port) as client:
        return await client.ask(data)


@pytest.mark.parametrize("spelling", OTHERS)
async def test_another_spelling_is_not_found(served: Served, spelling: str) -> None:
    for method, path in ROUTES:
        other = OTHERS[spelling](path)
        reply = await ask(served, request(f"{method} {other}", body=b"" if method == "POST" else None))
        # `POST /tasks/bulk;` is the path of a task, which has other methods.
        refused = (400, 404, 405) if path == "/tasks/bulk" else (400, 404)
        assert reply.status_code in refused, (method, other)
    assert served.executor.statistics().phase == "serving"


@pytest.mark.parametrize("other", ["/tasks/%{:02x}{}", "//tasks/{2}", "/tasks//{2}", "/tasks/{2}/", "/tasks/./{2}"])
async def test_a_task_has_one_path(served: Served, other: str) -> None:
    task = (await served.client.post("/tasks", json={"name": "a", "delay": 60000})).json()["id"]
    path = other.format(ord(task[0]), task[1:], task)

    problem_in(await ask(served, request(f"GET {path}")), 404)
    problem_in(await ask(served, request(f"DELETE {path}")), 404)
    assert (await ask(served, request(f"GET /tasks/{task}"))).json()["state"] == "scheduled"


@pytest.mark.parametrize("target", ["/livez", "/livez?", "http://localhost/livez", "HTTP://LOCALHOST:1/livez?"])
async def test_the_one_spelling_is_found(served: Served, target: str) -> None:
    assert (await ask(served, request(f"GET {target}"))).status_code == 200
