"""Which form of the torture runs, and the program that is tortured: each is a process of its own without OS threads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.pg.counting import IS_TORTURE

ROOT = Path(__file__).parent.parent.parent
HANG = 1200 if IS_TORTURE else 600
"""For how many seconds a program may run before it counts as hung."""


def sized(short: int, full: int) -> int:
    """Return how much of something is done in this form."""
    return full if IS_TORTURE else short


def run(module: str, *arguments: object, folder: str = "torture", by: Sequence[str] = ()) -> dict[str, Any]:
    """Run a program of a folder of the tests, show the line of counts that it prints, and return them.

    ``by`` is a command that runs it.
    """
    command = [*by, sys.executable, "-W", "error", "-m", f"tests.{folder}.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert not done.stderr, done.stderr[-4000:]
    line = done.stdout.splitlines()[-1]
    print(f"\n{module}: {line}")
    return dict(json.loads(line))


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value, rounded, below which so many percent of all values are."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) * percent // 100, len(ordered) - 1)], 4)
