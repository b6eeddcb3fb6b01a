"""Legal journals of any shape, drawn fact by fact along the status table."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from hypothesis import strategies as st
from pydantic import BaseModel

from taf.state import AgentState, Message, append, merge
from taf.state.agent_state import Ask
from taf.state.channel import Op
from taf.state.execution import TRANSITIONS, ExecutionStatus, Move
from taf.state.facts import (
    Answered,
    Completed,
    Edition,
    Entry,
    Fact,
    Failed,
    Forked,
    HandedOver,
    Output,
    Paused,
    Reopened,
    Resumed,
    RolledBack,
    Started,
    Steered,
    Stepped,
    Stopped,
    Task,
    TaskRecorded,
    Updated,
    Upgraded,
)
from taf.state.growing import Growing
from taf.state.interrupts import InterruptKind, InterruptRecord, InterruptStatus
from taf.state.run import NOTHING, Details, Run, Stage, evolve
from taf.state.schema import StateSchema
from taf.state.superseded import Partial, Superseded
from tests.serialization.values import shape


class Pet(BaseModel):
    name: str = "Rex"
    tricks: list[str] = []


def last_three(current: list[int], update: int) -> list[int]:
    return [*current, update][-3:]


class Case(AgentState):
    count: int = 0
    note: str | None = None
    items: list[Any] = []
    pet: Pet | None = None
    when: datetime | None = None
    seen: set[str] = set()
    grown: Annotated[list[int], append] = []
    log: Annotated[list[str], operator.add] = []
    scores: Annotated[dict[str, int], merge] = {}
    total: Annotated[int, operator.add] = 0
    own: Annotated[list[int], last_three] = []


SCHEMA = StateSchema(Case)

words = st.sampled_from(["a", "b", "ask", "\x00", "x y"])
names = st.sampled_from(["plan", "act", "check"])
small = st.integers(-5, 5)
loose = st.recursive(
    st.none() | small | words | st.just(datetime(2024, 7, 1, tzinfo=UTC)) | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2) | st.tuples(inner),
    max_leaves=4,
)
messages = st.builds(Message, id=st.sampled_from("12345"), content=words)
_joined: dict[str, st.SearchStrategy[Any]] = {
    "grown": small | st.lists(small, max_size=3),
    "log": st.lists(words, max_size=3),
    "scores": st.dictionaries(words, small, max_size=2),
    "total": small,
    "own": small,
    "messages": messages | st.lists(messages, max_size=3),
}
joined_updates = st.fixed_dictionaries({}, optional=_joined)
updates = st.fixed_dictionaries(
    {},
    optional={
        **_joined,
        "count": small,
        "note": st.none() | words,
        "items": st.lists(loose, max_size=3),
        "pet": st.none() | st.builds(Pet, name=words, tricks=st.lists(words, max_size=2)),
        "when": st.none() | st.datetimes(timezones=st.just(UTC)),
        "seen": st.sets(words, max_size=2),
    },
)


def ordered(ops: Sequence[Op]) -> tuple[Op, ...]:
    """Put the changes of lists last, as they are when they are read back."""
    return tuple(sorted(ops, key=lambda op: op[1] in SCHEMA.channels and SCHEMA.channels[op[1]].is_list))


def edits(draw: st.DrawFn, values: Mapping[str, Any]) -> tuple[Op, ...]:
    """Change a list otherwise than by growing."""
    held = values.get("items")
    if not isinstance(held, Growing) or not len(held) or draw(st.booleans()):
        return ()
    index = draw(st.integers(0, len(held) - 1))
    return (("cut", "items", index),) if draw(st.booleans()) else (("put", "items", (index, "edited")),)


def changes(draw: st.DrawFn, values: Mapping[str, Any], nodes: int = 1) -> list[tuple[Op, ...]]:
    """Return what each of several nodes changed."""
    wanted = [
        (f"n{index}", SCHEMA.wanted(draw(joined_updates if index else updates), "A node returned"))
        for index in range(nodes)
    ]
    merged, after = SCHEMA.merge(values, wanted)
    found = [ordered(ops) for ops in merged]
    return [*found[:-1], (*found[-1], *edits(draw, after))] if found else []


tasks = st.builds(
    Task,
    node=names,
    key=st.sampled_from(["plan", "act", "act#1"]),
    overlay=st.none() | st.fixed_dictionaries({}, optional={"count": small, "items": st.lists(loose, max_size=2)}),
)
frontiers = st.lists(tasks, max_size=2).map(tuple)
asks = st.builds(Ask, names, words, st.sampled_from([s for s in ExecutionStatus if s.is_interrupted]), loose)
outputs = st.builds(
    Output,
    key=st.sampled_from(["plan", "act", "act#1"]),
    node=names,
    ops=updates.map(lambda update: tuple(SCHEMA.wanted(update, "A node returned"))),
    goto=st.none() | frontiers,
    ask=st.none() | asks,
)
some_outputs = st.lists(outputs, max_size=2, unique_by=lambda output: output.key).map(tuple)
partials = st.lists(st.builds(Partial, names, st.integers(1, 3), st.none() | words, loose), max_size=2).map(tuple)
named_keys = st.dictionaries(names, st.lists(names, max_size=2).map(tuple), max_size=2)
records = st.builds(
    InterruptRecord,
    id=st.sampled_from(["i1", "i2", "i3"]),
    thread_id=st.just("t"),
    run_id=words,
    node=names,
    kind=st.sampled_from(InterruptKind),
    reason=words,
    created_at=st.datetimes(timezones=st.just(UTC)),
    data=loose,
    answer_schema=st.none() | st.just({"type": "string", "enum": ["a"]}),
    due_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    version=st.integers(1, 4),
    path=st.lists(names, max_size=2).map(tuple),
    task=st.none() | st.sampled_from(["plan", "act"]),
    position=st.integers(0, 2),
    inner_id=st.none() | words,
)
some_records = st.lists(records, max_size=2, unique_by=lambda record: record.id).map(tuple)
entries = st.builds(Entry, st.sampled_from(["task", "answer", "reject"]), words, loose)
details = st.just(NOTHING) | st.builds(
    Details,
    interrupts=some_records,
    finished=some_outputs.map(lambda found: {output.key: output for output in found}),
    memo=st.dictionaries(names, st.dictionaries(st.integers(0, 3), entries, max_size=2), max_size=2),
    carried=frontiers,
    asks=st.lists(st.tuples(names, names, asks), max_size=2).map(tuple),
    settled=st.lists(st.tuples(st.sampled_from(InterruptKind), names, words, loose), max_size=2).map(tuple),
    passed=st.frozensets(names),
    joins=named_keys,
    reached=named_keys,
    partials=partials,
    node=st.none() | names,
    reason=st.none() | words,
    error=st.none() | words,
    superseded_by=st.none() | words,
)
superseded = st.builds(
    Superseded,
    run_id=words,
    superseded_by=words,
    ops=st.sampled_from([(), (("set", "count", 3),), (("set", "note", "a"), ("set", "count", 1))]),
    completed=st.lists(names, max_size=2).map(tuple),
    partials=partials,
    open_tool_calls=st.lists(words, max_size=2).map(tuple),
    node=st.none() | names,
    ended=st.floats(0, 2e9),
)
runs = st.builds(
    Run,
    thread_id=st.just(""),
    values=st.just({}),
    status=st.sampled_from(ExecutionStatus),
    run_id=words,
    sequence=st.integers(0, 99),
    step=st.integers(0, 99),
    node=st.none() | names,
    frontier=frontiers,
    visit=st.integers(0, 99),
    stage=st.sampled_from(Stage),
    ran=st.lists(names, max_size=2).map(tuple),
    details=details,
    edition=st.builds(Edition, words, st.just(1)),
    begun=st.integers(0, 99),
    past=st.lists(superseded, max_size=2).map(tuple),
)


_asks = st.lists(st.tuples(names, names, asks), max_size=2).map(tuple)
_pause = st.tuples(names, words, some_records, some_outputs)
_rest_of_step = st.none() | st.fixed_dictionaries(
    {"asks": _asks, "carried": frontiers, "joins": st.none() | named_keys, "reached": named_keys}
)
_recorded = st.tuples(names, names, st.integers(0, 3), entries).map(lambda parts: TaskRecorded(*parts))
_reopened = st.tuples(records, words).map(lambda parts: Reopened(replace(parts[0], task="act"), parts[1]))
_stopped = st.builds(
    Stopped,
    words,
    words,
    st.none() | names,
    some_outputs,
    partials,
    st.lists(names, max_size=2).map(tuple),
    st.none() | words,
)
_handed_over = st.builds(HandedOver, superseded, st.integers(1, 3))
_failed = st.tuples(words, words, st.none() | names, some_outputs).map(lambda parts: Failed(*parts))
_counts, _closings = st.integers(0, 3), st.sampled_from([InterruptStatus.ANSWERED, InterruptStatus.REJECTED])
_some_entry, _some_frontier = st.none() | entries, st.none() | frontiers
_choice = st.integers(0, 5)
_renamed = st.sampled_from([{}, {"plan": "planned"}, {"plan": "think", "act": "do"}])


def _step(draw: st.DrawFn, run: Run) -> Fact:
    choice = draw(_choice)
    if choice == 0:
        return draw(_recorded)
    if choice == 2:
        return Upgraded(draw(words), 1, draw(_renamed), {}, ordered(changes(draw, run.values)[0]))
    if choice == 1:
        return draw(_reopened)
    ran = tuple((draw(names), f"n{index}", ops) for index, ops in enumerate(changes(draw, run.values, draw(_counts))))
    return Stepped(ran, draw(frontiers), **(draw(_rest_of_step) or {}))


def closed(record: InterruptRecord, status: InterruptStatus) -> InterruptRecord:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    return replace(record, status=status, version=record.version + 1, answer="x", answered_by="al", answered_at=at)


def _answer(draw: st.DrawFn, run: Run) -> Fact:
    record = closed(draw(st.sampled_from(run.details.interrupts)), draw(_closings))
    return Answered(record, draw(_some_entry), draw(_some_frontier), changes(draw, run.values)[0])


def _begin(draw: st.DrawFn, ops: tuple[Op, ...]) -> Fact:
    if draw(_choice) == 0:
        return Forked(draw(words), 7, draw(runs), ops, draw(st.sampled_from([(), ops])))
    return Started(draw(words), ops, draw(frontiers), draw(words))


def following(draw: st.DrawFn, run: Run) -> Fact:
    """Return a fact that may come next."""
    moves = [move for move in TRANSITIONS[run.status] if move is not Move.ANSWER or run.details.interrupts]
    move = draw(st.sampled_from([*moves, Move.PROGRESS, Move.PROGRESS] if Move.PROGRESS in moves else moves))
    if run.sequence and draw(_choice) == 0:
        return draw(_handed_over)
    if move is Move.PROGRESS:
        return _step(draw, run)
    if move is Move.ANSWER:
        return _answer(draw, run)
    if move in (Move.PAUSE_BEFORE, Move.PAUSE_AFTER):
        return Paused(InterruptKind.AFTER if move is Move.PAUSE_AFTER else InterruptKind.NODE, *draw(_pause))
    if move in (Move.STOP, Move.FAIL, Move.COMPLETE):
        return draw(_stopped) if move is Move.STOP else draw(_failed) if move is Move.FAIL else Completed()
    new = () if run.sequence else tuple(SCHEMA.default_ops())
    ops = ordered((*new, *changes(draw, SCHEMA.apply(run.values, new))[0]))
    if move is Move.START:
        return _begin(draw, ops) if not run.sequence else Started(draw(words), ops, draw(frontiers), draw(words))
    if move is Move.RESUME:
        return Resumed(draw(words), ops)
    if move is Move.UPDATE:
        return draw(st.sampled_from([Updated(ops), Steered((draw(words),), ops)]))
    if draw(_choice) == 0:
        return RolledBack(draw(words), 1, ops)
    return Updated(ops, draw(names), draw(frontiers))


@st.composite
def journals(draw: st.DrawFn, max_size: int = 14) -> list[Fact]:
    """Return the facts of a thread."""
    run, facts = Run("t"), list[Fact]()
    for _ in range(draw(st.integers(1, max_size))):
        facts.append(following(draw, run))
        run = evolve(SCHEMA, run, facts[-1])
    return facts


def outline(run: Run) -> Any:
    """Describe a run and all its values, to be compared."""
    values = {
        name: (shape(value.to_list()), value.origin) if isinstance(value, Growing) else shape(value)
        for name, value in run.values.items()
    }
    return shape(run._replace(values={})), sorted(values.items())
