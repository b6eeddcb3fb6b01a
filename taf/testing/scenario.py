"""One graph, its input and its human, run again and again: how a run ended, and what two of them have to share."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, NamedTuple, TypeGuard, cast

from pydantic import BaseModel

from taf.checkpointer.base import BaseCheckpointer, ThreadKey
from taf.errors import ConfigError, UnknownThreadError
from taf.events import EventType
from taf.graph import Approve, CompiledGraph, InterruptRecord, StateGraph
from taf.state import ExecutionStatus, Message
from taf.state.interrupts import InterruptStatus
from taf.state.renaming import gate_reason
from taf.testing.cuts import CutStore, Watch, watched
from taf.testing.human import LEAVE_OPEN, Answers, FakeHuman

Build = Callable[[BaseCheckpointer], CompiledGraph]
MakeStore = Callable[[], BaseCheckpointer | Awaitable[BaseCheckpointer]]
Names = Counter[tuple[str, str]]
"""How often something was: a question by node and reason, a task by node and name."""

CONFIG: Mapping[str, Any] = {"thread_id": "explored"}


class Explorer(FakeHuman):
    """Approves the breakpoint that was planted, and leaves the question of number ``hold``, from 0, open."""

    def __init__(self, answers: Answers | None, *, planted: str = "", hold: int | None = None) -> None:
        super().__init__(answers)
        self._planted, self._hold = planted, hold
        self.held: InterruptRecord | None = None

    def decide(self, record: InterruptRecord) -> Any:
        """Decide as ``FakeHuman`` does, but for those two."""
        if not record.is_question and record.reason == self._planted == gate_reason(record.kind, record.node):
            return Approve()
        if self.held is None and len(self.asked) == self._hold:
            self.held = record
        if self.held is not None and self.held.id == record.id:
            return LEAVE_OPEN
        return super().decide(record)


class Outcome(NamedTuple):
    """How a thread stands after a run."""

    status: ExecutionStatus
    state: Any
    world: Any
    asked: Names
    waiting: Names
    recorded: Names
    history: Sequence[tuple[int, str, str | None]]


class History(NamedTuple):
    """The events on record, and the tasks among them."""

    events: Sequence[tuple[int, str, str | None]]
    recorded: Names


@dataclass(frozen=True)
class Scenario:
    """What is run. ``fresh`` is called before each run, ``world`` after it; ``same`` says what of a state counts."""

    graph: StateGraph | Build
    input: Any
    answers: Answers | None
    store: MakeStore
    fresh: Callable[[], object] | None
    world: Callable[[], Any] | None
    same: Callable[[Any], Any] | None

    @contextlib.asynccontextmanager
    async def begun(self) -> AsyncGenerator[BaseCheckpointer]:
        """Make the world as it is before a run, and an empty store."""
        if self.fresh is not None:
            self.fresh()
        made = self.store()
        async with await made if isawaitable(made) else made as store:
            yield store

    def app(self, store: CutStore, watch: Watch, *, before: str = "", after: str = "") -> CompiledGraph:
        """Return the app over a store, watched. Raise ``ConfigError`` for a function that compiles without it."""
        graph = self.graph
        app = graph.compile(store) if isinstance(graph, StateGraph) else graph(store)
        if app.checkpointer is not store:
            raise ConfigError("The function that makes the app has to compile it with the store that it is given.")
        return watched(app, watch, before, after)

    async def go_on(self, app: CompiledGraph, human: FakeHuman) -> None:
        """Bring the thread to rest, from wherever it is."""
        try:
            found = await app.aget_state(CONFIG)
        except UnknownThreadError:
            await human.arun(app, self.input, CONFIG)
            return
        if found.interrupts:
            await human.aanswer(app, CONFIG)
        elif found.status is not ExecutionStatus.COMPLETED:
            await human.arun(app, None, CONFIG)

    async def outcome(self, app: CompiledGraph, human: FakeHuman) -> Outcome:
        """Read how the thread stands."""
        found = await app.aget_state(CONFIG)
        await app.aget_history(CONFIG)  # every checkpoint can be read
        history = await history_of(app)
        records = await app.ainterrupts(CONFIG)
        return Outcome(
            found.status,
            self.same(found.state) if self.same is not None else comparable(found.state),
            None if self.world is None else self.world(),
            _names(one.record for one in human.asked),
            _names(record for record in records if record.status is InterruptStatus.OPEN),
            history.recorded,
            history.events,
        )


async def history_of(app: CompiledGraph) -> History:
    """Return what is on record of the thread; nothing, if there is none."""
    events: list[tuple[int, str, str | None]] = []
    recorded: Names = Counter()
    async for event in app.aevents(CONFIG):
        events.append((event.sequence, event.event_type.value, event.node_name))
        if event.event_type is EventType.TASK_RECORDED:
            recorded[(str(event.node_name), str(event.data["task"]))] += 1
    return History(events, recorded)


def _names(records: Iterator[InterruptRecord]) -> Names:
    return Counter((record.node, record.reason) for record in records)


def comparable(value: Any) -> Any:
    """Return a value without what differs from run to run: the ids of messages."""
    if isinstance(value, Message):
        return value.model_dump(exclude={"id"})
    if isinstance(value, BaseModel):
        fields = {**{name: getattr(value, name) for name in type(value).model_fields}, **(value.model_extra or {})}
        return {name: comparable(field) for name, field in fields.items()}
    if _is_mapping(value):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [comparable(item) for item in cast("Sequence[Any]", value)]
    return value


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


class Broken(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        self.invariant, self.what = invariant, what
        super().__init__(what)


def require_same(plain: Outcome, found: Outcome, *, is_crash: bool) -> None:
    """Raise ``Broken`` where a run that was cut differs from the undisturbed one."""
    require_linear(found)
    if lost := plain.asked - found.asked:
        raise Broken("questions", f"{_listed(lost)} was never asked")
    if is_crash and (more := found.asked - plain.asked):
        raise Broken("questions", f"{_listed(more)} was asked again, under another id")
    if found.waiting != plain.waiting:
        differing = (found.waiting - plain.waiting) | (plain.waiting - found.waiting)
        raise Broken("questions", f"whether {_listed(differing)} is open at the end depends on the cut")
    if found.recorded != plain.recorded:
        differing = (found.recorded - plain.recorded) | (plain.recorded - found.recorded)
        raise Broken("tasks", f"the record of {_listed(differing)} is there more or less often than undisturbed")
    for name in ("status", "state", "world"):
        before, after = getattr(plain, name), getattr(found, name)
        if before != after:
            raise Broken(name, f"the {name} is {_short(after)}, and undisturbed {_short(before)}")


def require_linear(found: Outcome) -> None:
    """Raise ``Broken`` for a history with holes or branches."""
    sequences = [sequence for sequence, _, _ in found.history]
    if sequences != list(range(1, len(sequences) + 1)):
        raise Broken("history", f"the sequences of its events are {_short(sequences)}")


def require_kept(before: History, found: Outcome) -> None:
    """Raise ``Broken`` if something that was on record at the cut is not, or not there, any more."""
    if list(found.history[: len(before.events)]) != list(before.events):
        raise Broken("history", "what was on record at the cut is not how the history begins")


async def require_acknowledged(acknowledged: Mapping[ThreadKey, int], store: BaseCheckpointer) -> None:
    """Raise ``Broken`` if the store does not hold what it had acknowledged before the cut."""
    for key, head in acknowledged.items():
        stored = await store.load(key)
        if stored is None or stored.head < head:
            found = 0 if stored is None else stored.head
            raise Broken("history", f"record {head} was acknowledged, and the store holds {found or 'none'} at most")


def require_not_repeated(before: History, found: Outcome, ran: Names) -> None:
    """Raise ``Broken`` if a task ran again whose record was there at the cut. ``ran``: what ran since."""
    if again := ran - (found.recorded - before.recorded):
        raise Broken("tasks", f"{_listed(again)} ran again, though its result was on record")


def _listed(names: Names) -> str:
    return ", ".join(f'"{what}" of node "{node}"' for node, what in names)


def _short(value: Any, longest: int = 300) -> str:
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}…"
