"""The simulation finds what it is there to find: each bug that is planted is noticed, and for what it is."""

from __future__ import annotations

import pytest

from tests.simulation.database import (
    BUGS,
    EFFECT_BEFORE_RECORD,
    LOST_STOP,
    NO_FENCE,
    NO_HEAD_CHECK,
    UNFENCED_SIBLING,
    WALL_CLOCK_LEASE,
)
from tests.simulation.run import play

SEEDS = 500

BROKEN = {
    NO_FENCE: "one writer",
    NO_HEAD_CHECK: "sequences",
    LOST_STOP: "stops",
    UNFENCED_SIBLING: "questions",
    WALL_CLOCK_LEASE: "leases",
    EFFECT_BEFORE_RECORD: "effects",
}
"""The invariant that each bug breaks."""


def test_every_bug_that_can_be_planted_is_looked_for() -> None:
    assert set(BROKEN) == set(BUGS)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    for seed in range(SEEDS):
        outcome = play(seed, bug)
        if BROKEN[bug] in {invariant for invariant, _ in outcome.violations}:
            assert not play(seed).violations
            return
    pytest.fail(f'"{bug}" was not found in {SEEDS} seeds')
