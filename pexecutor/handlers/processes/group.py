"""``run_group``: run a program, and end every process that it has started before returning.

The process leads a session and a group of its own. ``run_group`` returns or raises only when no process of the attempt
is left, in any session or group (see ``family.py``). To end them it sends SIGTERM, waits ``kill_after_seconds``, sends
SIGKILL and waits until all are gone. It does the same if the leader ends by itself and leaves children behind.

The server adopts orphans and reaps them, also while the leader runs.

If the system has no descriptor, process or memory left, a start waits until there is one. Ending a group opens no
descriptor.

Road not taken: ``trio.run_process``. It signals only the child, and it waits for every process that holds its pipes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final

import msgspec
import trio

from ...limits.times import KILL_AFTER_SECONDS, KILL_SECONDS_MAX
from ..contract import HandlerFailedError
from ..descriptors import ExhaustedError, is_exhaustion, retry_while_exhausted
from ..output import LiveOutput
from . import proc
from .family import Family, reap_orphans
from .leader import POLL_SECONDS_MIN, Leader, start_leader
from .mark import TASK_ID_VARIABLE, next_tag
from .pipes import Inlet, Outlet, Sink, null_device
from .start_error import start_error

POLL_SECONDS_MAX: Final = 0.05

LOOK_SECONDS_MAX: Final = 0.2
"""How long to wait for known processes before the next search for further processes."""

REAP_SECONDS: Final = 1.0
"""The time between two rounds of reaping orphans while a leader runs."""

# Not Trio's default limiter, so that handlers which use up its threads cannot delay the end of a group.
_looking = trio.CapacityLimiter(4)


class Program(msgspec.Struct, frozen=True):
    """A program to start.

    Parameters:
        argv: the program, searched in the ``PATH`` of ``environment``, and its arguments.
        environment: the whole environment of the program.
        directory: the working directory; ``None`` for the server's.
        kill_after_seconds: the time from SIGTERM to SIGKILL.
    """

    argv: Sequence[str | bytes]
    environment: Mapping[str, str]
    directory: str | None = None
    kill_after_seconds: float = KILL_AFTER_SECONDS


async def run_group(
    program: Program,
    output: LiveOutput,
    *,
    stdin: bytes | None = None,
    reports: Sink | None = None,
) -> int:
    """Run a program as a group of its own. No process of the group is left when this returns or raises.

    Parameters:
        program: the program.
        output: receives the program's output as it is printed, and its exit code however the run ends.
        stdin: the standard input; ``None`` for the null device.
        reports: receives the data of an additional pipe, whose descriptor number is appended to the arguments.

    Returns:
        The leader's exit code, negated for the signal that ended the leader.

    Raises:
        HandlerFailedError: the program could not be started, or its group could not be ended.
    """

    def waits(error: ExhaustedError) -> None:
        output.log.append(f"waiting to start: {error}\n".encode())

    async def start() -> tuple[ExitStack, _Running]:
        try:
            with ExitStack() as pipes:
                running = await _start(program, output, stdin, reports, pipes)
                return pipes.pop_all(), running
        except (OSError, RuntimeError) as error:
            if is_exhaustion(error):
                raise ExhaustedError(getattr(error, "strerror", None) or str(error)) from error
            raise

    pipes, running = await retry_while_exhausted(start, waits)
    with pipes:
        group = _Group(running.leader, program)
        try:
            await _attend(group, running.outlet, running.inlets)
        finally:
            output.exit_code = group.leader.poll()
            if not group.gone:
                seconds = f"{group.end_seconds_max:g} s"
                raise HandlerFailedError(f"some processes could not be ended within {seconds}", retryable=False)
        assert output.exit_code is not None, "a group is gone only when its leader has ended"
        return output.exit_code


class _Running(msgspec.Struct):
    leader: Leader
    outlet: Outlet | None
    inlets: list[Inlet]


async def _start(
    program: Program, output: LiveOutput, stdin: bytes | None, reports: Sink | None, pipes: ExitStack
) -> _Running:
    """Start a program with its pipes; on an error, nothing is left started."""
    proc.adopt_orphans()
    outlet = None if stdin is None else pipes.enter_context(Outlet(stdin))
    sinks: list[Callable[[bytes], None]] = [output.stdout.append, output.stderr.append]
    pace = None if output.whole is None else output.whole.pace
    inlets = [pipes.enter_context(Inlet(sink, pace)) for sink in [*sinks, *([] if reports is None else [reports])]]
    stdout, stderr, *others = (inlet.their_end for inlet in inlets)
    argv = [_encoded(argument) for argument in program.argv] + [b"%d" % other for other in others]
    environment = {_encoded(name): _encoded(value) for name, value in program.environment.items()}
    directory = None if program.directory is None else _encoded(program.directory)
    with null_device() if outlet is None else outlet.handed_over() as their_stdin:
        try:
            leader = await start_leader(
                argv,
                next_tag(),
                stdin=their_stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=others,
                env=environment,
                cwd=directory,
            )
        except (OSError, ValueError) as error:
            if is_exhaustion(error):
                raise
            raise start_error(error, argv, environment, directory) from error
    for inlet in inlets:
        inlet.hand_over()
    return _Running(leader, outlet, inlets)


def _encoded(text: str | bytes) -> bytes:
    """Encode text as UTF-8, like the texts of tasks; the locale may support only ASCII."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


