"""Without free descriptors or threads, new work waits, and running work can end."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from pexecutor import Context, Task
from pexecutor.handlers import descriptors, load_catalogue
from pexecutor.handlers.descriptors import connections_bound, raise_limit
from pexecutor.handlers.processes import proc

from .conftest import Lab, task
from .processes.test_family import pid_in

MODULE = """
import pexecutor

@pexecutor.handler(process=True)
def apart(context) -> str:
    return "done"
"""


@contextmanager
def none_left() -> Iterator[None]:
    """Inside this context, no descriptor can be opened."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.open(os.devnull, os.O_RDONLY)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def log_of(context: Context) -> str:
    with trio.fail_after(10):
        while not (text := context.output.snapshot().log):  # noqa: ASYNC110
            await trio.sleep(0.01)
    return text


@pytest.mark.parametrize("kind", ["command", "command with input", "process"])
async def test_a_start_waits_for_descriptors(lab: Lab, context: Context, tmp_path: Path, kind: str) -> None:
    (tmp_path / "functions.py").write_text(MODULE)
    handler = {
        "command": lambda: lab.make(command=["true"]),
        "command with input": lambda: lab.make(command=["cat"], stdin=True),
        "process": lambda: load_catalogue(declared={}, modules=[str(tmp_path / "functions.py")], environment={})[
            "apart"
        ],
    }[kind]()
    params: dict[str, Any] = {"stdin": "x"} if kind == "command with input" else {}
    with none_left():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handler.run, context, task(**params))
            assert await log_of(context) == "waiting to start: Too many open files\n"
            resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    assert context.output.exit_code == 0
    assert context.output.snapshot().log == "waiting to start: Too many open files\n", "it is said once"


async def test_who_waits_for_descriptors_can_be_cancelled(lab: Lab, context: Context) -> None:
    with none_left(), trio.move_on_after(0.2) as scope:
        await lab.make(command=["true"]).run(context, task())
    assert scope.cancelled_caught


async def test_all_is_ended_without_a_descriptor(lab: Lab, context: Context, tmp_path: Path) -> None:
    daemon = 'env -i /usr/bin/setsid -f /bin/sh -c "echo \\$\\$ > $0; exec /bin/sleep 600"; sleep 600'
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lab.make(command=["bash", "-c", daemon, str(tmp_path / "pid")]).run, context, task())
        pid = await pid_in(tmp_path / "pid")
        with none_left():
            nursery.cancel_scope.cancel()
            with trio.fail_after(10) as bound:
                bound.shield = True
                while group_is_there(pid):  # noqa: ASYNC110
                    await trio.sleep(0.01)
    assert proc.look(pid) is None


def group_is_there(pid: int) -> bool:
    return proc.session_of(pid) is not None


async def test_without_threads_all_is_ended_as_well(
    lab: Lab, context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with trio.open_nursery() as nursery:
        command = ["bash", "-c", 'setsid sh -c "echo \\$\\$ > $0; exec sleep 600" & wait', str(tmp_path / "pid")]
        nursery.start_soon(lab.make(command=command).run, context, task())
        pid = await pid_in(tmp_path / "pid")
        monkeypatch.setattr(trio.to_thread, "run_sync", no_thread)
        nursery.cancel_scope.cancel()
    assert proc.look(pid) is None


async def no_thread(*_: object, **__: object) -> None:
    await trio.lowlevel.checkpoint()
    raise RuntimeError("can't start new thread")


async def test_a_function_waits_for_a_thread(
    context: Context, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, tmp_path: Path
) -> None:
    (tmp_path / "functions.py").write_text(MODULE.replace("(process=True)", ""))
    handler = load_catalogue(declared={}, modules=[str(tmp_path / "functions.py")], environment={})["apart"]
    with monkeypatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", no_thread)
        results: list[Any] = []

        async def run() -> None:
            results.append(await handler.run(context, Task("a", handler="apart")))

        nursery.start_soon(run)
        assert await log_of(context) == "waiting to start: can't start new thread\n"
    with trio.fail_after(10):
        while not results:  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert results == ["done"]


async def test_an_error_of_a_function_is_no_reason_to_call_it_again(context: Context, tmp_path: Path) -> None:
    function = MODULE.replace("(process=True)", "").replace(
        'return "done"', 'context.log("called"); raise OSError(24, "Too many open files")'
    )
    (tmp_path / "functions.py").write_text(function)
    handler = load_catalogue(declared={}, modules=[str(tmp_path / "functions.py")], environment={})["apart"]
    with pytest.raises(OSError, match="Too many open files"), trio.fail_after(10):
        await handler.run(context, Task("a", handler="apart"))
    log = context.output.snapshot().log
    assert log is not None
    assert log.startswith("called\nTraceback")
    assert log.splitlines().count("called") == 1


async def test_a_call_waits_for_a_descriptor(lab: Lab, context: Context, nursery: trio.Nursery) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    catalogue = load_catalogue(declared={"it": {"url": f"http://127.0.0.1:{port}/"}}, modules=[], environment={})
    async with catalogue.opened():
        with none_left():
            async with trio.open_nursery() as calls:
                calls.start_soon(catalogue["it"].run, context, task())
                assert await log_of(context) == "waiting to connect: no file descriptor is left\n"
                resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        assert context.output.status == 200
    nursery.cancel_scope.cancel()


async def test_commands_have_the_limit_that_we_were_started_with(
    lab: Lab, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(descriptors, "_original_limit", None)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        assert raise_limit() == hard
        await lab.make(command=["sh", "-c", "sleep 0.3; ulimit -n"]).run(context, task())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert context.output.snapshot().stdout == "512\n"


@pytest.mark.parametrize(
    ("wanted", "pool_size", "limit", "bound"),
    [(1000, 5, 1_048_576, 1000), (1000, 5, 1024, 900), (100, 5, 1024, 100), (1000, 1000, 1024, 512), (1000, 5, 1, 1)],
)
def test_connections_leave_descriptors_for_tasks(wanted: int, pool_size: int, limit: int, bound: int) -> None:
    assert connections_bound(wanted, pool_size, limit) == bound
