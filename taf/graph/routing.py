"""Where a run goes from a node: along its edges, or where its routers say. Routers are users' code, so this awaits."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from taf.graph.command import START
from taf.graph.context import Context, Host
from taf.graph.spec import GraphSpec
from taf.state.execution import ExecutionStatus
from taf.state.facts import Output, Task
from taf.state.run import NOTHING, Ahead, Run
from taf.state.schema import Values


async def behind(spec: GraphSpec, host: Host, output: Output, run: Run, values: Values) -> tuple[Task, ...]:
    """Return what a node leads to: where its ``Command`` says, or along its edges."""
    if output.goto is not None:
        return output.goto
    return await out_of(spec, host, output.node, run, values)


async def enter(spec: GraphSpec, host: Host, run: Run, values: Values) -> tuple[Task, ...]:
    """Return what runs first. Routers see the pass that is about to begin."""
    straight = spec.straight.get(START)
    if straight is not None:
        return straight
    begun = run._replace(status=ExecutionStatus.RUNNING, run_id=host.config.run_id, step=0, node=None, details=NOTHING)
    return await out_of(spec, host, START, begun, values)


async def out_of(
    spec: GraphSpec,
    host: Host,
    source: str,
    run: Run,
    values: Values,
    ahead: Ahead | None = None,
    waits: Callable[[], None] | None = None,
) -> tuple[Task, ...]:
    """Return what follows a node. Its routers see the state as the step leaves it.

    ``ahead``: see ``Context``. ``waits`` is called when a router has to be waited for.
    """
    straight = spec.straight.get(source)
    if straight is not None:
        return straight
    task = spec.alone[source][0] if source in spec.alone else Task(source, source)
    targets: list[Any] = list(spec.edges.get(source, ()))
    for branch in spec.branches.get(source, ()):
        context = Context(host, run, task, 1, ahead)
        answer = branch.call(spec.schema.view(values, run if source == START else context), context)
        if type(answer) is not str and isawaitable(answer):
            if waits is not None:
                waits()
            answer = await answer
        targets += branch.targets(answer)
    if len(targets) == 1 and type(targets[0]) is str and targets[0] in spec.alone:
        return spec.alone[targets[0]]
    return spec.tasks(targets, f'The router behind "{source}"')
