"""A thread outlives changes of its state model, or says at once what does not fit and what to do."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from taf.checkpointer import ledger as ledger_room
from taf.checkpointer.base import ThreadKey
from taf.checkpointer.journal import Journal
from taf.checkpointer.memory import InMemoryCheckpointer
from taf.errors import ConfigError, GraphChangedError
from taf.state import append, merge
from taf.state.facts import Completed, Fact, Started, Stepped, Updated
from taf.state.run import Run
from taf.state.schema import StateSchema


class Old(BaseModel):
    title: str = "t"
    gone: int = 1
    items: Annotated[list[str], append] = []
    kept: list[str] = ["k"]
    scores: Annotated[dict[str, int], merge] = {}


def model(**fields: Any) -> StateSchema:
    """Return the schema of a model with these fields, each a type and a default, or a type."""
    annotations = {name: field[0] if isinstance(field, tuple) else field for name, field in fields.items()}
    defaults = {name: field[1] for name, field in fields.items() if isinstance(field, tuple)}
    return StateSchema(type("New", (BaseModel,), {"__annotations__": annotations, **defaults}))


async def write(store: InMemoryCheckpointer, schema: StateSchema, *facts: Fact) -> None:
    ledger = await Journal(store, schema, tenant="", clock=float).acquire("t", lease_seconds=15)
    assert ledger is not None
    for fact in facts:
        ledger.stage(fact)
    await ledger.save(release=True)


async def read(store: InMemoryCheckpointer, schema: StateSchema) -> Run:
    found = await Journal(store, schema, tenant="", clock=float).read("t")
    assert found is not None
    return found[0]


def values(run: Run, schema: StateSchema) -> dict[str, Any]:
    return {name: schema.channel(name).plain(value) for name, value in run.values.items()}


def stepped(*ops: Any) -> Stepped:
    return Stepped((("a", "a", ops),), ())


@pytest.fixture(params=["records", "snapshot"])
def is_snapshot(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Let threads be read back from their records, or from a snapshot."""
    monkeypatch.setattr(ledger_room, "SNAPSHOT_FLOOR", 0 if request.param == "snapshot" else 10**9)
    return bool(request.param == "snapshot")


@pytest.fixture
async def store(is_snapshot: bool) -> InMemoryCheckpointer:
    """Return a store with a thread of the old model."""
    store, schema = InMemoryCheckpointer(), StateSchema(Old)
    ops = (("set", "title", "many"), ("append", "items", ["x"]), ("merge", "scores", {"a": 1}))
    await write(store, schema, Started("r", tuple(schema.default_ops()), ()), stepped(*ops))
    stored = await store.load(ThreadKey("", "t"))
    assert stored is not None
    assert (stored.snapshot is not None) is is_snapshot
    return store


async def test_a_removed_field_is_passed_over_and_comes_back_with_its_declaration(store: InMemoryCheckpointer) -> None:
    new = model(title=(str, ""), items=(Annotated[list[str], append], []), scores=(dict[str, int], {}))

    assert values(await read(store, new), new) == {"title": "many", "items": ["x"], "scores": {"a": 1}}
    assert (await read(store, StateSchema(Old))).values["gone"] == 1


async def test_a_new_field_begins_with_its_default(store: InMemoryCheckpointer) -> None:
    class New(Old):
        more: str = "new"
        stamps: list[datetime] = Field(default_factory=list[datetime])

    assert values(await read(store, StateSchema(New)), StateSchema(New)) == {
        "title": "many",
        "gone": 1,
        "items": ["x"],
        "kept": ["k"],
        "scores": {"a": 1},
        "more": "new",
        "stamps": [],
    }