async def _attend(group: _Group, outlet: Outlet | None, inlets: Sequence[Inlet]) -> None:
    """Wait for the leader and end the group while serving its pipes."""
    async with trio.open_nursery() as nursery:
        # Shielded, so that output is still read while a cancelled group ends. Its bound is that of the group's end
        # below, which cancels it.
        serving = trio.CancelScope(shield=True)
        nursery.start_soon(_serve_pipes, serving, outlet, inlets)
        try:
            await group.leader.wait()
        finally:
            # Shielded, because a cancelled attempt must still end its processes; bounded, because a process may be
            # unkillable (in an uninterruptible system call).
            with trio.move_on_after(group.end_seconds_max, shield=True):
                await group.end()
            serving.cancel()
            for inlet in inlets:
                inlet.sweep()


async def _serve_pipes(serving: trio.CancelScope, outlet: Outlet | None, inlets: Sequence[Inlet]) -> None:
    with serving:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_reap_orphans)
            for inlet in inlets:
                nursery.start_soon(inlet.drain)
            if outlet is not None:
                nursery.start_soon(outlet.feed)


async def _reap_orphans() -> None:
    while True:
        await trio.sleep(REAP_SECONDS)
        reap_orphans()


class _Group:
    """A leader and all processes that it started, until they are gone."""

    def __init__(self, leader: Leader, program: Program) -> None:
        self.leader = leader
        self.gone = False
        task_id = program.environment.get(TASK_ID_VARIABLE)
        self._family = Family(leader, None if task_id is None else f"{TASK_ID_VARIABLE}={task_id}".encode())
        self._kill_after_seconds = program.kill_after_seconds

    @property
    def end_seconds_max(self) -> float:
        """Return how many seconds ``end`` may take. Processes that are left after that cannot be ended."""
        return self._kill_after_seconds + KILL_SECONDS_MAX

    async def end(self) -> None:
        """End the remaining processes, and set ``gone`` when no process is left."""
        with trio.move_on_after(self._kill_after_seconds):
            await self._signal_until_gone(signal.SIGTERM)
        if not self.gone:
            await self._signal_until_gone(signal.SIGKILL)

    async def _signal_until_gone(self, number: signal.Signals) -> None:
        signalled: set[int] = set()
        while left := await self._left():
            self._family.signal(left - signalled, number, whole_group=not signalled)
            signalled |= left
            await self._wait_for(left)
        self.gone = True

    async def _left(self) -> set[int]:
        if self._family.is_surely_gone():
            await trio.lowlevel.checkpoint()
            return set()
        try:
            return await trio.to_thread.run_sync(self._family.find, limiter=_looking)
        except RuntimeError as error:
            if not is_exhaustion(error):
                raise
            return self._family.find()  # no thread is left; the end of a group must not wait for one

    async def _wait_for(self, left: set[int]) -> None:
        """Wait until all of these processes are gone, but at most ``LOOK_SECONDS_MAX``."""
        pause = POLL_SECONDS_MIN
        with trio.move_on_after(LOOK_SECONDS_MAX):
            while True:
                await trio.sleep(pause)
                if self._are_dead(left):
                    return
                pause = min(2 * pause, POLL_SECONDS_MAX)

    def _are_dead(self, processes: set[int]) -> bool:
        return all(
            self.leader.poll() is not None if pid == self.leader.pid else not _is_at_work(pid) for pid in processes
        )


def _is_at_work(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not proc.is_dead_child(pid)
