"""Run benchmarks, save the results and write the report: ``python -m bench [PART ...] [--rounds N] [--quick]``."""

from __future__ import annotations

import argparse

from .frame import measure
from .parts import NAMES, load_part
from .report import print_bars, write_report
from .results import save


def main() -> None:
    """Measure each part, replace its saved result, and write the report again."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"part to measure: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds after the warm-up (default 5)")
    parser.add_argument("--quick", action="store_true", help="smoke run: few tasks, saves nothing")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if unknown := set(options.parts) - set(NAMES):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}; choose from {', '.join(NAMES)}")
    for name in options.parts or NAMES:
        part = load_part(name)
        result = measure(part, options.rounds, quick=options.quick)
        print_bars(part, result)
        if not options.quick:
            save(result)
            write_report()


if __name__ == "__main__":
    main()
