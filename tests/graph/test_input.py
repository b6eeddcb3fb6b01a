"""What a run may be begun with."""

from __future__ import annotations

import copy
from typing import Annotated, Any

import pytest

from taf.checkpointer import BaseCheckpointer
from taf.errors import ConfigError, InvalidInputError
from taf.graph import CompiledGraph, StateGraph
from taf.state import AgentState, Message, append
from tests.styles import run


async def nothing(state: Any) -> None:
    return None


class Task(AgentState):
    goal: str
    notes: Annotated[list[str], append] = []
    table: dict[str, list[int]] = {}


def app_of(model: Any = AgentState, **options: Any) -> CompiledGraph:
    return StateGraph(model).add_node("node", nothing).compile(**options)


def texts(state: Any) -> list[Any]:
    return [message.content for message in state.messages]


HELLO = Message.text_message("hello")
FORMS = [
    ({"messages": [HELLO]}, "a dict"),
    ({"messages": HELLO}, "one message under its key"),
    ({"context": [HELLO]}, "the field's own name"),
    (HELLO, "a message"),
    ([HELLO], "a list of messages"),
    (AgentState(context=[HELLO]), "a state"),
]


@pytest.mark.parametrize("given", [form for form, _ in FORMS], ids=[name for _, name in FORMS])
async def test_messages_come_in_many_forms(store: BaseCheckpointer, style: str, given: Any) -> None:
    result = await run(app_of(checkpointer=store), style, given, {"thread_id": "t"})

    assert texts(result.state) == ["hello"]


@pytest.mark.parametrize("given", [{"goal": "win", "notes": "a"}, Task(goal="win", notes=["a"])], ids=["dict", "state"])
async def test_fields_come_as_a_dict_or_a_state(store: BaseCheckpointer, style: str, given: Any) -> None:
    state = (await run(app_of(Task, checkpointer=store), style, given, {"thread_id": "t"})).state

    assert (type(state).__name__, state.goal, state.notes) == ("Task", "win", ["a"])


@pytest.mark.parametrize("nothing_given", [None, {}])
async def test_a_new_thread_starts_with_the_defaults_when_nothing_is_given(nothing_given: Any) -> None:
    assert texts((await app_of().ainvoke(nothing_given)).state) == []


async def test_a_second_pass_goes_on_with_the_kept_state(store: BaseCheckpointer, style: str) -> None:
    app, config = app_of(Task, checkpointer=store), {"thread_id": "t"}
    await run(app, style, {"goal": "win", "notes": "a", "messages": HELLO}, config)

    state = (await run(app, style, {"notes": "b", "messages": [Message.text_message("again")]}, config)).state

    assert (state.goal, state.notes, texts(state)) == ("win", ["a", "b"], ["hello", "again"])


async def test_a_state_as_the_second_input_sets_what_it_was_made_with() -> None:
    app, config = app_of(Task), {"thread_id": "t"}
    await app.ainvoke({"goal": "win", "notes": ["a"]}, config)

    state = (await app.ainvoke(Task(goal="rest", notes=["b"]), config)).state

    assert (state.goal, state.notes) == ("rest", ["b"])


async def test_a_message_that_was_given_before_is_not_added_twice() -> None:
    app, config = app_of(), {"thread_id": "t"}
    await app.ainvoke(HELLO, config)

    assert texts((await app.ainvoke([HELLO, Message.text_message("new")], config)).state) == ["hello", "new"]


async def test_the_base_state_keeps_unknown_keys(store: BaseCheckpointer, style: str) -> None:
    seen: list[Any] = []

    async def read(state: AgentState) -> dict[str, Any]:
        seen.append(state.input_data)
        return {"output_data": {"n": 1}}

    app = StateGraph().add_node(read).compile(checkpointer=store)
    state = (await run(app, style, {"input_data": [1, "x"]}, {"thread_id": "t"})).state

    assert (seen, state.input_data, state.output_data) == ([[1, "x"]], [1, "x"], {"n": 1})


async def test_a_subclass_refuses_unknown_keys_and_lists_its_fields(store: BaseCheckpointer, style: str) -> None:
    app = app_of(Task, checkpointer=store)

    with pytest.raises(InvalidInputError, match=r'"gaol".*no field of Task.*Did you mean "goal".*goal, notes, table'):
        await run(app, style, {"gaol": "win"}, {"thread_id": "t"})

    assert list(await app.athreads()) == []


