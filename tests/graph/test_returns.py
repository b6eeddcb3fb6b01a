"""What a node may return, and what becomes of it."""

from __future__ import annotations

import operator
from collections import OrderedDict
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from taf.checkpointer import BaseCheckpointer
from taf.errors import InvalidUpdateError, NotStorableError, RunError
from taf.graph import END, Command, Send, StateGraph
from taf.state import AgentState, ExecutionStatus, Message, append
from tests.graph.trail import Trail, graph_of, visit
from tests.styles import run


class Bag(AgentState):
    items: Annotated[list[str], append] = []
    total: Annotated[int, operator.add] = 0
    table: dict[str, list[int]] = {}
    word: str = ""


def app_of(fn: Any, **options: Any) -> Any:
    return StateGraph(Bag).add_node("node", fn).compile(**options)


async def returned(value: Any, given: Any = None) -> Any:
    """Return the state after one node returned ``value``."""
    return (await app_of(lambda state: value).ainvoke(given or {})).state


async def test_a_dict_goes_through_the_reducers(store: BaseCheckpointer, style: str) -> None:
    app = app_of(lambda state: {"items": ["b"], "total": 2, "word": "new"}, checkpointer=store)

    state = (await run(app, style, {"items": ["a"], "total": 1, "word": "old"}, {"thread_id": "t"})).state

    assert (state.items, state.total, state.word) == (["a", "b"], 3, "new")


async def test_any_mapping_counts_as_a_dict() -> None:
    assert (await returned(OrderedDict(word="new"))).word == "new"


async def test_none_and_an_empty_dict_change_nothing() -> None:
    for nothing in (None, {}):
        assert (await returned(nothing, {"word": "kept"})).word == "kept"


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_state_changed_in_place_is_set_and_not_reduced_twice(
    store: BaseCheckpointer, style: str, is_async: bool
) -> None:
    def change(state: Bag) -> Bag:
        state.items.append("b")
        state.total += 2
        state.table["x"] = [1]
        return state

    async def change_later(state: Bag) -> Bag:
        return change(state)

    app = app_of(change_later if is_async else change, checkpointer=store)
    state = (await run(app, style, {"items": ["a"], "total": 1}, {"thread_id": "t"})).state

    assert (state.items, state.total, state.table) == (["a", "b"], 3, {"x": [1]})


async def test_a_state_changed_in_place_and_not_returned_changes_nothing() -> None:
    def change(state: Bag) -> None:
        state.items.append("lost")
        state.word = "lost"

    result = await app_of(change).ainvoke({"items": ["a"]})

    assert (result.state.items, result.state.word) == (["a"], "")


async def test_a_fresh_state_sets_what_it_was_made_with_and_keeps_the_rest() -> None:
    state = await returned(Bag(items=["b"], total=5), {"items": ["a"], "total": 1, "word": "kept"})

    assert (state.items, state.total, state.word) == (["b"], 5, "kept")


async def test_a_copy_of_the_state_counts_as_the_state() -> None:
    app = app_of(lambda state: state.model_copy(update={"word": "copied"}))

    state = (await app.ainvoke({"items": ["a"], "total": 1})).state

    assert (state.items, state.total, state.word) == (["a"], 1, "copied")


async def test_a_state_can_be_emptied_in_place() -> None:
    def clear(state: Bag) -> Bag:
        state.items.clear()
        state.table = {}
        return state

    state = (await app_of(clear).ainvoke({"items": ["a"], "table": {"x": [1]}})).state

    assert (state.items, state.table) == ([], {})


async def test_a_message_and_a_list_of_messages_join_the_context(store: BaseCheckpointer, style: str) -> None:
    graph = StateGraph(Bag).add_node("one", lambda state: Message.text_message("1", role="assistant"))
    graph.add_node("two", lambda state: [Message.text_message("2"), Message.text_message("3")])

    result = await run(
        graph.compile(checkpointer=store), style, {"messages": [Message.text_message("0")]}, {"thread_id": "t"}
    )

    assert [message.content for message in result.messages] == ["0", "1", "2", "3"]
    assert result.state.messages == result.state.context == result.messages


async def test_a_message_with_a_known_id_takes_the_place_of_the_old_one() -> None:
    old, other = Message(id="m", content="old"), Message.text_message("other")

    state = await returned(Message(id="m", content="new"), {"messages": [old, other]})

    assert [message.content for message in state.messages] == ["new", "other"]


async def test_the_key_messages_of_a_dict_means_the_context() -> None:
    state = await returned({"messages": Message.text_message("hello")})

    assert [message.content for message in state.context] == ["hello"]


