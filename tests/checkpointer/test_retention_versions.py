"""Pruning by a newer graph leaves a thread in the version that it is of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel

from taf.checkpointer.journal import Journal
from taf.checkpointer.lineage import Lineage
from taf.checkpointer.memory import InMemoryCheckpointer
from taf.checkpointer.past import past
from taf.checkpointer.retention import Keep, shorten
from taf.state import AgentState, Message, append
from taf.state.run import Run
from taf.state.schema import StateSchema
from tests.checkpointer.test_journal import commit, owned, start, stepped
from tests.checkpointer.test_retention import as_at_rest, seen


class Pet(BaseModel):
    name: str


class Old(AgentState):
    items: Annotated[list[str], append] = []
    pet: Pet = Pet(name="Rex")
    marks: tuple[int, ...] = ()
    count: int = 0


class New(AgentState):
    items: Annotated[list[str], append] = []
    pet: Pet = Pet(name="")
    marks: tuple[int, ...] = ()
    total: float = 0.5


def to_new(values: dict[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in values.items() if name != "count"}, "total": values["count"] / 2}


def of(store: InMemoryCheckpointer, model: type[AgentState]) -> Journal:
    lineage = Lineage(2, {1: to_new}) if model is New else Lineage()
    return Journal(store, StateSchema(model), tenant="", clock=lambda: 1.0, lineage=lineage)


async def read(store: InMemoryCheckpointer, model: type[AgentState]) -> tuple[Run, list[Any]]:
    found = await of(store, model).read("t")
    assert found is not None
    return found[0], [seen(moment.run) async for moment in past(of(store, model), "t")]


async def test_a_thread_of_an_older_version_is_pruned_as_what_it_is() -> None:
    store = InMemoryCheckpointer()
    ledger = await owned(of(store, Old))
    await commit(ledger, start(StateSchema(Old)))
    for number in range(6):
        message = Message(id=str(number), content="x")
        ops = [("append", "items", [str(number)]), ("append", "context", [message]), ("set", "pet", Pet(name="Tom"))]
        await commit(ledger, stepped(*ops, ("set", "marks", (number, 7)), ("set", "count", number)))
    await ledger.save(release=True)
    as_at_rest(store)
    before = {model: await read(store, model) for model in (Old, New)}

    done = await shorten(of(store, New), "t", Keep(3, None))

    assert done is not None
    assert done.records == 4
    for model in (Old, New):
        run, told = await read(store, model)
        assert seen(run) == seen(before[model][0])
        assert told == before[model][1][4:]
    assert (await read(store, New))[0].values["total"] == 2.5