async def test_a_subclass_that_says_so_keeps_unknown_keys() -> None:
    class Loose(AgentState):
        model_config = {"extra": "allow"}

    assert (await app_of(Loose).ainvoke({"anything": 3})).state.anything == 3


async def test_a_missing_required_field_is_named(store: BaseCheckpointer, style: str) -> None:
    with pytest.raises(InvalidInputError, match="lacks goal: Task has no default"):
        await run(app_of(Task, checkpointer=store), style, {"notes": "a"}, {"thread_id": "t"})


async def test_all_missing_fields_are_named_at_once() -> None:
    class Two(AgentState):
        one: int
        two: int

    with pytest.raises(InvalidInputError, match="lacks one, two"):
        await app_of(Two).ainvoke({})


async def test_a_refused_input_leaves_a_known_thread_as_it_was(store: BaseCheckpointer) -> None:
    app, config = app_of(Task, checkpointer=store), {"thread_id": "t"}
    await app.ainvoke({"goal": "win"}, config)
    before = await app.aget_state(config)

    with pytest.raises(InvalidInputError):
        await app.ainvoke({"table": {"x": "wrong"}}, config)

    assert (await app.aget_state(config)).checkpoint_id == before.checkpoint_id


@pytest.mark.parametrize("wrong", ["text", 3, ["text"], [HELLO, 3], object(), b"x", {1: 2}])
async def test_any_other_input_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInputError):
        await app_of().ainvoke(wrong)


async def test_the_callers_input_is_never_changed_nor_kept() -> None:
    async def change(state: Task) -> Task:
        state.notes.append("node")
        state.table["x"].append(2)
        return state

    app = StateGraph(Task).add_node(change).compile()
    given: dict[str, Any] = {"goal": "win", "notes": ["a"], "table": {"x": [1]}, "messages": [HELLO]}
    before = copy.deepcopy(given)
    await app.ainvoke(given, {"thread_id": "t"})
    assert given == before

    given["notes"].append("later")
    given["table"]["x"].append(9)
    assert (await app.aget_state({"thread_id": "t"})).state.table == {"x": [1, 2]}


async def test_a_state_given_as_input_is_never_changed_nor_kept() -> None:
    async def change(state: Task) -> Task:
        state.table["x"].append(2)
        return state

    given = Task(goal="win", table={"x": [1]})
    app = StateGraph(Task).add_node(change).compile()
    result = await app.ainvoke(given)
    given.table["x"].append(9)

    assert (given.table, result.state.table) == ({"x": [1, 9]}, {"x": [1, 2]})


async def test_the_callers_config_is_never_changed(store: BaseCheckpointer, style: str) -> None:
    config = {"thread_id": "t", "extra": {"deep": [1]}}
    before = copy.deepcopy(config)
    await run(app_of(checkpointer=store), style, {}, config)

    assert config == before


async def test_a_missing_thread_id_is_made_up_and_returned() -> None:
    app = app_of()
    one, other = await app.ainvoke({}), await app.ainvoke({}, {})

    assert one.thread_id != other.thread_id
    assert (await app.aget_state({"thread_id": one.thread_id})).thread_id == one.thread_id


async def test_a_whole_number_as_thread_id_is_kept_as_its_text(store: BaseCheckpointer) -> None:
    app = app_of(checkpointer=store)

    assert (await app.ainvoke({}, {"thread_id": 7})).thread_id == "7"
    assert (await app.aget_state({"thread_id": "7"})).thread_id == "7"


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"thread_id": ""}, "thread_id"),
        ({"thread_id": 1.5}, "thread_id"),
        ({"thread_id": True}, "thread_id"),
        ({"thread_id": "t", "recursion_limit": 0}, "recursion_limit"),
        ({"thread_id": "t", "recursion_limit": "9"}, "recursion_limit"),
        ({"thread_id": "t", "recursion_limit": True}, "recursion_limit"),
        ({"run_id": []}, "run_id"),
        ("t", "config has to be a dict"),
    ],
)
async def test_a_config_that_makes_no_sense_is_refused_by_name(config: Any, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        await app_of().ainvoke({}, config)


async def test_a_config_of_unknown_keys_alone_reaches_the_nodes() -> None:
    seen: list[dict[str, Any]] = []

    async def look(state: AgentState, config: dict[str, Any]) -> None:
        seen.append(config)

    await StateGraph().add_node(look).compile().ainvoke({}, {"tenant": "acme"})

    assert seen[0]["tenant"] == "acme"
