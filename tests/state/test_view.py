"""A view is the model to whoever holds it, costs what is read of it, and lets no change through to the thread."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError, computed_field

from taf.state import AgentState, Message
from taf.state.execution import ExecutionStatus
from taf.state.messages import ToolCallBlock
from taf.state.schema import StateSchema, Values
from taf.state.view import parts
from tests.state.steps import META, Anything, Standing, begun, plain


class Pet(BaseModel):
    name: str = "Rex"
    tricks: list[str] = []


class Wide(AgentState):
    count: int = 0
    name: str = "n"
    items: list[Any] = []
    texts: list[str] = []
    tree: dict[str, Any] = {}
    seen: set[str] = set()
    pet: Pet = Field(default_factory=Pet)
    pets: list[Pet] = []
    pair: tuple[list[int], int] = ([], 0)

    _notes: list[str] = PrivateAttr(default_factory=list[str])
    _level: int = 3

    @property
    def first(self) -> Any:
        return self.items[0]

    @cached_property
    def size(self) -> int:
        return len(self.items)

    @computed_field
    @property
    def double(self) -> int:
        return self.count * 2

    def add(self, item: Any) -> None:
        self.items.append(item)
        self.count += 1


WIDE, OPEN = StateSchema(Wide), StateSchema(Anything)
FULL: dict[str, Any] = {
    "count": 2,
    "items": [1, [2], {"a": 3}],
    "texts": ["x"],
    "tree": {"a": {"b": [1]}},
    "seen": {"s"},
    "pet": Pet(tricks=["sit"]),
    "pets": [Pet(name="Tom")],
    "pair": ([1], 2),
}


def filled() -> Values:
    return begun(WIDE, **copy.deepcopy(FULL), messages=[Message(id="1", content="hi")])


def test_a_view_is_an_instance_of_its_model_and_looks_like_one() -> None:
    view = WIDE.view(filled(), META)
    same = Wide(**copy.deepcopy(FULL), context=[Message(id="1", content="hi")])

    assert isinstance(view, Wide)
    assert type(view).__name__ == "Wide"
    assert view == same
    assert same == view
    assert view == WIDE.view(filled(), META)
    assert view != same.model_copy(update={"count": 3})
    assert view != 5
    assert repr(view) == repr(same)
    assert str(view) == str(same)
    assert dict(view) == dict(same)
    assert vars(view) == vars(same)
    assert view.model_dump() == same.model_dump()
    assert view.model_dump(mode="json", exclude={"seen"}) == same.model_dump(mode="json", exclude={"seen"})
    assert json.loads(view.model_dump_json()) == json.loads(same.model_dump_json())
    assert view.model_dump_json(include={"pets"}) == '{"pets":[{"name":"Tom","tricks":[]}]}'
    assert view.model_fields_set >= {"count", "items"}


def test_a_view_inside_another_model_is_dumped_like_its_model() -> None:
    class Job(BaseModel):
        state: Wide

    job = Job(state=WIDE.view(filled(), META))

    assert job.model_dump()["state"]["items"] == FULL["items"]
    assert json.loads(job.model_dump_json())["state"]["tree"] == FULL["tree"]
    assert TypeAdapter(Wide).dump_python(WIDE.view(filled(), META))["texts"] == ["x"]


def test_methods_properties_and_private_attributes_work() -> None:
    view = WIDE.view(filled(), META)
    view.add(9)
    view._notes.append("mine")

    assert (view.first, view.size, view.double, view.count) == (1, 4, 6, 3)
    assert (view._notes, view._level) == (["mine"], 3)
    assert WIDE.view(filled(), META)._notes == []
    assert view.execution_meta is META


def in_place(change: Callable[[Any], Any]) -> Any:
    return pytest.param(change, id=f"line {change.__code__.co_firstlineno}")


@pytest.mark.parametrize(
    "change",
    [
        in_place(lambda view: view.items.append(1)),
        in_place(lambda view: view.items[1].append(1)),
        in_place(lambda view: view.items[2].update(b=1)),
        in_place(lambda view: view.texts.clear()),
        in_place(lambda view: view.tree["a"]["b"].append(2)),
        in_place(lambda view: view.tree.clear()),
        in_place(lambda view: view.seen.add("t")),
        in_place(lambda view: view.pet.tricks.append("roll")),
        in_place(lambda view: setattr(view.pets[0], "name", "Max")),
        in_place(lambda view: view.pair[0].append(2)),
        in_place(lambda view: view.messages.clear()),
        in_place(lambda view: view.context.append(Message())),
        in_place(lambda view: setattr(view, "items", [])),
        in_place(lambda view: setattr(view, "count", 9)),
        in_place(lambda view: delattr(view, "items")),
        in_place(lambda view: vars(view)["items"].append(1)),
        in_place(lambda view: vars(view).clear()),
        in_place(lambda view: view.__dict__["tree"]["a"].clear()),
        in_place(lambda view: dict(view)["items"].append(1)),
        in_place(lambda view: [value.clear() for name, value in view if name == "texts"]),
        in_place(lambda view: view.model_dump()["tree"]["a"].clear()),
        in_place(lambda view: copy.copy(view).items.append(1)),
        in_place(lambda view: copy.copy(view).tree["a"].clear()),
        in_place(lambda view: copy.deepcopy(view).tree["a"].clear()),
        in_place(lambda view: view.model_copy().pet.tricks.clear()),
        in_place(lambda view: view.model_copy(update={"count": 5}).items.clear()),
        in_place(lambda view: view.model_copy(deep=True).items.clear()),
    ],
)
def test_whatever_a_node_does_to_its_view_changes_nothing_of_the_thread(change: Callable[[Any], Any]) -> None:
    values = filled()
    before = repr(plain(WIDE, values))
    change(WIDE.view(values, META))

    assert repr(plain(WIDE, values)) == before
    assert WIDE.view(values, META).model_dump() == WIDE.view(filled(), META).model_dump()


def test_two_views_share_nothing() -> None:
    values = filled()
    one, other = WIDE.view(values, META), WIDE.view(values, META)
    one.tree["a"]["b"].append(9)
    one.items.append(9)

    assert (other.tree, other.items) == (FULL["tree"], FULL["items"])


def test_a_copy_of_a_view_and_the_view_share_nothing_after_a_deep_copy() -> None:
    view = WIDE.view(filled(), META)
    deep = copy.deepcopy(view)
    view.tree["a"]["b"].append(9)
    view._notes.append("mine")

    assert (deep.tree, deep._notes) == (FULL["tree"], [])
    assert deep.execution_meta is META


def test_a_message_cannot_be_changed_in_place() -> None:
    block = ToolCallBlock(id="1", name="search", arguments={"q": {"words": ["a"]}})
    message = WIDE.view(begun(WIDE, messages=Message(content=[block])), META).messages[0]

    with pytest.raises(ValidationError):
        message.role = "assistant"
    for change in (
        lambda: message.content.append(block),
        lambda: message.content[0].arguments.update(q=1),
        lambda: message.content[0].arguments.__setitem__("q", 1),
        lambda: message.content[0].arguments["q"].pop("words"),
        lambda: message.content[0].arguments["q"]["words"].append("b"),
        lambda: message.model_copy(update={"content": [block]}).content.pop(0),
    ):
        with pytest.raises(TypeError, match="A message is frozen"):
            change()


# -- laziness --------------------------------------------------------------------------------------


def copied(view: Any, values: Values) -> set[str]:
    """Return the fields of which the view has its own copy, without making one."""
    return {name for name, value in parts(view).items() if value is not values[name]}


def test_reading_a_field_copies_no_other() -> None:
    values = filled()
    view = WIDE.view(values, META)
    assert copied(view, values) == set()

    assert view.items == FULL["items"]
    assert copied(view, values) == {"items"}
    view.count = 5
    view.tree = {}
    assert view.name == "n"
    assert copied(view, values) == {"items", "count", "tree"}
    assert copied(view.model_copy(), values) == {"items", "count", "tree"}
    assert view.items is view.items


def test_a_node_that_only_returns_the_state_copies_nothing() -> None:
    values = filled()
    view = WIDE.view(values, META)
    WIDE.wanted_by_state(values, view, "N returned")

    assert copied(view, values) == set()


def test_reading_an_undeclared_field_copies_no_other() -> None:
    values = begun(OPEN, one=[1], other=[2])
    view = OPEN.view(values, META)
    view.one.append(9)

    assert copied(view, values) == {"one"}
    assert values["one"] == [1]


# -- kinds of models -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        in_place(lambda view: view.free.append(1)),
        in_place(lambda view: view.model_extra["free"].append(1)),
        in_place(lambda view: view.__pydantic_extra__["free"].append(1)),
        in_place(lambda view: setattr(view, "free", 1)),
        in_place(lambda view: setattr(view, "fresh", 1)),
        in_place(lambda view: delattr(view, "free")),
        in_place(lambda view: dict(view)["free"].append(1)),
        in_place(lambda view: view.model_copy(update={"fresh": 1}).free.append(1)),
        in_place(lambda view: copy.deepcopy(view).free.append(1)),
    ],
)
def test_the_undeclared_fields_of_an_open_state_are_apart_too(change: Callable[[Any], Any]) -> None:
    values = begun(OPEN, free=[1, [2]])
    change(OPEN.view(values, META))

    assert values["free"] == [1, [2]]
    assert OPEN.view(values, META).model_dump() == {"context": [], "count": 0, "free": [1, [2]]}
    assert OPEN.view(values, META).model_fields_set == {"context", "count", "free"}


def test_a_copy_of_an_open_view_takes_new_fields() -> None:
    view = OPEN.view(begun(OPEN, free=[1]), META).model_copy(update={"count": 2, "fresh": 3})

    assert (view.count, view.fresh, view.free, view.model_extra) == (2, 3, [1], {"free": [1], "fresh": 3})


def test_a_frozen_model_stays_frozen_in_a_view() -> None:
    class Frozen(BaseModel):
        model_config = ConfigDict(frozen=True)
        count: int = 0
        items: tuple[int, ...] = ()

    schema = StateSchema(Frozen)
    view = schema.view(begun(schema, items=(1,)), META)

    with pytest.raises(ValidationError, match="frozen"):
        view.count = 1
    assert view.model_copy(update={"count": 1}).count == 1
    assert hash(view) == hash(Frozen(items=(1,)))


def test_a_model_that_validates_assignments_does_so_in_a_view() -> None:
    class Checked(AgentState):
        model_config = ConfigDict(validate_assignment=True)
        count: int = Field(0, ge=0)
        items: list[int] = []
        fixed: int = Field(1, frozen=True)

    schema = StateSchema(Checked)
    values = begun(schema, items=[1])
    view = schema.view(values, META)
    view.count = "5"
    view.items = ["7"]

    assert (view.count, view.items) == (5, [7])
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        view.count = -1
    with pytest.raises(ValidationError, match="frozen"):
        view.fixed = 2
    assert plain(schema, values)["items"] == [1]


def test_a_closed_view_takes_no_new_names() -> None:
    with pytest.raises(ValueError, match='has no field "fresh"'):
        WIDE.view(filled(), META).fresh = 1
    with pytest.raises(AttributeError):
        _ = WIDE.view(filled(), META).fresh


def test_a_required_field_without_a_value_is_said_to_have_none_yet() -> None:
    class Needs(BaseModel):
        number: int
        items: list[int]

    view = StateSchema(Needs).view({}, META)

    for name in ("number", "items"):
        with pytest.raises(AttributeError, match=name):
            getattr(view, name)


def test_a_models_own_equality_counts() -> None:
    class Named(BaseModel):
        name: str = ""
        items: list[int] = []

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Named) and self.name == other.name

        __hash__ = None

    schema = StateSchema(Named)

    assert schema.view(begun(schema, items=[1]), META) == Named()


# -- the state that callers own --------------------------------------------------------------------


def test_the_state_for_callers_is_a_plain_instance_of_the_model() -> None:
    values = filled()
    state = WIDE.state(values, Standing())
    state.items.append(9)
    state.tree["a"]["b"].append(9)

    assert type(state) is Wide
    assert state.execution_meta is META
    assert (state._level, state._notes) == (3, [])
    assert plain(WIDE, values)["items"] == FULL["items"]
    assert plain(WIDE, values)["tree"] == FULL["tree"]


def test_undeclared_fields_of_any_name_are_in_the_state_for_callers() -> None:
    state = OPEN.state(begun(OPEN, cls=1, _fields_set=2, values=3), Standing())

    assert state.model_extra == {"cls": 1, "_fields_set": 2, "values": 3}


def test_fields_without_a_value_show_their_default_to_callers() -> None:
    assert WIDE.state({}, Standing()).model_dump() == Wide().model_dump()


def test_an_interrupt_asked_for_on_a_view_is_seen_there_and_nowhere_else() -> None:
    values = filled()
    view = WIDE.view(values, META)
    view.set_interrupt("a", "why", data={"x": 1})

    assert view.execution_meta.status is ExecutionStatus.INTERRUPTED_BEFORE
    assert view.requested_interrupt is not None
    assert WIDE.view(values, META).requested_interrupt is None
