"""``python -m tests.simulation --seeds 10000``: many seeds, over all processors; ``--world nodes`` of a shared queue.

Ends with status 1 at the first seed that fails, with its trace; the same seed fails the same way again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Final, NamedTuple

from .nodes.world import NodesWorld
from .world import Report, World

WORLDS: Final[dict[str, type[World] | type[NodesWorld]]] = {"process": World, "nodes": NodesWorld}
SEEDS_AT_ONCE: Final = 20
SEEDS_A_LINE: Final = 500


class Failure(NamedTuple):
    """A seed that failed, and what there is to read about it."""

    seed: int
    text: str


def main() -> int:
    """Run the seeds that the command line names; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Run seeds of the simulation.")
    parser.add_argument("--seeds", type=int, default=1000, help="how many [default: 1000]")
    parser.add_argument("--world", choices=WORLDS, default="process", help="what they decide about [default: process]")
    parser.add_argument("--first", type=int, default=0, help="the first one [default: 0]")
    parser.add_argument("--trace", action="store_true", help="print the trace of the first one, and run no other")
    arguments = parser.parse_args()
    if arguments.trace:
        return _trace(arguments.world, arguments.first)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    began = time.monotonic()
    total = Report(0.0, 0, 0, 0)
    done = 0
    for ran, result in _run(arguments.world, seeds):
        if isinstance(result, Failure):
            print(result.text)
            again = f"python -m tests.simulation --world {arguments.world} --first {result.seed} --trace"
            print(f"seed {result.seed} fails; again: {again}")
            return 1
        done += ran
        total = _sum(total, result)
        if done % SEEDS_A_LINE == 0 or done == len(seeds):
            _tell(done, time.monotonic() - began, total)
    return 0


def _run(world: str, seeds: range) -> Iterator[tuple[int, Report | Failure]]:
    some = [seeds[start : start + SEEDS_AT_ONCE] for start in range(0, len(seeds), SEEDS_AT_ONCE)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running: dict[Future[Report | Failure], int] = {pool.submit(_run_some, world, part): len(part) for part in some}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _run_some(world: str, seeds: range) -> Report | Failure:
    total = Report(0.0, 0, 0, 0)
    for seed in seeds:
        try:
            total = _sum(total, WORLDS[world](seed).run())
        except Exception as error:
            return Failure(seed, "".join(traceback.format_exception(error)))
    return total


def _sum(left: Report, right: Report) -> Report:
    return Report(
        left.seconds + right.seconds,
        left.crashes + right.crashes,
        left.steps + right.steps,
        left.tasks + right.tasks,
    )


def _tell(seeds: int, seconds: float, total: Report) -> None:
    print(
        f"{seeds:,} seeds in {seconds:,.0f} s ({seeds / seconds:.0f}/s): {total.seconds / 3600:,.0f} simulated hours, "
        f"{total.crashes:,} crashes, {total.steps:,} transactions or calls, {total.tasks:,} accepted tasks",
        flush=True,
    )


def _trace(kind: str, seed: int) -> int:
    world = WORLDS[kind](seed)
    try:
        world.run()
    except Exception:
        traceback.print_exc()
        return 1
    print("\n".join(world.trace))
    return 0


if __name__ == "__main__":
    sys.exit(main())
