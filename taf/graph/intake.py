"""What a call means for a thread as it stands: the facts that begin a run, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from inspect import isawaitable
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

from pydantic import TypeAdapter, ValidationError

from taf.errors import (
    AlreadyAnsweredError,
    AmbiguousResumeError,
    ConfigError,
    InterruptExpiredError,
    InvalidAnswerError,
    InvalidInputError,
    NothingToResumeError,
    NotStorableError,
    StateError,
    ThreadPausedError,
    UnknownInterruptError,
)
from taf.graph.answers import plain_answer, type_from_schema, why_invalid
from taf.graph.command import END
from taf.graph.deciding import Decide, approve_breakpoints
from taf.graph.handover import Handover, repairing
from taf.graph.spec import GraphSpec
from taf.serialization import pack
from taf.state.channel import Op
from taf.state.draft import Draft
from taf.state.execution import ExecutionStatus
from taf.state.facts import Answered, Entry, Resumed, Started, Steered, Stopped, Task, Updated
from taf.state.interrupts import (
    Approve,
    Edit,
    HumanDecision,
    InterruptKind,
    InterruptRecord,
    InterruptStatus,
    Reject,
    Respond,
)
from taf.state.run import Run, without_ways_of
from taf.state.schema import Values
from taf.tuples import NamedTuple

WhilePaused: TypeAlias = Literal["resume", "reject", "supersede"]


class _NoAnswer:
    def __repr__(self) -> str:
        return "no answer"


NO_ANSWER: Final = _NoAnswer()


class Invoke(NamedTuple):
    """New input, ``{}`` or None. ``strategy``: that of a message which has waited for its turn."""

    input: Any
    strategy: str = ""


class Wanted(NamedTuple):
    """Input that was read before it was known what it would meet."""

    ops: tuple[Op, ...]


class Whole(NamedTuple):
    """Input of a subgraph: values that stand in place of the defaults, without their reducers."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A human's answer to an open interrupt. One that was accepted before, by a parent graph, is never too late."""

    answer: Any = NO_ANSWER
    by: str | None = None
    interrupt_id: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(cast("object", self.by), str | None):
            raise ConfigError(f'by names who answers, as in by="alice": it cannot be {self.by!r}.')

    is_accepted: bool = False

    @property
    def names_one(self) -> bool:
        """True for an answer to a question or a breakpoint, and not just leave to go on."""
        return self.answer is not NO_ANSWER or self.interrupt_id is not None


class Recover(NamedTuple):
    """Go on with the run whose owner died: with that one only, and only where it is still under way."""


Call: TypeAlias = Invoke | Answer | Recover

_CUT_SHORT = (ExecutionStatus.STOPPED, ExecutionStatus.RUNNING)
_GOES_ON = (*_CUT_SHORT, ExecutionStatus.ERROR)


class Caller(Protocol):
    """What a call is made for: the run that it begins or goes on with."""

    @property
    def run_id(self) -> str: ...

    async def entered(self, run: Run, values: Values) -> tuple[Task, ...]:
        """Route from START, on the values that the input led to."""
        ...

    async def closed(self) -> Sequence[InterruptRecord]:
        """Return the interrupts that were answered before."""
        ...


