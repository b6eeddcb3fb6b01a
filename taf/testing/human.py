"""A human who knows all the answers: runs an app until its thread rests, and remembers what was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from taf.errors import TafError
from taf.graph import Approve, CompiledGraph, InterruptRecord, RunResult

Config: TypeAlias = Mapping[str, Any]
Rule: TypeAlias = Callable[[InterruptRecord], Any]
Answers: TypeAlias = Mapping[str, Any] | Sequence[Any] | Rule


class _LeaveOpen:
    def __repr__(self) -> str:
        return "LEAVE_OPEN"


LEAVE_OPEN: Final = _LeaveOpen()
"""An answer that is none: the interrupt stays open."""

PATIENCE = 1000
"""How many answers a human gives for one call, before it is taken for a loop."""


class UnexpectedQuestionError(TafError, AssertionError):
    """The human was asked what it has no answer for. ``record`` is the question."""

    def __init__(self, record: InterruptRecord, why: str) -> None:
        self.record = record
        super().__init__(f'Node "{record.node}" asks "{record.reason}" ({record.kind.value}), {why}.')


@dataclass(frozen=True, slots=True)
class Asked:
    """One interrupt that was decided, and how."""

    record: InterruptRecord
    answer: Any

    @property
    def reason(self) -> str:
        """What was asked."""
        return self.record.reason


class FakeHuman:
    """Answers the open interrupts of an app until the thread rests, and notes them in ``asked``.

    ``answers`` is one of: a mapping from a question's reason, or its node, to the answer; a list of answers, one for
    each interrupt in turn; a function that takes the ``InterruptRecord``. In a mapping a function is called with the
    record. Every answer may be an ``Approve``, ``Reject``, ``Edit`` or ``Respond``, or ``LEAVE_OPEN``.

    A mapping need not name breakpoints: what wants leave, and no answer, is approved. A question that is asked again
    under the same id gets the same answer.
    """

    def __init__(self, answers: Answers | None = None, *, by: str | None = "human") -> None:
        self.by = by
        self.asked: list[Asked] = []
        self._answers: Answers = {} if answers is None else answers
        self._decided: dict[str, Any] = {}
        self._next = 0

    @property
    def reasons(self) -> list[str]:
        """What was asked, in order."""
        return [one.reason for one in self.asked]

    # -- running an app ----------------------------------------------------------------------------

    async def arun(self, app: CompiledGraph, input: Any = None, config: Config | None = None) -> RunResult:
        """Invoke an app and answer what it asks, until the thread rests or waits for what is left open.

        Raise ``UnexpectedQuestionError``, and whatever ``ainvoke`` and ``aresume`` raise.
        """
        result = await app.ainvoke(input, config)
        return await self._aanswer(app, _named(config, result), result)

    async def aanswer(self, app: CompiledGraph, config: Config) -> RunResult:
        """Answer what a thread asks already, and go on as ``arun`` does."""
        return await self._aanswer(app, config, await app.ajoin(config))

    async def _aanswer(self, app: CompiledGraph, config: Config, result: RunResult) -> RunResult:
        for _ in range(PATIENCE):
            found = self._next_decision(result)
            if found is None:
                return result
            result = await app.aresume(config, found.answer, by=self.by, interrupt_id=found.record.id)
        raise UnexpectedQuestionError(self.asked[-1].record, f"and still asks after {PATIENCE} answers")

    def run(self, app: CompiledGraph, input: Any = None, config: Config | None = None) -> RunResult:
        """Do what ``arun`` does, in a sync program."""
        result = app.invoke(input, config)
        return self._answer(app, _named(config, result), result)

    def answer(self, app: CompiledGraph, config: Config) -> RunResult:
        """Do what ``aanswer`` does, in a sync program."""
        return self._answer(app, config, app.join(config))

    def _answer(self, app: CompiledGraph, config: Config, result: RunResult) -> RunResult:
        for _ in range(PATIENCE):
            found = self._next_decision(result)
            if found is None:
                return result
            result = app.resume(config, found.answer, by=self.by, interrupt_id=found.record.id)
        raise UnexpectedQuestionError(self.asked[-1].record, f"and still asks after {PATIENCE} answers")

    # -- deciding ----------------------------------------------------------------------------------

    def decide(self, record: InterruptRecord) -> Any:
        """Return the answer to one interrupt, and note it. Raise ``UnexpectedQuestionError``."""
        if record.id not in self._decided:
            answer = self._decided[record.id] = self._decide(record)
            self.asked.append(Asked(record, answer))
        return self._decided[record.id]

    def _next_decision(self, result: RunResult) -> Asked | None:
        for record in result.interrupts:
            answer = self.decide(record)
            if answer is not LEAVE_OPEN:
                return Asked(record, answer)
        return None

    def _decide(self, record: InterruptRecord) -> Any:
        answers = self._answers
        if callable(answers):
            return answers(record)
        if isinstance(answers, Mapping):
            return _looked_up(answers, record)
        if self._next >= len(answers):
            raise UnexpectedQuestionError(record, f"and the script of {len(answers)} answers is at its end")
        self._next += 1
        return answers[self._next - 1]


def _looked_up(answers: Mapping[str, Any], record: InterruptRecord) -> Any:
    for name in (record.reason, record.node):
        if name in answers:
            found = answers[name]
            is_rule = callable(found) and not isinstance(found, type)
            return cast("Rule", found)(record) if is_rule else found
    if record.is_question:
        known = ", ".join(f'"{name}"' for name in answers) or "nothing"
        raise UnexpectedQuestionError(record, f"and there are answers to {known} only")
    return Approve()


def _named(config: Config | None, result: RunResult) -> dict[str, Any]:
    return {**(config or {}), "thread_id": result.thread_id}
