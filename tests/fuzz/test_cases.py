"""Whatever a store holds is decoded or refused by an error of taf's tree, and nothing else happens meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.cases import Decoders, corpus
from tests.fuzz.mutation import mutated

FOUND = sorted(Path(__file__).parent.joinpath("found").iterdir())
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def decoders() -> Decoders:
    return Decoders()


def test_the_cases_that_everything_begins_with_are_read(decoders: Decoders) -> None:
    """All but those threads whose last record cannot follow on the ones before it."""
    read = [decoders.decode(case) for case in corpus()]

    assert len(read) > 300
    assert sum(read) > 0.9 * len(read)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: str(path.name))
def test_a_case_that_once_broke_a_promise_breaks_none(decoders: Decoders, path: Path) -> None:
    decoders.decode(path.read_bytes())  # any error but those of taf's tree would be raised


def test_cases_of_other_shapes_are_read_or_refused_and_nothing_else_happens() -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.fuzz.test_cases", "2000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads(done.stdout)
    assert counts["tried"] == 2000
    assert 200 < counts["read"] < 1900


def main(count: int) -> None:
    """Try as many mutated cases, the same ones each time, in a process of its own: a hook stays for ever."""
    from tests.fuzz.cases import Watch

    decoders, watch, known, chance = Decoders(), Watch(), list(corpus()), Random(11)
    for case in known:  # what is loaded late is loaded now
        decoders.decode(case)
    read = 0
    for number in range(count):
        case = mutated(chance.choice(known), chance, chance.choice(known))
        try:
            read += watch.check(decoders, case)
        except Exception as error:
            raise AssertionError(f"case {number}: {case!r}") from error
    print(json.dumps({"tried": count, "read": read}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
