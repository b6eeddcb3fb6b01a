"""The planner as a state machine: random graphs, outcomes, answers and stops, without an event loop.

It keeps a model of its own (who was let through, which pauses are owed, what arrived and what was committed) and
compares every decision with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taf.checkpointer import InMemoryCheckpointer
from taf.checkpointer.encoding import FactCodec
from taf.checkpointer.journal import Journal
from taf.graph import END, START, Approve, Edit, InterruptRecord, Reject, Send
from taf.graph.edge import Join
from taf.graph.handover import Handover
from taf.graph.intake import Answer, Intake, Invoke
from taf.graph.node import Node
from taf.graph.plan import Finish, Pause, ReachLimit, Rest, RunNodes, plan, step
from taf.graph.spec import GraphSpec
from taf.state.agent_state import Ask
from taf.state.draft import Draft
from taf.state.execution import TRANSITIONS, ExecutionStatus
from taf.state.facts import (
    Completed,
    Entry,
    Fact,
    Failed,
    Output,
    Paused,
    Started,
    Stepped,
    Stopped,
    Task,
    TaskRecorded,
)
from taf.state.interrupts import InterruptKind
from taf.state.run import Run, evolve, replay
from taf.state.schema import StateSchema, Values
from tests.graph.trail import Trail
from tests.rounds import rounds

SCHEMA = StateSchema(Trail)
LEGAL = {(before, after) for before, row in TRANSITIONS.items() for after in row.values()}
GOES_ON = (ExecutionStatus.STOPPED, ExecutionStatus.ERROR)


def finished(call: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited for something")


@st.composite
def graphs(draw: st.DrawFn) -> GraphSpec:
    """Draw a graph of up to five nodes, with loops, joins and breakpoints."""
    names = "abcde"[: draw(st.integers(1, 5))]
    some = st.lists(st.sampled_from(names), unique=True, max_size=3)
    edges = {name: tuple(draw(some)) for name in names}
    edges[START] = tuple(draw(st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=3)))
    joins = [
        Join(
            tuple(draw(st.lists(st.sampled_from(names), unique=True, min_size=2, max_size=3))),
            draw(st.sampled_from(names)),
        )
        for _ in range(draw(st.integers(0, 2)) if len(names) > 1 else 0)
    ]
    nodes = {name: Node(name, lambda state, context: None, True) for name in names}
    before, after = frozenset(draw(some)), frozenset(draw(some))
    return GraphSpec(SCHEMA, nodes, edges, {}, tuple(dict.fromkeys(joins)), before, after)


class Caller(NamedTuple):
    """A call that leads straight to the first nodes, of a thread that was never asked anything before."""

    run_id: str
    first: tuple[Task, ...]

    async def entered(self, run: Run, values: Values) -> tuple[Task, ...]:
        return self.first

    async def closed(self) -> Sequence[InterruptRecord]:
        return ()


class PlannerMachine(RuleBasedStateMachine):
    """Applies what could happen to a thread, as the engine would, and checks each decision against a model."""

    @initialize(spec=graphs(), limit=st.integers(1, 12), data=st.data())
    def begin(self, spec: GraphSpec, limit: int, data: st.DataObject) -> None:
        self.spec, self.limit = spec, limit
        self.run = Run("t")
        self.facts: list[Fact] = []
        self.numbers = count()
        self.steps = 0
        self.trail: list[str] = []
        self.arrived: dict[str, set[str]] = {}
        self.let_in: set[tuple[int, str]] = set()
        self.owed: set[tuple[InterruptKind, str, str]] = set()
        self.done: set[tuple[int, str]] = set()
        self.recorded: Counter[tuple[int, str]] = Counter()
        self.call(Invoke({}))

    # -- how facts come about ----------------------------------------------------------------------

    def next_id(self) -> str:
        return f"id{next(self.numbers)}"

    def take(self, fact: Fact) -> None:
        before, seen = self.run, repr(self.run)
        self.run = evolve(SCHEMA, before, fact)
        self.facts.append(fact)
        assert repr(before) == seen
        assert (before.status, self.run.status) in LEGAL
        assert self.run.sequence > before.sequence
        if isinstance(fact, Started):
            self.steps, self.arrived = 0, {}
            self.owed.clear()
            self.let_in.clear()
            self.done.clear()
            self.recorded.clear()
        elif isinstance(fact, Paused | Failed | Stopped):
            self.done |= {(self.run.visit, output.key) for output in fact.finished}

    def call(self, call: Any) -> None:
        handover = Handover(Journal(InMemoryCheckpointer(), SCHEMA, tenant="", clock=lambda: 1_000_000), 0)
        intake, draft = Intake(self.spec, clock=lambda: 1_000_000, handover=handover), Draft(SCHEMA, self.run)
        finished(intake.read(call, draft, Caller(self.next_id(), self.spec.straight[START])))
        for fact, after in draft.moves:
            self.take(fact)
            assert self.run == after

    def record(self, kind: InterruptKind, node: str, reason: str, **more: Any) -> InterruptRecord:
        if kind is InterruptKind.NODE:
            more["allowed"] = ("respond", "reject")
        at = datetime.fromtimestamp(1_000_000, UTC)
        return InterruptRecord(self.next_id(), "t", self.run.run_id, node, kind, reason, at, **more)

    # -- what is decided ---------------------------------------------------------------------------

    def decide(self) -> Any:
        seen = repr(self.run)
        decision = plan(self.spec, self.run, self.limit)
        assert plan(self.spec, self.run, self.limit) == decision
        assert repr(self.run) == seen
        run = self.run
        if run.status is not ExecutionStatus.RUNNING:
            assert isinstance(decision, Rest)
        elif isinstance(decision, Pause):
            self.check_pause(decision)
        else:
            assert not self.owed, "a pause was passed over"
            if isinstance(decision, Finish):
                assert run.frontier == run.details.carried == ()
            elif isinstance(decision, ReachLimit):
                assert run.step >= self.limit
                assert decision.next == tuple(dict.fromkeys(task.node for task in run.frontier)) != ()
            else:
                assert isinstance(decision, RunNodes)
                self.check_nodes(decision)
        return decision

    def check_pause(self, pause: Pause) -> None:
        assert pause.gates
        for gate in pause.gates:
            if (pause.kind, gate.node, gate.reason) in self.owed:
                continue
            assert pause.kind is InterruptKind.BEFORE, "a pause that nobody asked for"
            assert gate.node in self.spec.before
            assert gate.node in {task.node for task in self.run.frontier}
            assert (self.run.visit, gate.node) not in self.let_in, "a guard asked twice in one visit"
            assert self.run.step < self.limit

    def check_nodes(self, decision: RunNodes) -> None:
        run = self.run
        assert run.step < self.limit
        waiting = {record.task for record in run.details.interrupts}
        for task in decision.tasks:
            assert task in run.frontier
            assert (run.visit, task.key) not in self.done, "a node that was finished is to run again"
            assert task.key not in waiting
            assert task.node not in self.spec.before or (run.visit, task.node) in self.let_in, "a guard was passed over"
        left = [task.key for task in run.frontier if task not in decision.tasks]
        assert all((run.visit, key) in self.done or key in waiting for key in left), "a node was forgotten"
        for task in run.frontier:
            assert len(run.details.memo.get(task.key, {})) == self.recorded[run.visit, task.key]

    # -- while it runs -----------------------------------------------------------------------------

    def is_running(self) -> bool:
        return self.run.status is ExecutionStatus.RUNNING

    def tasks(self) -> tuple[Task, ...]:
        """Settle every decision that runs nothing; return the tasks of the one that does."""
        while True:
            decision = self.decide()
            if isinstance(decision, RunNodes):
                return decision.tasks
            if isinstance(decision, Pause):
                records = tuple(self.record(decision.kind, g.node, g.reason, data=g.data) for g in decision.gates)
                self.take(Paused(decision.kind, records[0].node, records[0].reason, records))
            elif isinstance(decision, Finish):
                self.take(Completed())
            elif isinstance(decision, ReachLimit):
                self.take(Failed("RecursionLimitError", "too far", None))
            else:
                return ()

    def output(self, task: Task, data: st.DataObject) -> Output:
        names = list(self.spec.nodes)
        goto, ask = None, None
        if data.draw(st.integers(0, 2)) == 0:
            one = st.sampled_from([*names, END]) | st.builds(Send, st.sampled_from(names))
            goto = self.spec.tasks(data.draw(st.lists(one, max_size=3)))
        if data.draw(st.integers(0, 5)) == 0:
            status = data.draw(st.sampled_from([ExecutionStatus.INTERRUPTED_BEFORE, ExecutionStatus.INTERRUPTED_AFTER]))
            ask = Ask(task.node, data.draw(st.sampled_from(["sure?", "really?"])), status)
        return Output(task.key, task.node, (("append", "trail", [task.node]),), goto, ask)

    def some_outputs(self, tasks: tuple[Task, ...], data: st.DataObject) -> tuple[Output, ...]:
        return tuple(self.output(task, data) for task in tasks if data.draw(st.booleans()))

    @precondition(is_running)
    @rule(data=st.data())
    def nodes_return(self, data: st.DataObject) -> None:
        tasks = self.tasks()
        waiting = [r for r in self.run.details.interrupts if r.task not in {task.key for task in tasks}]
        outputs = [self.output(task, data) for task in tasks]
        if self.is_running() and waiting:
            self.take(Paused(InterruptKind.NODE, waiting[0].node, waiting[0].reason, (), tuple(outputs)))
        elif self.is_running():
            self.step_done(outputs)

    def step_done(self, outputs: list[Output]) -> None:
        run = self.run
        known = {**run.details.finished, **{output.key: output for output in outputs}}
        ordered = [known[task.key] for task in run.frontier]
        changes, _ = SCHEMA.merge(run.values, [(output.node, output.ops) for output in ordered])
        routes = [self.spec.straight[o.node] if o.goto is None else o.goto for o in ordered]
        fact = step(self.spec, run, ordered, changes, routes)
        assert step(self.spec, run, ordered, changes, routes) == fact
        self.check_step(ordered, fact)
        self.take(fact)
        self.owe(fact)

    def check_step(self, outputs: list[Output], fact: Stepped) -> None:
        """Compare where a step leads with where its edges, commands and joins say."""
        again = {key for _, key, ask in fact.asks if ask.status is ExecutionStatus.INTERRUPTED_BEFORE}
        done = [output for output in outputs if output.key not in again]
        expected = list(self.run.details.carried)
        for output in done:
            names = self.spec.edges.get(output.node, ())
            expected += [Task(name, name) for name in names] if output.goto is None else output.goto
        for join in self.spec.joins:
            there = self.arrived.setdefault(join.name, set())
            there |= {output.node for output in done if output.goto is None and output.node in join.sources}
            if there == set(join.sources):
                expected.append(Task(join.target, join.target))
                there.clear()
        onward = fact.carried if again else fact.frontier
        assert {t.node for t in onward if t.overlay is None} == {t.node for t in expected if t.overlay is None}
        assert Counter(t.node for t in onward if t.overlay is not None) == Counter(
            t.node for t in expected if t.overlay is not None
        )
        assert len({task.key for task in onward}) == len(onward)
        if again:
            assert {task.key for task in fact.frontier} == again
        self.steps += 1
        self.trail += [output.node for output in outputs]

    def owe(self, fact: Stepped) -> None:
        """Note the pauses that have to come before anything else."""
        kinds = {
            ExecutionStatus.INTERRUPTED_BEFORE: InterruptKind.BEFORE,
            ExecutionStatus.INTERRUPTED_AFTER: InterruptKind.AFTER,
        }
        self.owed = {(kinds[ask.status], node, ask.reason) for node, _, ask in fact.asks}
        asked = {node for node, _, _ in fact.asks}
        for node in {node for node, _, _ in fact.ran} & self.spec.after - asked:
            self.owed.add((InterruptKind.AFTER, node, f'Paused after node "{node}".'))

    @precondition(is_running)
    @rule(data=st.data())
    def nodes_ask(self, data: st.DataObject) -> None:
        tasks = self.tasks()
        if not tasks:
            return
        done = self.some_outputs(tasks[1:], data)
        keys = {output.key for output in done}
        records = tuple(
            self.record(
                InterruptKind.NODE, t.node, "name?", task=t.key, position=len(self.run.details.memo.get(t.key, {}))
            )
            for t in tasks
            if t.key not in keys
        )
        self.take(Paused(InterruptKind.NODE, records[0].node, records[0].reason, records, done))

    @precondition(is_running)
    @rule(data=st.data())
    def a_node_fails(self, data: st.DataObject) -> None:
        tasks = self.tasks()
        if tasks:
            self.take(Failed("LookupError", "no", tasks[0].node, self.some_outputs(tasks[1:], data)))

    @precondition(is_running)
    @rule(data=st.data())
    def the_run_is_stopped(self, data: st.DataObject) -> None:
        tasks = self.tasks()
        if self.is_running():
            self.take(Stopped(self.run.run_id, "enough", None, self.some_outputs(tasks, data)))

    @precondition(is_running)
    @rule(is_recorded=st.booleans())
    def the_owner_dies(self, is_recorded: bool) -> None:
        tasks = self.tasks()
        if tasks and is_recorded:
            position = self.recorded[self.run.visit, tasks[0].key]
            self.take(TaskRecorded(tasks[0].key, tasks[0].node, position, Entry("task", "pay", [1, []])))
            self.recorded[self.run.visit, tasks[0].key] += 1
        if self.is_running():
            self.call(Invoke(None))

    # -- while it waits ----------------------------------------------------------------------------

    def is_paused(self) -> bool:
        return self.run.status.is_interrupted

    @precondition(is_paused)
    @rule(data=st.data())
    def a_human_answers(self, data: st.DataObject) -> None:
        record = data.draw(st.sampled_from(self.run.details.interrupts))
        visit = self.run.visit
        others = [name for name in (*self.spec.nodes, END) if name != record.node]
        if record.is_question:
            self.recorded[visit, str(record.task)] += 1
            answer = data.draw(st.sampled_from(["ann", Reject("no")]))
        else:
            goto = data.draw(st.sampled_from([None, *others]))
            answer = data.draw(st.sampled_from([Approve(), Edit({"trail": "edited"}), Reject("no", goto)]))
            self.owed.discard((record.kind, record.node, record.reason))
            if record.kind is InterruptKind.BEFORE and not isinstance(answer, Reject):
                self.let_in.add((visit, record.node))
            if isinstance(answer, Reject) and answer.goto not in {task.key for task in self.run.frontier}:
                self.let_in.discard((visit, str(answer.goto)))  # another task of that node than the one that was let in
            self.trail += ["edited"] * isinstance(answer, Edit)
        self.call(Answer(answer, "ann", record.id))
        assert record.id not in {left.id for left in self.run.details.interrupts}

    @precondition(is_paused)
    @rule()
    def the_pause_is_cancelled(self) -> None:
        self.take(Stopped(self.run.run_id, "cancelled", self.run.node))
        assert self.run.details.interrupts == ()

    @precondition(is_paused)
    @rule()
    def plain_input_approves_all_breakpoints(self) -> None:
        visit = self.run.visit
        for record in self.run.details.interrupts:
            if not record.is_question:
                self.owed.discard((record.kind, record.node, record.reason))
                if record.kind is InterruptKind.BEFORE:
                    self.let_in.add((visit, record.node))
        self.call(Invoke(None))
        assert all(record.is_question for record in self.run.details.interrupts)

    # -- while it rests ----------------------------------------------------------------------------

    @precondition(lambda self: self.run.status in GOES_ON)
    @rule(more=st.integers(0, 3))
    def it_is_continued(self, more: int) -> None:
        self.limit += more
        self.call(Invoke(None))

    @precondition(lambda self: self.run.status in (*GOES_ON, ExecutionStatus.COMPLETED))
    @rule(limit=st.integers(1, 12))
    def a_new_pass_begins(self, limit: int) -> None:
        self.limit = limit
        self.call(Invoke({"trail": "input"}))
        self.trail.append("input")

    # -- always ------------------------------------------------------------------------------------

    @invariant()
    def the_run_is_as_the_model_says(self) -> None:
        run = self.run
        assert run.step == self.steps
        assert run.values["trail"].to_list() == self.trail
        assert run.frontier == () or run.status is not ExecutionStatus.COMPLETED
        assert run.details.interrupts or not run.status.is_interrupted
        assert len({task.key for task in run.frontier}) == len(run.frontier)
        self.decide()

    def teardown(self) -> None:
        facts = getattr(self, "facts", [])
        codec = FactCodec(SCHEMA)
        stored = [codec.decode(*codec.encode(fact)) for fact in facts]
        for told in (facts, stored):
            assert replay(SCHEMA, Run("t"), told) == getattr(self, "run", Run("t"))


TestPlanner = PlannerMachine.TestCase
TestPlanner.settings = settings(max_examples=rounds(150), stateful_step_count=40, deadline=None)
