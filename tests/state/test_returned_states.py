"""A node may return the state: the fields that it changed are set, and never reduced twice."""

from __future__ import annotations

import copy
import operator
from functools import cached_property
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from taf.errors import InvalidUpdateError
from taf.state import AgentState, Message, append, merge
from taf.state.schema import StateSchema, Values
from tests.state.steps import META, Anything, begun, plain, step, wanted
from tests.steady_ids import steady


class Pet(BaseModel):
    name: str = "Rex"
    tricks: list[str] = []


class Wide(AgentState):
    count: int = 0
    total: Annotated[int, operator.add] = 0
    items: list[Any] = []
    grown: Annotated[list[int], append] = []
    scores: Annotated[dict[str, Any], merge] = {}
    pet: Pet = Field(default_factory=Pet)
    data: dict[str, Any] = {}
    seen: set[int] = set()

    @cached_property
    def size(self) -> int:
        return len(self.items)


WIDE = StateSchema(Wide)


def changed(values: Values, node: Any, schema: StateSchema = WIDE) -> list[tuple[str, str, Any]]:
    """Return what a node that returns the state asks for."""
    return list(wanted(schema, values, "node", node(schema.view(values, META))))


def test_a_state_that_nobody_touched_asks_for_nothing() -> None:
    assert changed(begun(WIDE, items=[1], scores={"a": 1}), lambda state: state) == []


def test_a_state_that_was_only_read_asks_for_nothing() -> None:
    def node(state: Wide) -> Wide:
        assert all([state.items, state.grown, state.scores, state.pet, state.data, state.seen])
        assert (state.size, state.messages) == (2, [])
        return state

    values = begun(WIDE, items=[1, float("nan")], grown=[1], scores={"a": [1]}, data={"x": {"y": {1.5}}}, seen={1})

    assert changed(values, node) == []


def node_of(field: str, change: Any) -> Any:
    def node(state: Wide) -> Wide:
        change(getattr(state, field))
        return state

    return node


@pytest.mark.parametrize(
    ("field", "change", "expected"),
    [
        ("items", lambda items: items.append(3), [("append", "items", [3])]),
        ("items", lambda items: items.insert(0, 0), [("set", "items", [0, 1, 2])]),
        ("items", lambda items: items.__setitem__(1, 2.0), [("set", "items", [1, 2.0])]),
        ("items", lambda items: items.__setitem__(0, True), [("set", "items", [True, 2])]),
        ("items", lambda items: items.clear(), [("set", "items", [])]),
        ("grown", lambda grown: grown.extend([8, 9]), [("append", "grown", [8, 9])]),
        ("scores", lambda scores: scores.update(b=2), [("merge", "scores", {"b": 2})]),
        ("scores", lambda scores: scores.update(a=True), [("merge", "scores", {"a": True})]),
        ("scores", lambda scores: scores.pop("a"), [("set", "scores", {})]),
        ("pet", lambda pet: pet.tricks.append("sit"), [("set", "pet", Pet(tricks=["sit"]))]),
        ("data", lambda data: data["in"].append(1), [("set", "data", {"in": [1]})]),
        ("data", lambda data: data["in"].extend([]), []),
        ("seen", lambda seen: seen.add(2), [("set", "seen", {1, 2})]),
    ],
    ids=steady,
)
def test_a_change_in_place_asks_for_the_smallest_change(field: str, change: Any, expected: Any) -> None:
    values = begun(WIDE, items=[1, 2], grown=[1], scores={"a": 1}, data={"in": []}, seen={1})
    found = changed(values, node_of(field, change))

    assert repr(found) == repr(expected)


def test_a_field_with_a_reducer_is_set_and_not_reduced_again() -> None:
    def node(state: Wide) -> Wide:
        state.total += 5
        state.count = 7
        return state

    after = plain(WIDE, step(WIDE, begun(WIDE, total=10), node))

    assert (after["total"], after["count"]) == (15, 7)


def test_a_copy_of_the_state_is_read_as_the_state() -> None:
    values = begun(WIDE, total=10, items=[1])

    for make in (
        lambda state: state.model_copy(update={"count": 1}),
        lambda state: state.model_copy(update={"count": 1}, deep=True),
        lambda state: setattr(found := copy.copy(state), "count", 1) or found,
        lambda state: setattr(found := copy.deepcopy(state), "count", 1) or found,
    ):
        assert changed(values, make) == [("set", "count", 1)]


def test_of_a_fresh_state_those_fields_count_that_it_was_made_with() -> None:
    values = begun(WIDE, count=3, total=10, items=[1], scores={"a": 1})
    after = plain(WIDE, step(WIDE, values, lambda state: Wide(total=0, items=[1, 2])))

    assert (after["count"], after["total"], after["items"], after["scores"]) == (3, 0, [1, 2], {"a": 1})


def test_of_a_fresh_state_a_default_that_was_changed_counts_too() -> None:
    def node(state: Wide) -> Wide:
        fresh = Wide()
        fresh.items.append(1)
        fresh.pet.name = "Tom"
        return fresh

    after = plain(WIDE, step(WIDE, begun(WIDE, count=3), node))

    assert (after["count"], after["items"], after["pet"].name) == (3, [1], "Tom")


def test_a_fresh_state_cannot_put_a_wrong_value_in() -> None:
    with pytest.raises(InvalidUpdateError, match='Node "node" returned a value that does not fit field "count"'):
        changed(begun(WIDE), lambda state: Wide.model_construct(count="many"))


def test_a_value_of_a_wrong_type_in_place_is_refused() -> None:
    def node(state: Wide) -> Wide:
        state.items = 5
        return state

    with pytest.raises(InvalidUpdateError, match='does not fit field "items": Input should be a valid list'):
        changed(begun(WIDE), node)


def test_what_was_cached_on_the_state_is_no_field_of_it() -> None:
    def node(state: Wide) -> Wide:
        assert state.size == 0
        state.count = 1
        return state

    assert changed(begun(WIDE), node) == [("set", "count", 1)]


# -- open states -----------------------------------------------------------------------------------

OPEN = StateSchema(Anything)


def test_an_undeclared_field_is_set_changed_and_dropped_in_place() -> None:
    def node(state: Any) -> Any:
        state.kept["a"].append(2)
        state.fresh = (1, 2)
        del state.gone
        return state

    values = begun(OPEN, kept={"a": [1]}, gone=1, same=[1])
    after = plain(OPEN, step(OPEN, values, node))

    assert {name: after.get(name) for name in ("kept", "fresh", "gone", "same")} == {
        "kept": {"a": [1, 2]},
        "fresh": (1, 2),
        "gone": None,
        "same": [1],
    }
    assert "gone" not in after
    assert plain(OPEN, values)["kept"] == {"a": [1]}


def test_a_fresh_open_state_drops_nothing() -> None:
    after = plain(OPEN, step(OPEN, begun(OPEN, kept=1), lambda state: Anything(more=2)))

    assert (after["kept"], after["more"]) == (1, 2)


class Frozen(AgentState):
    model_config = ConfigDict(frozen=True)
    count: int = 0


def test_a_frozen_state_is_returned_as_a_changed_copy() -> None:
    schema = StateSchema(Frozen)

    assert changed(begun(schema), lambda state: state.model_copy(update={"count": 2}), schema) == [("set", "count", 2)]


def test_a_state_whose_messages_were_replaced_sets_them() -> None:
    def node(state: Wide) -> Wide:
        state.context = [Message(id="new")]
        return state

    after = plain(WIDE, step(WIDE, begun(WIDE, messages=[Message(id="a"), Message(id="b")]), node))

    assert [message.id for message in after["context"]] == ["new"]
