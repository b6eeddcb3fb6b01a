"""What has to hold of the journals, once everything is at rest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from taf.checkpointer.base import Record, ThreadKey
from taf.checkpointer.fold import Reading
from taf.checkpointer.lineage import Lineage
from taf.state.facts import (
    Answered,
    Completed,
    Fact,
    Paused,
    Reopened,
    Started,
    Stepped,
    Stopped,
    TaskRecorded,
)
from taf.state.run import Run, evolve
from taf.state.schema import StateSchema
from tests.simulation.database import Database, Row
from tests.simulation.graphs import Kind, Outside, Place, Trail
from tests.simulation.judge import Judge
from tests.simulation.world import World

SCHEMA = StateSchema(Trail)
READING = Reading(SCHEMA, Lineage())


class Inspection:
    """Reads the journal of one thread, fact by fact, and says what is wrong with it."""

    def __init__(self, world: World, key: ThreadKey, row: Row, steps: Sequence[Sequence[str]]) -> None:
        self._world, self._key, self._row, self._steps = world, key, row, steps
        self.run = Run(key.thread)
        self.made = 0
        self.open: dict[str, str] = {}
        self.answers: dict[str, Any] = {}
        self.recorded: dict[tuple[Place, int], int] = {}
        self._made: list[list[str]] = []

    def violate(self, invariant: str, what: str) -> None:
        self._world.violate(invariant, f"{self._key.thread!r} at {self.run.sequence}: {what}")

    def read(self) -> None:
        """Go through all records."""
        for record in self._row.records:
            try:
                fact = READING.fact(self._key.thread, record)
                self._follow(record, fact)
            except Exception as error:
                self.violate("journal", f"{record.kind} cannot follow: {error!r}")
                return
        self._at_the_end()

    def _follow(self, record: Record, fact: Fact) -> None:
        before, self.run = self.run, evolve(SCHEMA, self.run, fact)
        run = self.run
        if (record.sequence, record.run_id, record.step) != (run.sequence, run.run_id, run.step):
            self.violate("sequences", f"{record[:3]} is stored where {run.sequence} {run.run_id} is next")
        if isinstance(fact, Started):
            self._made = []
        elif isinstance(fact, Stepped):
            self._stepped(before, fact)
        elif isinstance(fact, TaskRecorded):
            self._task(before, fact, record)
        elif isinstance(fact, Completed) and self._made != [sorted(nodes) for nodes in self._steps]:
            self.violate("steps", f"the pass is complete with {self._made}")
        self._questions(before, fact)

    def _stepped(self, before: Run, fact: Stepped) -> None:
        self.made += 1
        self._made.append(sorted(node for node, _, _ in fact.ran))
        expected = [sorted(nodes) for nodes in self._steps[: len(self._made)]]
        if self._made != expected:
            self.violate("steps", f"the pass made {self._made}")
        if sorted(key for _, key, _ in fact.ran) != sorted(task.key for task in before.frontier):
            self.violate("steps", f"{[key for _, key, _ in fact.ran]} ran, but {before.frontier} was next")

    def _task(self, before: Run, fact: TaskRecorded, record: Record) -> None:
        place = (Place(self._key.thread, before.visit, fact.key), fact.position)
        if place in self.recorded:
            self.violate("tasks", f"{place} was recorded twice")
        self.recorded[place] = record.sequence

    def _questions(self, before: Run, fact: Fact) -> None:
        if isinstance(fact, Paused):
            for one in fact.records:
                if one.id in self.open and self.open[one.id] != "reopened":
                    self.violate("questions", f"{one.id} was asked twice")
                self.open[one.id] = "open"
        elif isinstance(fact, Answered):
            if self.open.pop(fact.record.id, None) is None:
                self.violate("questions", f"{fact.record.id} was answered though it was not open")
            self.answers[fact.record.id] = fact.record.answer
        elif isinstance(fact, Reopened):
            self.open[fact.record.id] = "reopened"
        elif isinstance(fact, Stopped | Started):  # withdrawn, as their rows have to say
            self.open.clear()
        elif self.open and not self.run.details.interrupts:
            self.violate("questions", f"{list(self.open)} were lost by {type(fact).__name__}")

    def _at_the_end(self) -> None:
        row, run = self._row, self.run
        if (row.head, row.status, row.run_id) != (run.sequence, run.status.value, run.run_id):
            self.violate("final state", f"the row says {row.head} {row.status} {row.run_id}, the journal {run}")
        still = {record.id for record in run.details.interrupts}
        stored = {one.id for one in row.interrupts.values() if one.status == "open"}
        if not (still == stored == set(self.open)):
            self.violate("questions", f"open: {still}, by the rows: {stored}, by the journal: {set(self.open)}")
        answered = {one.id for one in row.interrupts.values() if one.status in ("answered", "rejected")}
        if answered != set(self.answers):
            self.violate("questions", f"answered: {set(self.answers)}, by the rows: {answered}")

    def answers_arrived(self, given: set[Any]) -> None:
        """See that nodes got what humans said, each answer once."""
        said = [line for line in self.run.values.get("trail", ()) if " answer " in line]
        words = " ".join(said).split()
        used = [int(word) for last, word in pairwise(words) if last == "answer"]
        if len(set(used)) != len(used) or not set(used) <= given:
            self.violate("questions", f"nodes got the answers {used}, given were {given}")


def inspect(
    world: World, database: Database, judge: Judge, outside: Outside, kind: Kind
) -> dict[ThreadKey, Inspection]:
    """Look at everything that is stored. Violations are the world's."""
    found: dict[ThreadKey, Inspection] = {}
    for key, row in sorted(database.rows.items()):
        one = found[key] = Inspection(world, key, row, kind.inner_steps if key.tenant else kind.steps)
        one.read()
        if judge.books[row.born].records != row.records:
            one.violate("durability", "what was committed is not what is there")
    given = {answer for one in found.values() for answer in one.answers.values()}
    for one in found.values():
        one.answers_arrived(given)
    gone = {book.key for book in judge.books.values() if book.records} - set(database.rows)
    for key in sorted(gone):
        world.violate("durability", f"{key.thread!r} is gone")
    _tasks_called_once(world, outside, found)
    return found


def _tasks_called_once(world: World, outside: Outside, found: dict[ThreadKey, Inspection]) -> None:
    recorded = {place: sequence for one in found.values() for place, sequence in one.recorded.items()}
    for call in outside.calls:
        sequence = recorded.get((call.place, call.position))
        if sequence is not None and sequence <= call.head and call.is_owner:
            world.violate("tasks", f"{call.place} was called again after it was on record")
    for place, keys in outside.charges.items():
        if len(keys) > 1:
            world.violate("effects", f"{place} was done under {keys}")
