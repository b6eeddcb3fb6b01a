"""What nodes return, and how it joins what a thread holds."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from taf.errors import ConfigError, InvalidInputError, InvalidUpdateError, UpdateConflictError
from taf.state import AgentState, Message, add_messages, append, merge, replace
from taf.state.schema import StateSchema
from tests.state.steps import Anything, begun, plain, returning, step


def mutating(current: list[int], update: int) -> list[int]:
    current.append(update)
    return current


class Longest:
    """A reducer that is an object, and has no hash."""

    __hash__ = None

    def __call__(self, current: str, update: str) -> str:
        return max(current, update, key=len)


class Wide(AgentState):
    plain: int = 0
    note: str | None = None
    items: list[str] = []
    joined: Annotated[list[int], operator.add] = []
    grown: Annotated[list[int], append] = []
    scores: Annotated[dict[str, int], merge] = {}
    latest: Annotated[str, replace] = ""
    total: Annotated[int, operator.add] = 0
    seen: Annotated[set[str], set.union] = set()
    highest: Annotated[int, max] = 0
    own: Annotated[list[int], mutating] = []
    longest: Annotated[str, Longest()] = ""
    scaled: Annotated[float, partial(lambda by, current, update: current + by * update, 10)] = 0.0
    maybe: Annotated[dict[str, int] | None, lambda current, update: {**(current or {}), **update}] = None


WIDE = StateSchema(Wide)


@pytest.mark.parametrize(
    ("field", "updates", "expected"),
    [
        ("plain", [1, 2], 2),
        ("note", ["a", None], None),
        ("items", [["a"], ["b"]], ["b"]),
        ("joined", [[1], [2, 3], []], [1, 2, 3]),
        ("grown", [1, [2, 3], []], [1, 2, 3]),
        ("scores", [{"a": 1}, {"b": 2}, {"a": 3}, {}], {"a": 3, "b": 2}),
        ("latest", ["a", "b"], "b"),
        ("total", [1, 2, 3], 6),
        ("seen", [{"a"}, {"b", "a"}], {"a", "b"}),
        ("highest", [3, 9, 4], 9),
        ("own", [1, 2], [1, 2]),
        ("longest", ["aa", "a", "bbb"], "bbb"),
        ("scaled", [1, 0.5], 15.0),
        ("maybe", [{"a": 1}, {"b": 2}], {"a": 1, "b": 2}),
    ],
)
def test_an_update_goes_through_the_fields_reducer(field: str, updates: list[Any], expected: Any) -> None:
    values = begun(WIDE)
    for update in updates:
        values = step(WIDE, values, returning({field: update}))

    assert plain(WIDE, values)[field] == expected


@pytest.mark.parametrize(
    ("field", "one", "other", "expected"),
    [
        ("joined", [1], [2], [1, 2]),
        ("grown", 1, 2, [1, 2]),
        ("scores", {"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ("latest", "a", "b", "b"),
        ("total", 1, 2, 3),
        ("own", 1, 2, [1, 2]),
    ],
)
def test_what_parallel_nodes_write_is_joined_in_declared_order(field: str, one: Any, other: Any, expected: Any) -> None:
    after = step(WIDE, begun(WIDE), returning({field: one}), returning({field: other}))

    assert plain(WIDE, after)[field] == expected


def test_a_reducer_that_changes_its_argument_changes_no_earlier_version() -> None:
    first = step(WIDE, begun(WIDE), returning({"own": 1}))
    step(WIDE, first, returning({"own": 2}))

    assert plain(WIDE, first)["own"] == [1]


def test_a_reducer_that_changes_what_is_inside_its_argument_changes_no_earlier_version() -> None:
    def count(current: dict[str, list[int]], update: int) -> dict[str, list[int]]:
        current["seen"].append(update)
        return current

    class Counting(BaseModel):
        data: Annotated[dict[str, list[int]], count] = {"seen": []}
        lists: Annotated[list[list[int]], lambda current, update: current[0].append(update) or current] = [[]]

    schema = StateSchema(Counting)
    first = step(schema, begun(schema), returning({"data": 1, "lists": 1}))
    after = step(schema, first, returning({"data": 2, "lists": 2}))

    assert plain(schema, first) == {"data": {"seen": [1]}, "lists": [[1]]}
    assert plain(schema, after) == {"data": {"seen": [1, 2]}, "lists": [[1, 2]]}


def test_what_a_node_keeps_of_its_result_changes_nothing_afterwards() -> None:
    kept: dict[str, Any] = {"items": ["a"], "scores": {"a": 1}, "own": 1, "seen": {"x"}}
    after = step(WIDE, begun(WIDE), returning(kept))
    kept["items"].append("b")
    kept["scores"]["b"] = 2
    kept["seen"].add("y")

    found = plain(WIDE, after)
    assert (found["items"], found["scores"], found["seen"]) == (["a"], {"a": 1}, {"x"})


def fail(current: Any, update: Any) -> Any:
    raise RuntimeError("no")


class Broken(BaseModel):
    failing: Annotated[int, fail] = 0
    wrong: Annotated[int, lambda current, update: "text"] = 0
    silent: Annotated[list[int], lambda current, update: current.append(update)] = []


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("failing", 'The reducer of field "failing" failed on what node "node" returned: RuntimeError(\'no\').'),
        ("wrong", 'After node "node", field "wrong" is not valid: Input should be a valid integer'),
        ("silent", 'After node "node", field "silent" is not valid: Input should be a valid list.'),
    ],
)
def test_a_reducer_that_fails_is_named_with_its_field_and_the_node(field: str, message: str) -> None:
    schema = StateSchema(Broken)

    with pytest.raises(InvalidUpdateError) as broken:
        step(schema, begun(schema), returning({field: 1}))
    assert str(broken.value).startswith(message)


# -- conflicts -------------------------------------------------------------------------------------


def conflict(model: type[BaseModel], *nodes: Callable[[Any], Any]) -> UpdateConflictError:
    schema = StateSchema(model)
    with pytest.raises(UpdateConflictError) as refused:
        step(schema, begun(schema), *nodes)
    return refused.value


def writer(state: Any) -> Any:
    return {"plain": 1}


def reader(state: Any) -> Any:
    return {"plain": 2}


def test_parallel_writes_of_a_field_without_a_reducer_name_both_nodes_the_field_and_the_cure() -> None:
    refused = conflict(Wide, writer, reader)

    assert (refused.field, refused.nodes) == ("plain", ("writer", "reader"))
    assert '"writer" and "reader" ran in one step and both wrote field "plain"' in str(refused)
    assert "plain: Annotated[list[...], append]" in str(refused)


def test_one_node_that_ran_twice_in_a_step_conflicts_with_itself() -> None:
    assert conflict(Wide, writer, writer).nodes == ("writer", "writer")


def test_undeclared_fields_conflict_too() -> None:
    assert conflict(Anything, returning({"free": 1}), returning({"free": 1})).field == "free"


def returns_state(state: Any) -> Any:
    state.total = 5
    return state


def returns_update(state: Any) -> Any:
    return {"total": 1}


@pytest.mark.parametrize(
    "nodes", [(returns_state, returns_update), (returns_update, returns_state)], ids=["first", "last"]
)
def test_a_field_that_one_node_set_whole_conflicts_though_it_has_a_reducer(nodes: Any) -> None:
    refused = conflict(Wide, *nodes)

    assert refused.field == "total"
    assert "one of them set it whole by returning the state" in str(refused)


def test_what_parallel_nodes_append_in_place_is_joined() -> None:
    def a(state: Wide) -> Wide:
        state.joined.append(1)
        state.scores["a"] = 1
        state.context.append(Message(id="a"))
        return state

    def b(state: Wide) -> dict[str, Any]:
        return {"joined": [2], "scores": {"b": 2}, "context": Message(id="b")}

    after = plain(WIDE, step(WIDE, begun(WIDE), a, b))

    assert (after["joined"], after["scores"]) == ([1, 2], {"a": 1, "b": 2})
    assert [message.id for message in after["context"]] == ["a", "b"]


def test_of_a_replaced_field_the_last_node_wins_even_when_it_appended_in_place() -> None:
    class Last(BaseModel):
        items: Annotated[list[int], replace] = []

    def grows(state: Last) -> Last:
        state.items.append(2)
        return state

    schema = StateSchema(Last)
    values = begun(schema, items=[1])

    assert plain(schema, step(schema, values, returning({"items": [9]}), grows))["items"] == [1, 2]
    assert plain(schema, step(schema, values, grows, returning({"items": [9]})))["items"] == [9]


# -- keys ------------------------------------------------------------------------------------------


def test_an_unknown_key_is_refused_with_the_nearest_name_and_all_fields() -> None:
    class Small(AgentState):
        question: str = ""
        answer: str = ""

    schema = StateSchema(Small)
    with pytest.raises(InvalidUpdateError) as refused:
        schema.wanted({"anwser": 1}, 'Node "a" returned')
    assert str(refused.value) == (
        'Node "a" returned "anwser", which is no field of Small. Did you mean "answer"? '
        "Its fields: context, question, answer."
    )


def test_an_input_is_refused_as_an_input() -> None:
    with pytest.raises(InvalidInputError, match=r'^The input has "x", which is no field'):
        WIDE.wanted({"x": 1}, "The input has", InvalidInputError)


@pytest.mark.parametrize("model", [AgentState, Anything])
def test_an_open_state_keeps_unknown_keys(model: type[AgentState]) -> None:
    schema = StateSchema(model)
    values = step(schema, begun(schema, input_data={"a": [1]}), returning({"more": (1, 2)}))

    assert schema.is_open
    assert schema.view(values, None).input_data == {"a": [1]}
    assert schema.view(values, None).more == (1, 2)


def test_a_key_that_is_no_text_is_refused_in_any_state() -> None:
    with pytest.raises(InvalidUpdateError, match=r"^N returned the key 5; keys are names of fields\.$"):
        StateSchema(AgentState).wanted({5: 1}, "N returned")


def test_the_key_messages_is_added_to_the_context() -> None:
    values = begun(WIDE, messages=[Message(id="1", content="hi")])
    values = step(WIDE, values, returning(Message(id="2")), returning([Message(id="3"), Message(id="4")]))
    values = step(WIDE, values, returning({"messages": Message(id="1", content="hello")}))

    assert [(m.id, m.content) for m in plain(WIDE, values)["context"]] == [
        ("1", "hello"),
        ("2", ""),
        ("3", ""),
        ("4", ""),
    ]


def test_a_message_that_is_appended_in_place_replaces_the_one_of_its_id() -> None:
    def edit(state: Wide) -> Wide:
        state.messages.append(state.messages[0].model_copy(update={"content": "edited"}))
        return state

    after = step(WIDE, begun(WIDE, messages=[Message(id="1"), Message(id="2")]), edit)

    assert [(m.id, m.content) for m in plain(WIDE, after)["context"]] == [("1", "edited"), ("2", "")]


def test_a_message_of_an_id_that_comes_twice_is_kept_once() -> None:
    twice = [Message(id="1", content="a"), Message(id="1", content="b")]

    assert [m.content for m in plain(WIDE, begun(WIDE, messages=twice))["context"]] == ["b"]


def test_messages_of_a_type_without_ids_go_through_the_reducer_and_fail_with_a_name() -> None:
    class Odd(BaseModel):
        log: Annotated[list[str], add_messages] = []

    schema = StateSchema(Odd)
    with pytest.raises(InvalidUpdateError, match='The reducer of field "log" failed'):
        step(schema, begun(schema), returning({"log": ["a"]}))


@pytest.mark.parametrize("result", [5, "text", ("a",), {"a"}, b"x", [1], Broken], ids=repr)
def test_every_other_value_is_a_clear_error_that_names_the_node(result: Any) -> None:
    with pytest.raises(
        InvalidUpdateError, match=r'^Node "node" returned .* Return a dict of fields, the state, a Message'
    ):
        step(WIDE, begun(WIDE), returning(result))


def test_nothing_is_returned_by_none_and_by_empty_updates() -> None:
    values = begun(WIDE)

    assert step(WIDE, values, returning(None), returning({}), returning([])) == values


# -- states that are no AgentState -----------------------------------------------------------------


class Bare(BaseModel):
    model_config = ConfigDict(extra="ignore")
    count: int
    tags: list[str] = Field(default_factory=list[str])


def test_any_pydantic_model_is_a_state() -> None:
    schema = StateSchema(Bare)
    values = step(schema, begun(schema, count=1), returning({"count": 2}), returning({"tags": ["x"]}))

    assert schema.state(values, None) == Bare(count=2, tags=["x"])
    with pytest.raises(InvalidUpdateError, match='"more", which is no field of Bare'):
        schema.wanted({"more": 1}, "N returned")
    with pytest.raises(InvalidUpdateError, match='"messages", which is no field of Bare'):
        schema.wanted(Message(), "N returned")


@pytest.mark.parametrize("model", [dict, Bare(count=1), "Bare", None], ids=repr)
def test_what_is_no_model_class_is_refused(model: Any) -> None:
    with pytest.raises(ConfigError, match=r"^The state has to be a pydantic model class, not"):
        StateSchema(model)
