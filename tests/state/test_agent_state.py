"""The base of all states: what it takes in, and how a node asks for a pause."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ConfigDict, ValidationError

from taf.errors import ConfigError
from taf.state import AgentState, ExecutionMeta, ExecutionStatus, Message
from taf.state.agent_state import Ask


class Closed(AgentState):
    count: int = 0


class Opened(Closed):
    model_config = ConfigDict(extra="allow")


class BelowOpened(Opened):
    more: int = 0


class Ignoring(AgentState):
    model_config = ConfigDict(extra="ignore")


def test_the_base_keeps_unknown_keys() -> None:
    assert AgentState(input_data={"a": 1}).model_extra == {"input_data": {"a": 1}}


@pytest.mark.parametrize("model", [Closed, type("Below", (Closed,), {}), type("Beside", (AgentState,), {})])
def test_a_subclass_refuses_unknown_keys(model: Any) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model(input_data=1)


def test_a_subclass_that_says_otherwise_is_heard() -> None:
    assert Opened(x=1).model_extra == {"x": 1}
    assert BelowOpened(x=1).model_extra == {"x": 1}
    assert Ignoring(x=1).model_extra is None


def test_messages_is_another_name_for_the_context() -> None:
    state = AgentState(context=[Message(id="1")])

    assert state.messages is state.context


def test_a_state_by_itself_is_idle() -> None:
    assert AgentState().execution_meta == ExecutionMeta()
    assert AgentState().requested_interrupt is None


@pytest.mark.parametrize(
    "status", [ExecutionStatus.INTERRUPTED_BEFORE, ExecutionStatus.INTERRUPTED_AFTER, "interrupted_after"]
)
def test_a_node_asks_for_a_pause_and_sees_it_at_once(status: Any) -> None:
    state = Closed()
    state.set_interrupt("review", "please look", status, {"x": 1})
    meta = state.execution_meta

    assert state.requested_interrupt == Ask("review", "please look", ExecutionStatus(status), {"x": 1})
    assert meta.is_interrupted()
    assert (meta.status, meta.interrupted_node, meta.interrupt_reason) == (status, "review", "please look")


def test_a_pause_before_the_node_is_what_is_meant_when_nothing_is_said() -> None:
    state = Closed()
    state.set_interrupt("review", "why")

    assert state.execution_meta.status is ExecutionStatus.INTERRUPTED_BEFORE


@pytest.mark.parametrize("status", [s for s in ExecutionStatus if not s.is_interrupted])
def test_no_other_status_can_be_asked_for(status: ExecutionStatus) -> None:
    state = Closed()

    with pytest.raises(ConfigError, match=f'takes INTERRUPTED_BEFORE or INTERRUPTED_AFTER, not "{status.value}"'):
        state.set_interrupt("a", "why", status)
    assert state.requested_interrupt is None
    assert state.execution_meta == ExecutionMeta()


def test_a_status_that_there_is_not_is_refused_as_a_config() -> None:
    with pytest.raises(ConfigError, match='not "later"'):
        Closed().set_interrupt("a", "why", "later")


def test_what_was_asked_for_can_be_taken_back() -> None:
    state = Closed()
    state.clear_interrupt()
    assert state.execution_meta == ExecutionMeta()

    state.set_interrupt("a", "why")
    state.clear_interrupt()

    assert state.requested_interrupt is None
    assert state.execution_meta.status is ExecutionStatus.RUNNING
    assert state.execution_meta.interrupted_node is None


def test_the_meta_comes_from_whoever_knows_it_and_only_when_asked() -> None:
    asked: list[int] = []

    class Source:
        def meta(self) -> ExecutionMeta:
            asked.append(1)
            return ExecutionMeta(thread_id="t")

    state = Closed()
    state._meta = Source()
    assert asked == []
    assert (state.execution_meta.thread_id, state.execution_meta.thread_id) == ("t", "t")
    assert asked == [1]


def test_what_says_how_the_thread_stands_is_no_part_of_the_data() -> None:
    state = Closed()
    state.set_interrupt("a", "why")

    assert state.model_dump() == {"context": [], "count": 0}
    assert "meta" not in str(Closed.model_json_schema())