class Other(BaseModel):
    word: str = "x"


WRONG = ["text", 3, 0, False, True, 1.5, ("a", "b"), {"a"}, ["a"], [Message(), 1], object(), Other(), Trail(), b"x"]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: type(value).__name__ + repr(value)[:15])
async def test_every_other_value_is_an_error_that_names_the_node(wrong: Any, is_async: bool) -> None:
    async def later(state: Bag) -> Any:
        return wrong

    with pytest.raises(
        InvalidUpdateError, match=f'Node "node" returned {type(wrong).__name__}. Return a dict of fields'
    ):
        await app_of(later if is_async else lambda state: wrong).ainvoke({})


async def test_a_wrong_value_leaves_the_thread_in_error_and_its_state_readable(store: BaseCheckpointer) -> None:
    app = app_of(lambda state: 3, checkpointer=store)
    with pytest.raises(InvalidUpdateError) as caught:
        await app.ainvoke({"word": "kept"}, {"thread_id": "t"})

    snapshot = await app.aget_state({"thread_id": "t"})
    assert (snapshot.status, snapshot.state.word) == (ExecutionStatus.ERROR, "kept")
    assert (caught.value.node, caught.value.thread_id) == ("node", "t")


async def test_an_unknown_field_is_told_the_nearest_and_the_list() -> None:
    with pytest.raises(InvalidUpdateError, match=r'Node "node" returned "wrod".*Did you mean "word".*items, total'):
        await returned({"wrod": 1})


async def test_a_value_of_the_wrong_type_is_told_with_its_path() -> None:
    with pytest.raises(InvalidUpdateError, match=r'Node "node" returned .* field "table\.x\.0"'):
        await returned({"table": {"x": ["many"]}})


async def test_one_bad_field_of_an_update_keeps_the_others_out_too() -> None:
    app = app_of(lambda state: {"word": "new", "table": 3})
    with pytest.raises(InvalidUpdateError):
        await app.ainvoke({"word": "old"}, {"thread_id": "t"})

    assert (await app.aget_state({"thread_id": "t"})).state.word == "old"


async def test_a_value_is_converted_as_the_model_says() -> None:
    assert (await returned({"table": {"x": ["1", 2]}})).table == {"x": [1, 2]}


class Open(AgentState):
    model_config = {"extra": "allow"}


async def test_what_cannot_be_stored_is_refused_with_its_path() -> None:
    app = StateGraph(Open).add_node("node", lambda state: {"file": {"handle": object()}}).compile()

    with pytest.raises(NotStorableError, match=r"file.*handle"):
        await app.ainvoke({})


# -- Command ---------------------------------------------------------------------------------------


def commanded(command: Any, **options: Any) -> Any:
    """a → b is the edge; the command of ``a`` may say otherwise."""
    graph = graph_of("b", "c").add_node("a", lambda state: command).set_entry_point("a").add_edge("a", "b")
    return graph.compile(**options)


COMMANDS: list[tuple[Command, list[str]]] = [
    (Command(), ["b"]),
    (Command(update={"trail": "a"}), ["a", "b"]),
    (Command(goto="c"), ["c"]),
    (Command(update={"trail": "a"}, goto="c"), ["a", "c"]),
    (Command(goto=["c", "b"]), ["c", "b"]),
    (Command(goto=END), []),
    (Command(goto=[END]), []),
    (Command(goto=[]), []),
    (Command(goto=Send("c", {})), ["c"]),
    (Command(goto=[Send("c", {}), Send("c", {}), "b"]), ["c", "c", "b"]),
    (Command(update=None, goto="c"), ["c"]),
]


@pytest.mark.parametrize(("command", "expected"), COMMANDS, ids=[repr(command)[:60] for command, _ in COMMANDS])
async def test_a_command_updates_and_leads_on(command: Command, expected: list[str]) -> None:
    assert (await commanded(command).ainvoke({})).state.trail == expected


async def test_a_command_leads_on_in_every_style(store: BaseCheckpointer, style: str) -> None:
    app = commanded(Command(update={"trail": "a"}, goto="c"), checkpointer=store)

    assert (await run(app, style, {}, {"thread_id": "t"})).state.trail == ["a", "c"]


async def test_the_update_of_a_command_may_be_the_state_or_messages() -> None:
    def change(state: Trail) -> Command:
        state.trail.append("a")
        return Command(update=state, goto=END)

    app = StateGraph(Trail).add_node(change).add_node("rest", visit("rest")).compile()
    assert (await app.ainvoke({})).state.trail == ["a"]

    said = await commanded(Command(update=Message.text_message("hi"), goto=END)).ainvoke({})
    assert [message.content for message in said.messages] == ["hi"]


