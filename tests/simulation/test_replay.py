"""A seed says all: played again, here or in another process, the same happens in the same order."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.database import NO_FENCE
from tests.simulation.run import Outcome, Tally, play
from tests.simulation.world import World

SEEDS = range(1000, 1012)
ROOT = Path(__file__).parents[2]


def replay(outcome: Outcome, hash_seed: str) -> subprocess.CompletedProcess[str]:
    """Run the command that an outcome names, in a process of its own."""
    name, *rest = outcome.replay.split(maxsplit=1)
    assert name == "python"
    command = f'"{sys.executable}" {rest[0]}'
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def failing() -> Outcome:
    return next(outcome for seed in range(500) if (outcome := play(seed, NO_FENCE)).violations)


def test_a_seed_leaves_the_same_trace_each_time() -> None:
    for seed in SEEDS:
        assert play(seed).digest == play(seed).digest


def test_each_seed_leaves_a_trace_of_its_own() -> None:
    assert len({play(seed).digest for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_failing_seed_fails_in_the_same_way_in_another_process(hash_seed: str) -> None:
    outcome = failing()

    done = replay(outcome, hash_seed)

    assert done.returncode == 1, done.stderr
    invariant, what = outcome.violations[0]
    assert f"trace hash {outcome.digest}" in done.stdout
    assert f"{invariant}: {what}" in done.stdout
    assert done.stdout.startswith("\n".join(outcome.trace))


def test_a_seed_without_a_violation_is_replayed_without_one() -> None:
    outcome = play(SEEDS[0])

    done = replay(outcome, "3")

    assert done.returncode == 0, done.stdout
    assert f"trace hash {outcome.digest}, 0 violations" in done.stdout


def test_what_is_shown_of_many_seeds_says_how_to_replay_one_that_failed() -> None:
    outcome, tally = failing(), Tally()

    tally.add(outcome)

    assert f"replay: {outcome.replay}" in str(tally)


def test_an_hour_of_sleep_takes_no_time() -> None:
    world = World(0)
    world.faults.end()
    process = world.start(0)
    sleeping = process.spawn(asyncio.sleep(3600, "woken"))

    assert world.run(sleeping.done, until=4000)

    assert (sleeping.result(), world.now) == ("woken", 3600)
    world.end()


def test_what_is_killed_never_runs_again() -> None:
    world, ran = World(0), []

    async def work() -> None:
        try:
            while True:
                ran.append(world.now)
                await asyncio.sleep(1)
        finally:
            await asyncio.sleep(1)
            ran.append("left")

    world.faults.end()
    process = world.start(0)
    process.spawn(work())
    world.run(lambda: False, until=2.5)

    world.kill(process)
    world.run(lambda: False, until=10)

    assert ran == [0.0, 1.0, 2.0]
    world.end()
