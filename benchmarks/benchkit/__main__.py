"""Command line: ``python -m benchmarks.benchkit run``, ``report`` and ``profile``."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import profiling, report, runner
from .plans import SIZES, STORES


def comma(value: str) -> list[str]:
    return [v for v in value.split(",") if v]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchkit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    go = commands.add_parser("run", help="measure, then print the tables")
    go.add_argument("--out", type=Path, default=Path("bench-results"))
    go.add_argument("--size", choices=SIZES, default="default", help="how much to measure")
    go.add_argument("--quick", action="store_const", const="quick", dest="size", help="short for --size quick")
    go.add_argument("--workloads", type=comma, default=[], help="W1,W2,...,W7 (default: all)")
    go.add_argument("--stores", type=comma, default=list(STORES))
    go.add_argument("--systems", type=comma, default=[], help="names or module names (default: all installed)")
    show = commands.add_parser("report", help="print the tables of an earlier run")
    show.add_argument("out", type=Path)
    look = commands.add_parser("profile", help="where the time of one cell goes")
    look.add_argument("system")
    look.add_argument("workload", help="W1, W2, ...")
    look.add_argument("store", choices=STORES)
    look.add_argument("--passes", type=int, default=10)
    look.add_argument("--rows", type=int, default=20)
    args = parser.parse_args()
    if args.command == "profile":
        profiling.profile(args.system, args.workload, args.store, args.passes, args.rows)
        return
    if args.command == "run":
        args.out.mkdir(parents=True, exist_ok=True)
        workloads = frozenset(args.workloads)
        wish = runner.Wish(args.size, workloads, tuple(args.stores), frozenset(args.systems))
        runner.run(args.out.resolve(), wish)
    text = report.render(args.out / "results.json")
    (args.out / "tables.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
