"""A process and everybody it starts: run to the end, or ended, down to the last one.

The process leads a group (and a session) of its own, so its children are in it unless they leave on purpose. Whatever
happens to the run, it returns only when nobody of the group is left at work: SIGTERM to the group, some time,
SIGKILL, and then waiting until the group is gone. A leader that ends by itself and leaves children behind has them
ended in the same way.

Orphans of the group are adopted by process 1 of the machine or container. When that is us, we reap them, once the
leader is waited for (before, its exit status could be reaped in its stead). When it is somebody who does not reap,
they stay as zombies: a group of nothing but zombies counts as gone.

Road not taken: ``trio.run_process``. It signals the child alone, and it waits for whoever holds its pipes.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
import trio

from .contract import HandlerFailedError
from .output import LiveOutput
from .pipes import Inlet, Outlet

KILL_SECONDS_MAX: Final = 2.0
"""How long a group may take to be gone after SIGKILL: the rest of the shield's bound."""

POLL_SECONDS_MIN: Final = 0.005
POLL_SECONDS_MAX: Final = 0.05

_PASSING: Final = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
"""Why a process may not start now and yet start later."""

# Not Trio's default limiter: handlers that fill that one with threads must not delay the end of a group.
_looking = trio.CapacityLimiter(4)


class Program(msgspec.Struct, frozen=True):
    """What to start.

    Parameters:
        argv: the program, which is looked up in the ``PATH`` of its environment, and its arguments.
        environment: its whole environment.
        directory: where it starts; ``None`` for where we are.
        kill_after_seconds: how long the group has between SIGTERM and SIGKILL.
    """

    argv: Sequence[str | bytes]
    environment: Mapping[str, str]
    directory: str | None = None
    kill_after_seconds: float = 5.0


async def run_group(
    program: Program, output: LiveOutput, *, stdin: bytes | None = None, others: Sequence[Inlet] = ()
) -> int:
    """Run a program as a group of its own; nobody of it is left when this returns or raises.

    Parameters:
        program: what to start.
        output: where the ends of what it prints go, as it prints them, and its exit code, however the run ends.
        stdin: what it reads; ``None`` for the null device.
        others: more pipes that it inherits, under the numbers that they have here.

    Returns:
        The leader's exit code, negative for the signal that ended it.

    Raises:
        HandlerFailedError: it could not be started, or its group could not be ended.
    """
    with ExitStack() as pipes:
        outlet = None if stdin is None else pipes.enter_context(Outlet(stdin))
        printed = [pipes.enter_context(Inlet(tail.append)) for tail in (output.stdout, output.stderr)]
        inlets = [*printed, *others]
        group = _Group(await _start(program, outlet, inlets), program.kill_after_seconds)
        try:
            await _attend(group, outlet, inlets)
        finally:
            output.exit_code = group.leader.returncode
            if not group.gone:
                seconds = f"{group.end_seconds_max:g} s"
                raise HandlerFailedError(f"its processes could not be ended within {seconds}", retryable=False)
        assert output.exit_code is not None, "a group without a leader is gone"
        return output.exit_code


async def _start(program: Program, outlet: Outlet | None, inlets: Sequence[Inlet]) -> trio.Process:
    stdout, stderr, *others = (inlet.their_end for inlet in inlets)
    try:
        return await trio.lowlevel.open_process(
            program.argv,
            stdin=subprocess.DEVNULL if outlet is None else outlet.their_end,
            stdout=stdout,
            stderr=stderr,
            pass_fds=others,
            env=program.environment,
            cwd=program.directory,
            start_new_session=True,
        )
    except OSError as error:
        culprit = os.fsdecode(error.filename or program.argv[0])
        raise HandlerFailedError(
            f"cannot start {culprit}: {error.strerror}", retryable=error.errno in _PASSING
        ) from error
    finally:
        for pipe in (*inlets, *(() if outlet is None else (outlet,))):
            pipe.hand_over()


async def _attend(group: _Group, outlet: Outlet | None, inlets: Sequence[Inlet]) -> None:
    """Wait for the leader and end the group, while its pipes are served."""
    async with trio.open_nursery() as nursery:
        # Shielded, so that last words are read while a cancelled group ends; bounded as its end is.
        serving = trio.CancelScope(shield=True)
        nursery.start_soon(_serve_pipes, serving, outlet, inlets)
        try:
            await group.leader.wait()
        finally:
            with trio.move_on_after(group.end_seconds_max, shield=True):
                await group.end()
            serving.cancel()
            for inlet in inlets:
                inlet.sweep()


async def _serve_pipes(serving: trio.CancelScope, outlet: Outlet | None, inlets: Sequence[Inlet]) -> None:
    with serving:
        async with trio.open_nursery() as nursery:
            for inlet in inlets:
                nursery.start_soon(inlet.drain)
            if outlet is not None:
                nursery.start_soon(outlet.feed)


class _Group:
    """A leader and whoever is in its process group."""

    def __init__(self, leader: trio.Process, kill_after_seconds: float) -> None:
        self.leader = leader
        self.gone = False
        self._kill_after_seconds = kill_after_seconds

    @property
    def end_seconds_max(self) -> float:
        """How long ``end`` is given; what is still there then cannot be ended by us."""
        return self._kill_after_seconds + KILL_SECONDS_MAX

    async def end(self) -> None:
        """See to it that nobody is left; sets ``gone`` when that is so."""
        self._signal(signal.SIGTERM)
        with trio.move_on_after(self._kill_after_seconds):
            await self._wait_until_gone()
        if not self.gone:
            self._signal(signal.SIGKILL)
            await self._wait_until_gone()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.leader.pid, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            pass  # somebody of it has become another user: not ours to end, and _wait_until_gone() will say so

    async def _wait_until_gone(self) -> None:
        pause = POLL_SECONDS_MIN
        while not await self._is_gone():
            await trio.sleep(pause)
            pause = min(2 * pause, POLL_SECONDS_MAX)
        self.gone = True

    async def _is_gone(self) -> bool:
        if self.leader.poll() is None:
            return False
        self._reap_orphans()
        try:
            os.killpg(self.leader.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return await trio.to_thread.run_sync(_has_only_zombies, self.leader.pid, limiter=_looking)

    def _reap_orphans(self) -> None:
        try:
            while os.waitpid(-self.leader.pid, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            pass


def _has_only_zombies(group: int) -> bool:
    """Whether somebody is left in a group, but nobody who could still do anything."""
    states = [state for path in Path("/proc").glob("[0-9]*/stat") if (state := _state_in(group, path)) is not None]
    return bool(states) and set(states) == {b"Z"}


def _state_in(group: int, path: Path) -> bytes | None:
    """The state of a process, if it is in the group."""
    try:
        _, _, after_name = path.read_bytes().rpartition(b")")
    except OSError:
        return None  # it has ended since it was listed
    state, _parent, its_group, *others = after_name.split()
    if int(its_group) != group:
        return None
    threads = int(others[_THREADS_AFTER_GROUP])
    return state if threads <= 1 else b"a process whose first thread alone has ended"


_THREADS_AFTER_GROUP: Final = 14
"""``num_threads`` is the 20th field of ``/proc/*/stat``; the group is the 5th."""
