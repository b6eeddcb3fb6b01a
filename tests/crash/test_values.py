"""What one process puts into a state, another one takes out of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from taf import SqliteCheckpointer
from tests.crash.luggage import LOOSE, PACKED, Luggage, build
from tests.serialization.values import shape

ROOT = Path(__file__).parent.parent.parent
CONFIG = {"thread_id": "t"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database in which another process has paused."""
    command = [sys.executable, "-W", "error", "-m", "tests.crash.luggage", str(tmp_path / "t.db")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    return tmp_path / "t.db"


async def test_a_state_is_in_another_process_what_it_was(path: Path) -> None:
    expected = shape(Luggage(**PACKED))
    async with SqliteCheckpointer(path) as store, build().compile(store) as app:
        found = await app.aget_state(CONFIG)
        assert shape(found.state) == expected
        (record,) = found.interrupts
        assert shape(record.data) == shape(LOOSE)
        done = await app.aresume(CONFIG, LOOSE)
        assert shape(done.state.loose) == shape([LOOSE, LOOSE])
    async with SqliteCheckpointer(path) as store, build().compile(store) as app:
        assert shape((await app.aget_state(CONFIG)).state) == shape(done.state)
        assert shape((await app.ainterrupts(CONFIG))[0].answer) == shape(LOOSE)
