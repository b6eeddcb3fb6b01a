"""Instructions that fixed pieces of work take, by valgrind's callgrind: a gauge that a busy machine does not disturb.

``count.py`` compares with ``counts.json`` and fails when a piece takes over 5 % more; ``--update`` writes them anew.
The counts belong to one build of Python and one pydantic; for others it only shows what it counted.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pydantic_core
from counted import PARTS

HERE = Path(__file__).parent
BASELINE = HERE / "counts.json"
MARGIN = 0.05
MARK = "getppid"


def interpreter() -> str:
    """Return what the counts depend on beside taf."""
    python = f"{platform.python_version()} ({platform.python_compiler()}, {platform.machine()})"
    return f"Python {python}, pydantic-core {pydantic_core.__version__}"


def counted() -> dict[str, int]:
    """Return the instructions of one of each piece."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--quiet", "--tool=callgrind", f"--callgrind-out-file={folder}/out", f"--dump-before={MARK}"]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run(
            ["valgrind", *options, sys.executable, str(HERE / "counted.py")], check=True, env=environment, cwd=folder
        )
        # Each dump holds what came before its mark: of each two, the first leads to the work and the second is it.
        dumps = [total(Path(folder) / f"out.{number}") for number in range(2, 2 * len(PARTS) + 1, 2)]
    return {name: dump // (size * times) for dump, (name, (size, times)) in zip(dumps, PARTS.items(), strict=True)}


def total(dump: Path) -> int:
    """Return the instructions that one dump of callgrind counts."""
    lines = dump.read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("totals:"))


def main() -> int:
    known = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    found, before = counted(), known.get(interpreter(), {})
    print(f"Instructions under {interpreter()}:")
    for name, count in found.items():
        change = f"  {count / before[name] - 1:+7.1%} of {before[name]:,}" if name in before else ""
        print(f"  {name:24}{count:>12,}{change}")
    if "--update" in sys.argv:
        BASELINE.write_text(json.dumps({**known, interpreter(): found}, indent=2, sort_keys=True) + "\n")
        return 0
    if not before:
        print("There are no counts to compare with for this interpreter; --update writes them.")
    grown = [name for name, count in before.items() if found[name] > count * (1 + MARGIN)]
    for name in grown:
        print(f"{name} takes over {MARGIN:.0%} more instructions than it did.", file=sys.stderr)
    return 1 if grown else 0


if __name__ == "__main__":
    raise SystemExit(main())
