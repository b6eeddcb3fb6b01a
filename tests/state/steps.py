"""Steps without an engine: nodes are functions from a view to what a node may return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic import BaseModel

from taf.state.agent_state import AgentState
from taf.state.execution import ExecutionMeta
from taf.state.schema import StateSchema, Values

META = ExecutionMeta(thread_id="t")


class Standing:
    """A thread that can say how it stands."""

    def meta(self) -> ExecutionMeta:
        """Return how it stands."""
        return META


def begun(schema: StateSchema, **given: Any) -> Values:
    """Return the values of a thread that was begun with some input."""
    values = schema.apply({}, schema.default_ops())
    return schema.merge(values, [("the input", schema.wanted(given, "The input has"))])[1]


def wanted(schema: StateSchema, values: Values, name: str, result: Any) -> Any:
    """Return what a node's result asks for."""
    who = f'Node "{name}" returned'
    if isinstance(result, schema.model):
        return schema.wanted_by_state(values, cast("BaseModel", result), who)
    return schema.wanted(result, who)


def step(schema: StateSchema, values: Values, *nodes: Callable[[Any], Any]) -> Values:
    """Return the values after the nodes ran side by side, each named as its function."""
    asked = [(node.__name__, wanted(schema, values, node.__name__, node(schema.view(values, META)))) for node in nodes]
    changes, after = schema.merge(values, asked)
    replayed = values
    for ops in changes:
        replayed = schema.apply(replayed, ops)
    assert plain(schema, replayed) == plain(schema, after), "the changes lead elsewhere than the merge"
    return after


def returning(result: Any) -> Callable[[Any], Any]:
    """Return a node that returns this, whatever it is given."""

    def node(state: Any) -> Any:
        return result

    return node


def plain(schema: StateSchema, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with plain lists."""
    return {name: schema.channel(name).plain(value) for name, value in values.items()}


class Anything(AgentState):
    """An open state with a field of its own."""

    model_config = {"extra": "allow"}
    count: int = 0