async def test_what_is_joined_to_a_new_fields_default_stays_joined_to_it(store: InMemoryCheckpointer) -> None:
    class New(Old):
        tags: Annotated[list[str], append] = ["default"]
        marks: Annotated[dict[str, int], merge] = {"default": 0}

    schema = StateSchema(New)
    for number in range(2):
        await write(store, schema, stepped(("append", "tags", [str(number)]), ("merge", "marks", {str(number): 1})))

    found = values(await read(store, schema), schema)
    assert (found["tags"], found["marks"]) == (["default", "0", "1"], {"default": 0, "0": 1, "1": 1})


async def test_a_default_that_is_made_anew_is_made_once_per_load(store: InMemoryCheckpointer) -> None:
    made = count()

    class New(Old):
        number: int = Field(default_factory=lambda: next(made))

    journal = Journal(store, StateSchema(New), tenant="", clock=float)
    first, again = await journal.read("t"), await journal.read("t")

    assert first is not None
    assert again is not None
    assert first[0].values["number"] == again[0].values["number"] == 0


async def test_a_new_required_field_is_told_with_its_name_and_the_cure(store: InMemoryCheckpointer) -> None:
    class New(Old):
        owner: str

    journal = Journal(store, StateSchema(New), tenant="", clock=float)
    for load in (journal.read("t"), journal.acquire("t", lease_seconds=15)):
        with pytest.raises(GraphChangedError) as changed:
            await load
        assert str(changed.value) == (
            'Thread "t" does not fit this graph: it has no value for field "owner", which the state model requires. '
            'Give "owner" a default.'
        )


@pytest.mark.parametrize(
    ("field", "declared"),
    [
        ("title", (int, 0)),
        ("items", (list[int], [])),
        ("items", (tuple[str, ...], ())),
        ("items", (dict[str, int], {})),
        ("items", (str, "")),
        ("items", (Any, None)),
        ("scores", (list[int], [])),
        ("scores", (dict[int, int], {})),
        ("scores", (int, 0)),
    ],
    ids=str,
)
async def test_a_value_that_does_not_fit_its_new_type_is_told_with_the_field_and_the_cure(
    store: InMemoryCheckpointer, field: str, declared: Any
) -> None:
    with pytest.raises(GraphChangedError) as changed:
        await read(store, model(**{field: declared}))

    assert changed.value.thread_id == "t"
    assert f'the stored value of field "{field}" does not fit its type: ' in str(changed.value)
    assert f'Declare "{field}" so that what is stored fits' in str(changed.value)
    assert values(await read(store, StateSchema(Old)), StateSchema(Old))["title"] == "many"


@pytest.mark.parametrize(
    ("field", "declared", "expected"),
    [
        ("gone", (float, 0.0), 1.0),
        ("gone", (int | str | None, None), 1),
        ("title", (Any, None), "many"),
        ("items", (list[Any], []), ["x"]),
        ("kept", (tuple[str, ...], ()), ("k",)),
        ("kept", (Any, None), ["k"]),
        ("items", (list[str], []), ["x"]),
        ("scores", (dict[str, float], {}), {"a": 1.0}),
    ],
    ids=str,
)
async def test_a_value_that_fits_its_new_type_goes_on(
    store: InMemoryCheckpointer, field: str, declared: Any, expected: Any
) -> None:
    new = model(**{field: declared})

    assert repr(values(await read(store, new), new)) == repr({field: expected})


async def test_a_thread_that_was_only_updated_may_lack_what_is_required() -> None:
    class Needs(BaseModel):
        number: int
        title: str = ""

    store, schema = InMemoryCheckpointer(), StateSchema(Needs)
    await write(store, schema, Updated((("set", "title", "x"),)))

    assert values(await read(store, schema), schema) == {"title": "x"}
    await write(store, schema, Started("r", (("set", "number", 1),), ()), Completed())
    assert values(await read(store, schema), schema) == {"title": "x", "number": 1}


async def test_a_wrong_default_of_a_new_field_is_the_models_fault_and_not_the_stores(
    store: InMemoryCheckpointer,
) -> None:
    class New(Old):
        tags: list[str] = None

    with pytest.raises(ConfigError, match='The default of field "tags" is not valid'):
        await read(store, StateSchema(New))
