"""Plays one seed and shows all that happens: python -m tests.simulation SEED [--bug NAME] [--count N]."""

from __future__ import annotations

import argparse
import time

from tests.simulation.database import BUGS
from tests.simulation.run import play, play_all


def main() -> int:
    """Return 1 when an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("seed", type=int)
    parser.add_argument("--bug", choices=BUGS)
    parser.add_argument("--count", type=int, default=1, help="play so many seeds, and show their sum alone")
    given = parser.parse_args()
    if given.count > 1:
        begun = time.perf_counter()
        tally = play_all(range(given.seed, given.seed + given.count), given.bug)
        print(tally, f"{tally.seeds / (time.perf_counter() - begun):.0f} seeds/s", sep="\n")
        return bool(tally.failed)
    outcome = play(given.seed, given.bug)
    print(*outcome.trace, sep="\n")
    print(f"trace hash {outcome.digest}, {len(outcome.violations)} violations")
    for invariant, what in outcome.violations:
        print(f"{invariant}: {what}")
    return bool(outcome.violations)


if __name__ == "__main__":
    raise SystemExit(main())
