"""Any number of processes may be the first to use a database."""

from pathlib import Path

from taf.checkpointer.postgres_schema import VERSION
from tests.torture.form import run, sized

ROUNDS = sized(2, 50)


def test_ten_processes_set_up_one_empty_database_at_once(tmp_path: Path, pg_dsn: str) -> None:
    found = run("setups", tmp_path, pg_dsn, ROUNDS)
    assert found["ran"] == found["whole"] == found["threads"] == 10 * ROUNDS
    assert found["migrations"] == VERSION * ROUNDS
