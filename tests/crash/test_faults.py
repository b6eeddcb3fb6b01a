"""A journey that is broken off at any point of any commit is brought to the same end by whoever goes on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rounds import SHARES

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("fault", ["kill", "raise", "cancel"])
def test_a_journey_broken_off_at_any_point_ends_as_an_undisturbed_one(tmp_path: Path, fault: str) -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.crash.faults", str(tmp_path), fault]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    # Three points for each transaction, and each call of the store is one.
    assert found["calls"] >= 30
    assert found["points"] >= 3 * found["calls"] // SHARES
