"""Plays one seed, or many, and says what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from taf.checkpointer.base import ThreadKey
from tests.simulation.graphs import outside
from tests.simulation.invariants import Inspection, inspect
from tests.simulation.loop import steady
from tests.simulation.scenario import Scenario
from tests.simulation.world import World


class Outcome(NamedTuple):
    """What came of a seed. ``violations`` are pairs of an invariant and what broke it."""

    seed: int
    bug: str | None
    digest: str
    violations: tuple[tuple[str, str], ...]
    faults: Counter[str]
    acts: Counter[str]
    graph: str
    commits: int
    steps: int
    turns: int
    trace: tuple[str, ...]

    @property
    def replay(self) -> str:
        """The command that plays this again."""
        bug = "" if self.bug is None else f' --bug "{self.bug}"'
        return f"python -m tests.simulation {self.seed}{bug}"


def play(seed: int, bug: str | None = None) -> Outcome:
    """Play a seed from its first call to the rest of all threads."""
    with steady():
        world = World(seed)
        scenario = Scenario(world, bug)
        outside.append(scenario.outside)
        try:
            scenario.play()
            found = inspect(world, scenario.database, scenario.judge, scenario.outside, scenario.kind)
            _hold_to_their_word(scenario, found)
            lines = tuple(f"{now:9.4f} {who:5} {what}" for now, who, what in world.trace)
            digest = world.digest()
            return Outcome(
                seed,
                bug,
                digest,
                tuple(world.violations),
                world.faults.counts,
                scenario.acts,
                scenario.name,
                scenario.judge.commits,
                sum(one.made for one in found.values()),
                world.turns,
                lines,
            )
        finally:
            world.end()
            outside.pop()


def _hold_to_their_word(scenario: Scenario, found: dict[ThreadKey, Inspection]) -> None:
    """See that what callers were told is stored, and that all processes see the same."""
    world = scenario.world
    given = {(name, number) for one in found.values() for name, number in one.answers.items()}
    for number, (interrupt_id, was_taken) in scenario.answers.items():
        if was_taken and (interrupt_id, number) not in given:
            world.violate("questions", f"the answer {number} to {interrupt_id} was taken, and is not stored")
    runs = {record.run_id for row in scenario.database.rows.values() for record in row.records}
    for run_id, what in scenario.done:
        if run_id not in runs:
            world.violate("durability", f"run {run_id} was said to be {what}, and is not stored")
    for thread, line in scenario.kept:
        if line not in found[ThreadKey("", thread)].run.values["trail"]:
            world.violate("durability", f"{line!r} was accepted by {thread}, and is not stored")
    for thread, seen in scenario.seen.items():
        trail = tuple(found[ThreadKey("", thread)].run.values["trail"])
        for name, other in seen.items():
            if other != trail:
                world.violate("final state", f"{name} sees {other} in {thread}, the journal says {trail}")


@dataclass
class Tally:
    """The sum of many seeds."""

    seeds: int = 0
    steps: int = 0
    commits: int = 0
    turns: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    graphs: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.seeds += 1
        self.steps += outcome.steps
        self.commits += outcome.commits
        self.turns += outcome.turns
        self.faults += outcome.faults
        self.acts += outcome.acts
        self.graphs[outcome.graph] += 1
        if outcome.violations:
            self.failed.append(outcome)

    def __str__(self) -> str:
        lines = [
            f"{self.seeds} seeds, {self.steps} steps, {self.commits} commits, {self.turns} turns, "
            f"{len(self.failed)} seeds with violations",
            *(f"{name}: {_listed(counts)}" for name, counts in self._counts().items()),
        ]
        for outcome in self.failed[:10]:
            lines.append(f"seed {outcome.seed}: {outcome.violations[0][0]}: {outcome.violations[0][1]}")
            lines.append(f"    replay: {outcome.replay}")
        return "\n".join(lines)

    def _counts(self) -> dict[str, Counter[str]]:
        return {"faults": self.faults, "acts": self.acts, "graphs": self.graphs}


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))


def play_all(seeds: Iterable[int], bug: str | None = None) -> Tally:
    """Play many seeds."""
    tally = Tally()
    for seed in seeds:
        tally.add(play(seed, bug))
    return tally
