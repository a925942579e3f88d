"""Measure the server's CPU time per task for each form of a submit: an object, and lists of one, few and many tasks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from pexecutor.access import hash_token

from ..frame import Bar, Contestant, Field, Figure, Part
from ..jobs import HOLD
from ..load import CONNECTIONS, load, post
from ..results import Run
from ..server import pexecutor_server
from ..waiting import pending
from ..ways import FAST, FAST_FLAGS, FAST_SQLITE

TOKEN: Final = f"pex_{'benchmark':x<43}"
TASKS_A_LIST: Final = {"object": None, "list1": 1, "list3": 3, "list10": 10, "list64": 64}
"""The number of tasks in a list, by figure. ``None`` means a single object, not a list."""

BURSTS: Final = 4
REQUESTS_A_BURST: Final = 1_000
TASKS_A_BURST_MAX: Final = 10_000
WITH_TOKEN: Final = ", token"


@contextmanager
def contestants(quick: bool) -> Iterator[Field]:
    """Yield pexecutor on each store, with and without a token; each run starts its own server."""
    bursts = 1 if quick else BURSTS
    yield Field(
        [
            Contestant(name + suffix, partial(_pexecutor, FAST_FLAGS[name], token, bursts))
            for name in (FAST, FAST_SQLITE)
            for suffix, token in (("", None), (WITH_TOKEN, TOKEN))
        ]
    )


def _pexecutor(flags: Sequence[str], token: str | None, bursts: int) -> Run:
    """Send tasks to a server whose only worker is occupied; count the tasks that are pending at the end.

    The forms take turns in short bursts, so that other load on the machine affects all of them.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        pexecutor_server(
            "--data-dir", folder, "--pool-size", "1", *flags, *_token_flags(folder, token), token=token
        ) as server,
    ):
        hold = {"name": "hold", "handler": HOLD, "priority": 1}
        load(server.port, [post("/tasks", json.dumps(hold).encode(), token)], 1)
        seconds, sent = dict.fromkeys(TASKS_A_LIST, 0.0), dict.fromkeys(TASKS_A_LIST, 0)
        for burst in range(bursts + 1):
            for name, tasks in TASKS_A_LIST.items():
                pending(server)  # keeps this connection from being closed as idle
                requests = [post("/tasks", body, token) for body in _bodies(f"{name}-{burst}", tasks)]
                before = server.cpu_seconds()
                load(server.port, requests)
                seconds[name] += server.cpu_seconds() - before if burst else 0.0  # the first burst warms up
                sent[name] += len(requests) * (tasks or 1)
        figures = {name: 1e6 * seconds[name] * (bursts + 1) / bursts / sent[name] for name in TASKS_A_LIST}
        return Run(sum(sent.values()), pending(server), figures)


def _token_flags(folder: str, token: str | None) -> Sequence[str]:
    """Write a settings file with the token; return the server's flags for it, none without a token."""
    if token is None:
        return ()
    file = Path(folder, "tokens.toml")
    file.write_text(f'[tokens.bench]\nsha256 = "{hash_token(token)}"\nscope = "admin"\n', encoding="utf-8")
    return ("--config", str(file))


def _bodies(prefix: str, tasks: int | None) -> list[bytes]:
    """Return the bodies of one burst. Each task has a unique name."""
    if tasks is None:
        return [msgspec.json.encode({"name": f"{prefix}-{number}"}) for number in range(REQUESTS_A_BURST)]
    return [
        msgspec.json.encode([{"name": f"{prefix}-{number}-{index}"} for index in range(tasks)])
        for number in range(min(REQUESTS_A_BURST, TASKS_A_BURST_MAX // tasks))
    ]


def _bars() -> Iterator[Bar]:
    for name in (FAST, FAST + WITH_TOKEN, FAST_SQLITE, FAST_SQLITE + WITH_TOKEN):
        yield Bar(
            f"a list of one vs. an object, {_store(name)}", name, "list1", 1.25, 1, [(name, "object")], at_most=True
        )
        for figure in ("list3", "list10", "list64"):
            yield Bar(
                f"a task in a list of {TASKS_A_LIST[figure]} vs. a list of one, {_store(name)}",
                *(name, figure, 1, None, [(name, "list1")]),
                at_most=True,
            )


def _store(contestant: str) -> str:
    return contestant.removeprefix("pexecutor, ").replace(", fast", "")


PART: Final = Part(
    name="spellings",
    title="One task or a few per request",
    about=(
        f"The server's CPU time per task, for tasks that are sent over {CONNECTIONS} connections as single objects or "
        "in lists, through the fast listener, with and without a token. The only worker is occupied, so no task runs "
        "meanwhile. The forms take turns in short bursts on one server."
    ),
    figures={
        "object": Figure("An object", "µs/task", 1),
        **{
            name: Figure(f"A list of {tasks}", "µs/task", 1)
            for name, tasks in TASKS_A_LIST.items()
            if tasks is not None
        },
    },
    plotted=("object", "list1", "list3", "list10", "list64"),
    bars=[*_bars()],
    open=contestants,
)
