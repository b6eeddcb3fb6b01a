"""Whatever stands in the rows of a database, reading it gives errors of taf and does nothing else."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_no_row_makes_a_thread_run_code_or_hang_or_hides_the_others(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.crash.hostile", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["tried"] > 600
    assert {"StoreCorruptError", "GraphChangedError"} <= found["errors"].keys()