async def test_a_command_also_passes_over_a_router() -> None:
    def never(state: Trail) -> str:
        raise AssertionError("the router was asked")

    graph = graph_of("c").add_node("a", lambda state: Command(goto="c")).set_entry_point("a")
    graph.add_conditional_edges("a", never)

    assert (await graph.compile().ainvoke({})).state.trail == ["c"]


async def test_a_command_can_lead_back_to_its_own_node() -> None:
    async def again(state: Trail) -> Command:
        return Command(update={"number": state.number + 1}, goto="again" if state.number < 3 else END)

    result = await StateGraph(Trail).add_node(again).compile().ainvoke({})

    assert (result.state.number, result.step) == (4, 4)


async def test_a_command_to_an_unknown_node_names_the_node_and_the_nearest() -> None:
    graph = graph_of("publish").add_node("a", lambda state: Command(goto="publsh")).set_entry_point("a")

    with pytest.raises(InvalidUpdateError, match=r'Node "a" leads to "publsh".*Did you mean "publish"'):
        await graph.compile().ainvoke({})


@pytest.mark.parametrize("goto", [3, ["b", 3], {"b": 1}, object()])
async def test_a_goto_that_is_no_destination_is_an_error_that_names_the_node(goto: Any) -> None:
    with pytest.raises(RunError, match=r'Node "a" returned Command\(goto='):
        await commanded(Command(goto=goto)).ainvoke({})


async def test_a_wrong_update_of_a_command_names_the_node() -> None:
    with pytest.raises(InvalidUpdateError, match='Node "a" returned int'):
        await commanded(Command(update=3)).ainvoke({})


# -- nothing leaks ---------------------------------------------------------------------------------


async def test_what_a_node_returned_can_be_changed_later_without_changing_the_thread(store: BaseCheckpointer) -> None:
    kept: dict[str, Any] = {"items": ["a"], "table": {"x": [1]}}
    app = app_of(lambda state: kept, checkpointer=store)
    result = await app.ainvoke({}, {"thread_id": "t"})

    kept["items"].append("leak")
    kept["table"]["x"].append(2)

    assert (result.state.items, result.state.table) == (["a"], {"x": [1]})
    assert (await app.aget_state({"thread_id": "t"})).state.table == {"x": [1]}


async def test_a_state_that_a_node_kept_can_be_changed_later_without_changing_the_thread() -> None:
    kept: list[Bag] = []

    def keep(state: Bag) -> Bag:
        state.items.append("a")
        state.table["x"] = [1]
        kept.append(state)
        return state

    async def spoil(state: Bag) -> None:
        kept[0].items.append("leak")
        kept[0].table["x"].append(2)

    app = StateGraph(Bag).add_node(keep).add_node(spoil).compile()

    state = (await app.ainvoke({})).state

    assert (state.items, state.table) == (["a"], {"x": [1]})


async def test_what_a_node_reads_is_its_own_and_not_the_next_nodes() -> None:
    def spoil(state: Bag) -> dict[str, Any]:
        state.items.append("leak")
        state.table["x"].append(2)
        state.table["y"] = []
        return {"word": "done"}

    app = StateGraph(Bag).add_node(spoil).add_node("next", lambda state: {"total": len(state.items)}).compile()
    state = (await app.ainvoke({"items": ["a"], "table": {"x": [1]}})).state

    assert (state.items, state.table, state.total) == (["a"], {"x": [1]}, 1)


async def test_the_state_of_a_result_is_the_callers_own() -> None:
    app = app_of(lambda state: {"items": "a"})
    first = await app.ainvoke({}, {"thread_id": "t"})
    first.state.items.append("leak")

    assert (await app.aget_state({"thread_id": "t"})).state.items == ["a"]


class Deep(BaseModel):
    tags: list[str] = Field(default_factory=list)


class Nested(AgentState):
    deep: Deep = Field(default_factory=Deep)
    anything: Any = None


async def test_models_inside_the_state_do_not_leak_either() -> None:
    kept = Deep(tags=["a"])
    loose: dict[str, list[int]] = {"x": [1]}
    app = StateGraph(Nested).add_node("node", lambda state: {"deep": kept, "anything": loose}).compile()
    await app.ainvoke({}, {"thread_id": "t"})
    kept.tags.append("leak")
    loose["x"].append(2)

    state = (await app.aget_state({"thread_id": "t"})).state

    assert (state.deep.tags, state.anything) == (["a"], {"x": [1]})
