"""A journey on Postgres that is broken off at any statement is brought to the same end by whoever goes on."""

from pathlib import Path

import pytest

from tests.torture.form import run, sized

STRIDE = sized(45, 1)


@pytest.mark.parametrize("fault", ["kill", "lose", "refuse", "cancel"])
def test_a_journey_broken_off_at_any_statement_ends_as_an_undisturbed_one(
    tmp_path: Path, pg_dsn: str, fault: str
) -> None:
    found = run("pg_faults", tmp_path, pg_dsn, fault, STRIDE)
    assert found["points"] > (60 if fault == "refuse" else 200)
    assert found["tried"] >= found["points"] // STRIDE - 1
    assert found["reached"] > 0.95 * found["tried"]  # how often a waiting caller looks is up to chance
    assert found["snapshots"] > 0
