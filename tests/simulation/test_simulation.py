"""The engine in many simulated processes on one database, with everything going wrong that can.

``TAF_TORTURE=1`` plays 5,000 seeds and prints what happened in them.
"""

from __future__ import annotations

import os

import pytest

from tests.rounds import share
from tests.simulation.faults import KINDS as FAULTS
from tests.simulation.graphs import KINDS as GRAPHS
from tests.simulation.run import play_all
from tests.simulation.scenario import ACTS

IS_TORTURE = os.environ.get("TAF_TORTURE", "") not in ("", "0")
SEEDS = share(range(5000 if IS_TORTURE else 700))
STEPS_PER_SEED, FAULTS_PER_SEED, ACTS_PER_SEED = 8, 10, 30
"""What many seeds come to at least, on average. They do about half as much again."""


def test_no_seed_breaks_an_invariant(capsys: pytest.CaptureFixture[str]) -> None:
    count, tally = len(SEEDS), play_all(SEEDS)

    if IS_TORTURE:
        with capsys.disabled():
            print(f"\n{tally}")
    assert not tally.failed, f"\n{tally}"
    assert tally.seeds == count
    assert tally.steps >= count * STEPS_PER_SEED
    assert tally.faults.total() >= count * FAULTS_PER_SEED
    assert tally.acts.total() >= count * ACTS_PER_SEED
    assert min(tally.faults[kind] for kind in FAULTS) >= count / 10, tally.faults
    assert min(tally.acts[act] for act in ACTS) >= count / 10, tally.acts
    assert min(tally.graphs[graph] for graph in GRAPHS) >= count / 20, tally.graphs
