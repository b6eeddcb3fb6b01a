"""A frozen owner comes back when its successor has crashed: the thread goes on, and nothing is done twice."""

from pathlib import Path

from tests.torture.audit import FAULTS
from tests.torture.form import run, sized

ROUNDS = sized(5, 200)


def test_a_thread_goes_on_between_a_zombie_and_the_crash_of_its_successor(tmp_path: Path, place: str) -> None:
    found = run("zombies", tmp_path, place, ROUNDS)
    assert {name: found[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert found["rounds"] == found["threads"] == ROUNDS
    assert found["stale"] >= ROUNDS * 3 // 4
