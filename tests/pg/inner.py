"""A pytest inside a test: to be killed, or to fail."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
HANG = 60.0
"""Bounds what would otherwise hang; nothing is measured by it."""


def start_pytest(folder: Path, test: str, *options: str, **environment: str) -> subprocess.Popen[str]:
    """Run ``test`` in a pytest of its own that knows the fixtures."""
    (folder / "test_inner.py").write_text(f"from tests.pg.fixtures import *\n{test}")
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "-p", "no:cacheprovider", *options, folder],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what another process does."""
    until = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
