"""Many processes call this and that on many threads: each thread has one history, and none is stuck."""

from pathlib import Path

from tests.torture.audit import FAULTS
from tests.torture.form import run, sized

SECONDS, THREADS = sized(5, 60), sized(25, 200)


def test_eight_processes_leave_each_thread_with_one_history_and_none_stuck(tmp_path: Path, place: str) -> None:
    found = run("crowd", tmp_path, place, SECONDS, THREADS)
    assert {name: found[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert (found["processes"], found["threads"]) == (8, THREADS)
    assert min(found[name] for name in ("invoke", "submit", "stop", "answer", "stopped", "look")) >= SECONDS
    assert found["steps"] > THREADS
