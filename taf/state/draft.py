"""What is to come of a thread: facts that follow each other, before any of them is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taf.state.facts import Fact
from taf.state.run import Run, evolve
from taf.state.schema import StateSchema, Values


class Draft:
    """Facts that follow on a run, each with the run that it leads to; ``run`` is the last of these."""

    __slots__ = ("_schema", "moves", "run")

    def __init__(self, schema: StateSchema, run: Run, facts: Iterable[Fact] = ()) -> None:
        self._schema, self.run = schema, run
        self.moves: list[tuple[Fact, Run]] = []
        for fact in facts:
            self.add(fact)

    def add(self, fact: Fact, values: Values | None = None) -> None:
        """Take one more fact. An impossible one raises, and is not taken. ``values``: see ``evolve``."""
        self.run = evolve(self._schema, self.run, fact, values)
        self.moves.append((fact, self.run))

    @property
    def facts(self) -> Sequence[Fact]:
        """The facts alone."""
        return [fact for fact, _ in self.moves]
