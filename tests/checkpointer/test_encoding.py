"""Facts and runs come back as they went in; any other bytes give a ``ValueError``."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from pydantic import BaseModel, Field

from taf.checkpointer.changes import Mismatch
from taf.checkpointer.encoding import FACTS, KINDS, FactCodec
from taf.checkpointer.interrupts import decode_record, encode_record
from taf.errors import NotStorableError
from taf.serialization import MAX_ROW_BYTES, dumps, loads
from taf.state import AgentState, Message, append
from taf.state.facts import Fact, Output, Paused, Started, Stepped, Task, Updated
from taf.state.interrupts import InterruptKind, InterruptRecord
from taf.state.run import Run
from taf.state.schema import StateSchema
from tests.rounds import rounds
from tests.serialization.values import shape
from tests.state.journals import SCHEMA, Pet, details, journals, records, runs

CODEC = FactCodec(SCHEMA)
slow = settings(max_examples=rounds(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def through(fact: Fact, codec: FactCodec = CODEC) -> Fact:
    return codec.decode(*codec.encode(fact))


@slow
@given(journals())
def test_every_fact_of_a_journal_comes_back(facts: list[Fact]) -> None:
    assert [shape(through(fact)) for fact in facts] == [shape(fact) for fact in facts]


@slow
@given(runs)
def test_a_run_comes_back_without_its_values(run: Run) -> None:
    assert shape(CODEC.decode_run("", loads(dumps(CODEC.run(run))))) == shape(run)


@slow
@given(details)
def test_details_come_back(found: Any) -> None:
    run = Run("t", details=found)

    assert shape(CODEC.decode_run("t", loads(dumps(CODEC.run(run)))).details) == shape(found)


@slow
@given(records)
def test_an_interrupt_record_comes_back(record: InterruptRecord) -> None:
    assert shape(decode_record(loads(dumps(encode_record(record))))) == shape(record)


def test_every_kind_of_fact_has_a_name() -> None:
    assert set(KINDS) == set(Fact.__args__)
    assert {kind: fact for fact, kind in KINDS.items()} == FACTS


# -- what is stored --------------------------------------------------------------------------------


def test_the_changes_of_lists_are_kept_apart_from_everything_else() -> None:
    ops = (("set", "count", 1), ("append", "grown", [1]), ("set", "items", [2]))
    kind, body, items = CODEC.encode(Stepped((("a", "a", ops), ("b", "b", (("append", "grown", [2]),))), ()))

    assert kind == "stepped"
    assert json.loads(body) == [[["a", "a", [["set", "count", 1]]], ["b", "b", []]], []]
    of_a = [[0, "append", "grown", [1]], [0, "set", "items", [2]]]
    assert json.loads(items or b"") == [*of_a, [1, "append", "grown", [2]]]


def test_a_row_names_no_code() -> None:
    _, body, items = CODEC.encode(Updated((("set", "pet", Pet()), ("append", "context", [Message(id="1")]))))

    assert json.loads(body)[0] == [["set", "pet", {"name": "Rex", "tricks": []}]]
    assert json.loads(items or b"")[0][3] == [{"id": "1", "role": "user", "content": "", "name": None}]


def test_keys_that_a_later_version_added_to_an_interrupt_are_passed_over() -> None:
    record = InterruptRecord("i", "t", "r", "a", InterruptKind.NODE, "why", datetime(2024, 1, 1, tzinfo=UTC))
    stored = encode_record(record)
    stored[0]["urgency"] = "high"

    assert decode_record(stored) == record


@pytest.mark.parametrize("name", ["id", "created_at", "due_at", "version", "path"])
def test_an_interrupt_of_wrong_types_is_refused(name: str) -> None:
    record = InterruptRecord("i", "t", "r", "a", InterruptKind.NODE, "why", datetime(2024, 1, 1, tzinfo=UTC))

    with pytest.raises(TypeError, match=f"{name} of an interrupt is a list"):
        decode_record(encode_record(replace(record, **{name: ["x"]})))


# -- refusals name the place -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "path"),
    [
        (Updated((("set", "items", [{"a": len}]),)), "items[0]['a']"),
        (Updated((("append", "grown", ["text"]),)), "grown"),
        (Updated((("set", "count", "many"),)), "count"),
        (Updated((("set", "note", "x" * MAX_ROW_BYTES),)), "note"),
        (Updated((("set", "count", 1), ("set", "items", ["x" * MAX_ROW_BYTES]))), "items"),
        (Stepped((("a", "a", ()), ("b", "b", (("append", "grown", [10**4300]),))), ()), "grown"),
        (Stepped((), (Task("a", "a#0", {"items": [len]}),)), "items[0]"),
        (Started("r", (("set", "note", "x" * 5_000_000), ("set", "items", ["x" * 5_000_000])), ()), None),
        (Updated((("set", "items", ["x" * 5_000_000]), ("append", "log", ["x" * 5_000_000]))), "a step"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_cannot_be_stored_is_refused_with_its_field(fact: Fact, path: str | None) -> None:
    if path is None:
        assert through(fact) == fact
        return
    with pytest.raises(NotStorableError) as refused:
        CODEC.encode(fact)
    assert refused.value.path == path


class Patch(BaseModel):
    add: int


def patched(current: list[Any], update: Any) -> list[Any]:
    return [*current, *(update if isinstance(update, list) else [update])]


class Odd(AgentState):
    patches: Annotated[list[Patch], patched] = []
    few: Annotated[list[Patch], append, Field(max_length=5)] = []
    free: Annotated[list[Any], patched] = []


@pytest.mark.parametrize(
    "update",
    [{"patches": Patch(add=1)}, {"few": [Patch(add=1)]}, {"few": Patch(add=2)}, {"free": {"a": (1,)}}, {"free": [1]}],
    ids=str,
)
def test_what_a_node_returned_for_any_reducer_is_kept_while_its_step_waits(update: Any) -> None:
    schema = StateSchema(Odd)
    wanted = tuple(schema.wanted(update, "N returned"))
    paused = Paused(InterruptKind.NODE, "a", "why", (), (Output("a", "a", wanted),))

    assert shape(through(paused, FactCodec(schema))) == shape(paused)


def test_an_update_that_no_reducer_could_get_back_is_refused_with_its_field() -> None:
    schema = StateSchema(Odd)
    wanted = tuple(schema.wanted({"free": Patch(add=1)}, "N returned"))

    with pytest.raises(NotStorableError, match=r"^free cannot be stored: a Patch stands where any value is allowed"):
        FactCodec(schema).encode(Paused(InterruptKind.NODE, "a", "why", (), (Output("a", "a", wanted),)))


# -- models that changed ---------------------------------------------------------------------------


def stored_under(old: dict[str, Any], new: dict[str, Any], *ops: Any) -> Fact:
    codecs = [FactCodec(StateSchema(type("S", (BaseModel,), {"__annotations__": one}))) for one in (old, new)]
    return codecs[1].decode(*codecs[0].encode(Updated(ops)))


@pytest.mark.parametrize(
    ("old", "new", "op"),
    [
        (str, int, ("set", "x", "many")),
        (int, str, ("set", "x", 1)),
        (int | None, int, ("set", "x", None)),
        (list[int], dict[str, int], ("set", "x", [1])),
        (list[int], list[dict[str, int]], ("append", "x", [1])),
        (list[int], tuple[int, ...], ("append", "x", [1])),
        (list[int], Any, ("append", "x", [1])),
        (list[int], set[int], ("put", "x", (0, 1))),
        (dict[str, int], list[int], ("merge", "x", {"a": 1})),
        (dict[str, int], Patch, ("merge", "x", {"add": 1})),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_the_new_type_is_a_mismatch_of_its_field(old: Any, new: Any, op: Any) -> None:
    with pytest.raises(Mismatch) as mismatch:
        stored_under({"x": old}, {"x": new}, op)

    assert mismatch.value.field == "x"


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [(int, float, 3), (int, int | None, 3), (str, Any, "x"), (dict[str, int], dict[str, Any], {"a": 1})],
    ids=str,
)
def test_a_value_that_fits_the_new_type_too_goes_on(old: Any, new: Any, value: Any) -> None:
    assert stored_under({"x": old}, {"x": new}, ("set", "x", value)) == Updated((("set", "x", value),))


def test_a_field_that_the_model_no_longer_has_is_passed_over_everywhere() -> None:
    old, new = StateSchema(Odd), StateSchema(type("Odd", (AgentState,), {"__annotations__": {"few": list[Patch]}}))
    output = Output("a", "a", tuple(old.wanted({"free": 1, "patches": Patch(add=1), "few": [Patch(add=1)]}, "N")))
    task = Task("a", "a#0", {"free": [1], "few": [Patch(add=2)]})
    encoded = FactCodec(old).encode(Paused(InterruptKind.NODE, "a", "why", (), (output._replace(goto=(task,)),)))
    decoded = FactCodec(new).decode(*encoded)

    assert isinstance(decoded, Paused)
    assert [op[1] for op in decoded.finished[0].ops] == ["few"]
    assert decoded.finished[0].goto == (Task("a", "a#0", {"few": [Patch(add=2)]}),)


class Long(BaseModel):
    text: str = ""
    number: int = 0


@pytest.mark.parametrize("length", [10, 4200, 4300, 5000, 100_000])
@pytest.mark.parametrize("letter", ["x", "7", "\ud800"])
def test_a_plain_step_is_written_as_any_other_however_long(length: int, letter: str) -> None:
    codec, task = FactCodec(StateSchema(Long)), Task("a", "a")
    ops = [("set", "text", letter * length), ("set", "number", 10**4299), ("set", "text", letter)]
    fact = Stepped((("a", "a", tuple(ops)),), (Task("b", "b"),))
    assert codec.encode_straight(task, ops, fact.frontier) == codec.encode(fact)[1:]
    assert shape(through(fact, codec)) == shape(fact)

    wrong = [*ops, ("set", "number", 10**4300)]
    with pytest.raises(NotStorableError, match="number cannot be stored"):
        codec.encode_straight(task, wrong, fact.frontier)
