"""Values are validated as the model would: types, constraints, options, validators of fields and of the whole."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from taf.errors import ConfigError, InvalidUpdateError
from taf.state import AgentState, append, merge
from taf.state.schema import StateSchema, Values
from tests.state.steps import begun, plain, returning, step


def refused(model: type[BaseModel] | StateSchema, update: Any, **given: Any) -> str:
    schema = model if isinstance(model, StateSchema) else StateSchema(model)
    with pytest.raises(InvalidUpdateError) as error:
        step(schema, begun(schema, **given), returning(update))
    return str(error.value)


def after(model: type[BaseModel], *updates: Any, **given: Any) -> dict[str, Any]:
    schema = StateSchema(model)
    values = begun(schema, **given)
    for update in updates:
        values = step(schema, values, returning(update))
    return plain(schema, values)


# -- types and constraints -------------------------------------------------------------------------


class Order(BaseModel):
    amount: int = Field(0, ge=0)
    names: list[str] = Field(default_factory=list[str], max_length=2)
    grown: Annotated[list[int], append, Field(max_length=3)] = []
    scores: Annotated[dict[str, int], merge, Field(max_length=2)] = {}
    pet: dict[str, list[int]] = {}
    kind: Literal["a", "b"] = "a"


def test_a_value_of_a_wrong_type_names_the_node_and_the_place() -> None:
    assert refused(Order, {"pet": {"a": [1, "x"]}}) == (
        'Node "node" returned a value that does not fit field "pet.a.1": '
        "Input should be a valid integer, unable to parse string as an integer."
    )


@pytest.mark.parametrize("is_nested", [True, False])
def test_a_forgotten_await_is_guessed(is_nested: bool) -> None:
    async def name() -> str:
        return "Ann"

    coroutine = name()
    said = refused(Order, {"names": [coroutine]} if is_nested else {"kind": coroutine})
    coroutine.close()
    assert said.endswith(", not a coroutine (is an await missing?).")


def test_a_value_that_pydantic_can_turn_is_turned() -> None:
    assert after(Order, {"amount": "7"})["amount"] == 7


@pytest.mark.parametrize("update", [{"amount": -1}, {"names": ["a", "b", "c"]}, {"kind": "c"}], ids=str)
def test_a_constraint_is_kept(update: Any) -> None:
    assert refused(Order, update).startswith('Node "node" returned a value that does not fit field')


def test_a_constraint_on_a_field_with_a_reducer_holds_for_the_whole() -> None:
    assert after(Order, {"grown": 1}, {"grown": [2, 3]})["grown"] == [1, 2, 3]
    assert refused(Order, {"grown": [3, 4]}, grown=[1, 2]).startswith('After node "node", field "grown" is not valid')
    assert after(Order, {"scores": {"a": 1}}, {"scores": {"a": 2, "b": 3}})["scores"] == {"a": 2, "b": 3}
    assert refused(Order, {"scores": {"c": 1}}, scores={"a": 1, "b": 1}).startswith('After node "node", field "scores"')


class Color(Enum):
    RED = "red"


class Options(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True, use_enum_values=True, coerce_numbers_to_str=True)
    name: str = ""
    color: Color | None = None


def test_the_options_of_the_model_hold() -> None:
    found = after(Options, {"name": "  x "}, {"color": Color.RED})

    assert (found["name"], found["color"]) == ("x", "red")
    assert after(Options, {"name": 5})["name"] == "5"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    amount: int = 0


def test_a_strict_model_turns_nothing() -> None:
    assert "valid integer" in refused(Strict, {"amount": "7"})


# -- defaults --------------------------------------------------------------------------------------


class Defaults(BaseModel):
    required: int
    tags: list[str] = ["a"]
    copied: list[str] = Field(default_factory=lambda data: [*data["tags"], "b"])
    when: date = Field("2024-01-01", validate_default=True)


def test_a_new_thread_starts_with_the_defaults_and_lacks_what_is_required() -> None:
    schema = StateSchema(Defaults)
    values = schema.apply({}, schema.default_ops())

    assert plain(schema, values) == {"tags": ["a"], "copied": ["a", "b"], "when": date(2024, 1, 1)}
    assert schema.missing(values) == ["required"]
    assert schema.missing(begun(schema, required=1)) == []


def test_a_default_belongs_to_one_thread() -> None:
    schema = StateSchema(Defaults)
    one, other = begun(schema, required=1), begun(schema, required=1)
    schema.view(one, None).tags.append("z")
    step(schema, one, lambda state: state.tags.append("z") or state)

    assert plain(schema, other)["tags"] == ["a"]
    assert Defaults.model_fields["tags"].default == ["a"]


def test_only_what_has_no_value_yet_gets_its_default() -> None:
    schema = StateSchema(Defaults)

    assert schema.defaults({"tags": ["x"], "when": date(2024, 1, 2)}) == {"copied": ["x", "b"]}


def test_a_default_that_is_no_list_is_refused_for_a_list() -> None:
    class Sloppy(BaseModel):
        tags: list[str] = None

    with pytest.raises(
        ConfigError, match=r'^The default of field "tags" is not valid: Input should be a valid list\.$'
    ):
        StateSchema(Sloppy).default_ops()


def test_a_required_list_can_be_appended_to_before_it_has_a_value() -> None:
    class Listing(BaseModel):
        seen: Annotated[list[int], append]

    assert after(Listing, {"seen": 1}, {"seen": 2}) == {"seen": [1, 2]}


# -- validators ------------------------------------------------------------------------------------


class Span(AgentState):
    start: int = 0
    end: int = 10
    label: str = ""
    tags: list[str] = []
    calls: Annotated[list[int], append] = []

    @field_validator("end")
    @classmethod
    def not_before_start(cls, end: int, info: Any) -> int:
        if end < info.data["start"]:
            raise ValueError("end lies before start")
        return end

    @field_validator("label", mode="before")
    @classmethod
    def as_text(cls, label: Any) -> Any:
        return label.upper() if isinstance(label, str) else label

    @field_validator("tags", mode="before")
    @classmethod
    def split(cls, tags: Any) -> Any:
        return tags.split(",") if isinstance(tags, str) else tags

    @field_validator("calls")
    @classmethod
    def few(cls, calls: list[int]) -> list[int]:
        if len(calls) > 2:
            raise ValueError("too many calls")
        return calls


def test_a_fields_validator_sees_every_update() -> None:
    assert after(Span, {"label": "x"}, {"tags": "a,b"}) | {"context": []} == {
        "context": [],
        "start": 0,
        "end": 10,
        "label": "X",
        "tags": ["a", "b"],
        "calls": [],
    }


def test_a_validator_of_a_field_with_a_reducer_sees_the_whole() -> None:
    assert after(Span, {"calls": 1}, {"calls": 2})["calls"] == [1, 2]
    assert refused(Span, {"calls": 3}, calls=[1, 2]).endswith("too many calls.")


def test_a_validator_that_looks_at_other_fields_sees_their_real_values() -> None:
    assert after(Span, {"end": 30, "start": 20})["end"] == 30
    assert (
        refused(Span, {"end": 15}, start=20, end=40)
        == "The state would not be valid: end: Value error, end lies before start."
    )
    assert refused(Span, {"start": 50}) == "The state would not be valid: end: Value error, end lies before start."


class Total(BaseModel):
    parts: Annotated[list[int], append] = []
    total: int = 0
    limit: int

    @field_validator("total")
    @classmethod
    def positive(cls, total: int) -> int:
        if total < 0:
            raise ValueError("below zero")
        return total

    @model_validator(mode="after")
    def add_up(self) -> Total:
        if sum(self.parts) > self.limit:
            raise ValueError("over the limit")
        self.total = sum(self.parts)
        return self


def test_a_model_validator_corrects_and_refuses_the_whole() -> None:
    assert after(Total, {"parts": [1, 2]}, limit=5)["total"] == 3
    assert refused(Total, {"parts": 9}, limit=5) == "The state would not be valid: Value error, over the limit."
    assert "below zero" in refused(Total, {"total": -1}, limit=5)


def test_a_model_validator_waits_until_the_required_fields_are_there() -> None:
    assert after(Total, {"parts": [99]}) == {"parts": [99], "total": 0}


def test_a_step_in_which_nothing_is_written_is_not_validated() -> None:
    schema = StateSchema(Total)

    assert schema.merge(begun(schema, limit=1), []) == ([], begun(schema, limit=1))


def crash(value: Any) -> Any:
    raise LookupError("gone")


class Crashing(BaseModel):
    bad: Annotated[int, BeforeValidator(crash)] = 0


def test_a_validator_that_breaks_is_told_as_an_error_of_the_node() -> None:
    assert refused(Crashing, {"bad": 1}) == 'Node "node" returned a value that does not fit field "bad": gone.'


# -- aliases ---------------------------------------------------------------------------------------


class Aliased(BaseModel):
    kind: str = Field("", alias="type")
    type_: str = Field("", validation_alias="kind")
    tags: list[str] = Field(default_factory=list[str], serialization_alias="labels")

    @model_validator(mode="after")
    def anything(self) -> Aliased:
        return self


def test_fields_are_written_by_their_names_and_never_by_an_alias() -> None:
    schema = StateSchema(Aliased)
    values: Values = begun(schema, kind="k", type_="t")
    values = step(schema, values, returning({"tags": ["x"]}))

    state = schema.state(values, None)
    assert (state.kind, state.type_, state.tags) == ("k", "t", ["x"])
    assert plain(schema, values) == {"kind": "k", "type_": "t", "tags": ["x"]}
    assert 'returned "type", which is no field' in refused(schema, {"type": "x"})


# -- what cannot be copied -------------------------------------------------------------------------


class Free(BaseModel):
    anything: Any = None


def test_a_value_that_holds_itself_is_an_error_that_names_the_field() -> None:
    endless: list[Any] = []
    endless.append(endless)

    assert refused(Free, {"anything": endless}) == (
        'Node "node" returned a value of field "anything" that is nested too deep, or in itself.'
    )


def test_a_value_that_cannot_be_copied_is_an_error_that_names_the_field() -> None:
    assert 'field "anything": cannot pickle' in refused(Free, {"anything": (item for item in ())})
