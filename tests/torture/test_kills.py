"""Workers are killed and frozen at any moment; those who go on lose nothing and do nothing twice."""

from pathlib import Path

from tests.torture.audit import FAULTS
from tests.torture.form import IS_TORTURE, run, sized

KILLS, STOPS = sized(16, 1000), sized(4, 300)


def test_nothing_is_lost_or_done_twice_when_owners_are_killed_and_frozen(tmp_path: Path, place: str) -> None:
    found = run("kills", tmp_path, place, KILLS, STOPS)
    assert {name: found[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert found["kills"] >= KILLS
    assert found["stops"] == STOPS
    assert min(found["steps"], found["acknowledged"], found["effects"]) > 5 * KILLS
    assert found["stale"] >= STOPS // 10
    assert found["take_overs"] >= KILLS // 10
    assert not IS_TORTURE or found["p99"] < 0.5