class Intake:
    """Reads calls for one graph. Nothing here writes: it adds to a draft, or raises."""

    def __init__(
        self,
        spec: GraphSpec,
        *,
        decide: Decide = approve_breakpoints,
        while_paused: WhilePaused = "resume",
        clock: Callable[[], float],
        handover: Handover,
    ) -> None:
        self._spec, self._decide, self._while_paused = spec, decide, while_paused
        self._clock, self._handover = clock, handover

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    async def read(self, call: Call, draft: Draft, caller: Caller) -> None:
        """Put what a call means behind what has been drafted."""
        run, run_id = draft.run, caller.run_id
        if isinstance(call, Recover):
            if run.status is not ExecutionStatus.RUNNING or run.run_id != run_id:
                raise NothingToResumeError(run.thread_id, run.status.value)
            draft.add(Resumed(run_id))
        elif run.status.is_interrupted:
            if isinstance(call, Answer):
                await self._answer(call, draft, caller)
            else:
                await self._while_it_waits(call, draft, caller)
        elif not isinstance(call, Answer):
            await self._outside_a_pause(call, draft, caller)
        elif run.details.interrupts and call.names_one:
            await self._answer(call, draft, caller)  # a question outlives an error elsewhere
        else:
            await self._refuse_late_answer(run, call, caller)
            if run.status in (ExecutionStatus.IDLE, ExecutionStatus.COMPLETED):
                raise NothingToResumeError(run.thread_id, run.status.value)
            draft.add(Resumed(run_id))

    async def _outside_a_pause(self, call: Invoke, draft: Draft, caller: Caller) -> None:
        run, given = draft.run, call.input
        if run.status is ExecutionStatus.COMPLETED and given is None:
            raise NothingToResumeError(run.thread_id, run.status.value)
        if run.status in _GOES_ON and is_empty(given):
            draft.add(Resumed(caller.run_id))
        elif run.status in _CUT_SHORT:
            await self._in_place_of(call, draft, caller)
        else:
            await self.start(given, draft, caller)

    async def _in_place_of(self, call: Invoke, draft: Draft, caller: Caller) -> None:
        """Begin a pass on what a run left that was cut short. One that nobody drives, or that waits, ends with that."""
        run = draft.run
        if run.status is not ExecutionStatus.STOPPED:
            draft.add(Stopped(run.run_id, "superseded by new input", run.node, superseded_by=caller.run_id))
        is_undone = call.strategy == "rollback"
        for fact in await self._handover.facts(draft.run, caller.run_id, is_undone=is_undone):
            draft.add(fact)
        await self.start(call.input, draft, caller)

    async def start(self, given: Any, draft: Draft, caller: Caller) -> None:
        """Begin a pass on the values that are there and the input."""
        schema, run = self._spec.schema, draft.run
        if not run.sequence:
            before = schema.default_ops()
        else:
            before = [] if run.status is ExecutionStatus.COMPLETED else repairing(schema, run)
        now = run.sequence + 1
        ops, values = self._merge(schema.apply(run.values, before, now), given, now)
        missing = schema.missing(values)
        if missing:
            names = ", ".join(missing)
            raise InvalidInputError(f"The input lacks {names}: {schema.model.__name__} has no default for it.")
        frontier = await caller.entered(run, values)
        draft.add(Started(caller.run_id, (*before, *ops), frontier, *self._spec.edition), values)

    def _merge(self, values: Values, given: Any, origin: int | None = None) -> tuple[Sequence[Op], Values]:
        schema = self._spec.schema
        if is_empty(given):
            return [], values
        wanted: Sequence[Op]
        if type(given) is dict:
            wanted = schema.wanted_by_dict(cast("dict[str, Any]", given), "The input has", InvalidInputError)
        elif isinstance(given, Whole):
            wanted = schema.wanted_whole(given.values, "The input has", InvalidInputError)
        elif isinstance(given, Wanted):
            wanted = given.ops
        elif isinstance(given, schema.model):
            wanted = schema.wanted_by_state(values, given, "The input has")
        else:
            wanted = schema.wanted(given, "The input has", InvalidInputError)
        changes, values = schema.merge(values, [("the input", wanted)], origin)
        return changes[0], values

    # -- while a human is asked --------------------------------------------------------------------

    async def _while_it_waits(self, call: Invoke, draft: Draft, caller: Caller) -> None:
        run, given = draft.run, call.input
        if call.strategy == "steer":
            draft.add(Steered((caller.run_id,), tuple(self._merge(run.values, given)[0])))
            return
        if not (call.strategy or is_empty(given)) and self._while_paused == "reject":
            raise ThreadPausedError(run.thread_id, [record.reason for record in run.details.interrupts])
        if call.strategy or (not is_empty(given) and self._while_paused == "supersede"):
            await self._in_place_of(call, draft, caller)
            return
        ops, _ = self._merge(run.values, given)
        answered: list[Answered] = []
        for record in run.details.interrupts:
            decision = self._decide(given, record)
            if isawaitable(decision):
                decision = await decision
            if decision is not None:
                self._require_in_time(run, record)
                answered.append(self._answered(draft.run, record, decision, None))
                draft.add(answered[-1])
        self._go_on(draft, answered, tuple(ops), caller.run_id)

    async def _answer(self, call: Answer, draft: Draft, caller: Caller) -> None:
        run = draft.run
        records = run.details.interrupts
        if call.interrupt_id is None and len(records) > 1:
            raise AmbiguousResumeError(run.thread_id, [(record.id, record.reason) for record in records])
        record = next((r for r in records if call.interrupt_id in (None, r.id)), None)
        if record is None:
            await self._refuse_late_answer(run, call, caller)
            raise UnknownInterruptError(run.thread_id, str(call.interrupt_id))
        if not call.is_accepted:
            self._require_in_time(run, record)
        fact = self._answered(run, record, self._read(run, record, call.answer), call.by)
        draft.add(fact)
        self._go_on(draft, [fact], (), caller.run_id)

    async def _refuse_late_answer(self, run: Run, call: Answer, caller: Caller) -> None:
        """Raise for an answer that nobody waits for any more, or that nobody ever asked for."""
        if call.interrupt_id is None and call.answer is NO_ANSWER:
            return
        known = [r for r in await caller.closed() if call.interrupt_id in (None, r.id)]
        if known:
            last = known[0]
            raise AlreadyAnsweredError(run.thread_id, last.id, last.status.value, last.answered_by, last.answered_at)
        if call.interrupt_id is not None:
            raise UnknownInterruptError(run.thread_id, call.interrupt_id)
        raise NothingToResumeError(run.thread_id, run.status.value)

    @staticmethod
    def _go_on(draft: Draft, facts: Sequence[Answered], ops: tuple[Op, ...], run_id: str) -> None:
        """Add what follows the answers: the run goes on as soon as something can run."""
        waiting = {record.task for record in draft.run.details.interrupts}
        answered = {fact.record.task for fact in facts}
        # A breakpoint holds the whole step; a question only its node, which needs all its answers.
        if answered and (not waiting or (None not in waiting and answered - waiting)):
            draft.add(Resumed(run_id, ops))
        elif ops:
            draft.add(Updated(ops))

    # -- one answer --------------------------------------------------------------------------------

    def _read(self, run: Run, record: InterruptRecord, answer: Any) -> HumanDecision:
        if isinstance(answer, HumanDecision):
            return answer
        if record.is_question:
            if answer is NO_ANSWER:
                raise InvalidAnswerError(run.thread_id, record.id, f'"{record.reason}" needs an answer.')
            return Respond(answer)
        if answer is NO_ANSWER or answer is True:
            return Approve()
        if answer is False:
            return Reject()
        raise InvalidAnswerError(
            run.thread_id, record.id, f"a breakpoint takes Approve(), Reject(...) or Edit(...), not {answer!r}."
        )

    def _require_in_time(self, run: Run, record: InterruptRecord) -> None:
        if record.due_at is not None and self._now() > record.due_at:
            raise InterruptExpiredError(run.thread_id, record.id, record.due_at)

    def _answered(self, run: Run, record: InterruptRecord, decision: Any, by: str | None) -> Answered:
        decision = self._allowed(run, record, decision)
        is_reject = isinstance(decision, Reject)
        closed = replace(
            record,
            status=InterruptStatus.REJECTED if is_reject else InterruptStatus.ANSWERED,
            version=record.version + 1,
            answer=decision.answer if isinstance(decision, Respond) else decision.reason if is_reject else None,
            answered_by=by,
            answered_at=self._now(),
        )
        if record.inner_id is not None:
            return Answered(closed, Entry("decision", record.inner_id, [*_stored(decision), by]))
        try:
            if record.task is None:
                return self._at_breakpoint(run, closed, decision)
            if isinstance(decision, Reject):
                self._spec.tasks([decision.goto or END], "Reject(goto=...)")
                return Answered(closed, Entry("reject", record.reason, [decision.reason, by, decision.goto]))
            return Answered(closed, Entry("answer", record.reason, closed.answer))
        except StateError as error:
            raise InvalidAnswerError(run.thread_id, record.id, str(error)) from error

    def _at_breakpoint(self, run: Run, closed: InterruptRecord, decision: HumanDecision) -> Answered:
        if isinstance(decision, Edit):
            return Answered(closed, ops=tuple(self._merge(run.values, dict(decision.update))[0]))
        if not isinstance(decision, Reject):
            return Answered(closed)
        target = self._spec.tasks([decision.goto or END], "Reject(goto=...)")
        if closed.kind is InterruptKind.AFTER:
            kept = without_ways_of(closed.node, run.frontier, run.details.reached)
        else:
            kept = tuple(task for task in run.frontier if task.node != closed.node)
        return Answered(closed, frontier=(*kept, *(task for task in target if task not in kept)))

    def _allowed(self, run: Run, record: InterruptRecord, decision: Any) -> HumanDecision:
        words = {Approve: "approve", Reject: "reject", Edit: "edit", Respond: "respond"}
        word = words.get(decision.__class__)
        if word == "approve" and record.is_question:
            decision, word = Respond(True), "respond"
        if word is None or word not in record.allowed:
            allowed = ", ".join(record.allowed)
            raise InvalidAnswerError(run.thread_id, record.id, f"it takes {allowed}, not {word or repr(decision)}.")
        if isinstance(decision, Reject) and not isinstance(cast("object", decision.reason), str):
            raise InvalidAnswerError(run.thread_id, record.id, f"its reason is {decision.reason!r}, which is no text.")
        if isinstance(decision, Edit) and not isinstance(cast("object", decision.update), Mapping):
            raise InvalidAnswerError(run.thread_id, record.id, f"its update is {decision.update!r}, which is no dict.")
        if isinstance(decision, Respond):
            return Respond(self._fitting(run, record, decision.answer))
        return cast("HumanDecision", decision)

    @staticmethod
    def _fitting(run: Run, record: InterruptRecord, answer: Any) -> Any:
        try:
            answer = plain_answer(answer)
            if record.answer_schema is not None:
                TypeAdapter(type_from_schema(record.answer_schema)).validate_python(answer)
            pack(answer, ("the answer",))
        except ValidationError as error:
            raise InvalidAnswerError(run.thread_id, record.id, why_invalid(error)) from error
        except NotStorableError as error:
            raise InvalidAnswerError(run.thread_id, record.id, str(error)) from error
        return answer


def is_empty(given: Any) -> bool:
    """True for input that says nothing: None or ``{}``."""
    if given is None or type(given) is dict:
        return not given
    return isinstance(given, Mapping) and not given


def _stored(decision: HumanDecision) -> list[Any]:
    if isinstance(decision, Reject):
        return ["reject", [decision.reason, decision.goto]]
    if isinstance(decision, Edit):
        return ["edit", dict(decision.update)]
    return ["respond", decision.answer] if isinstance(decision, Respond) else ["approve", None]


def decision_of(stored: Sequence[Any]) -> HumanDecision:
    """Read a decision that was recorded for a subgraph."""
    word, value = stored[0], stored[1]
    if word == "reject":
        return Reject(*value)
    if word == "edit":
        return Edit(value)
    return Respond(value) if word == "respond" else Approve()
