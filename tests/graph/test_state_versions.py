"""A thread of an older state version is migrated when it goes on, once, and stays readable from end to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import date
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from taf import END, START, EventType, ExecutionStatus, Send, StateGraph, interrupt
from taf.checkpointer import BaseCheckpointer
from taf.checkpointer import ledger as ledger_room
from taf.errors import ConfigError, GraphChangedError
from taf.graph import CompiledGraph
from taf.state import append
from tests.steady_ids import steady

CONFIG = {"thread_id": "t"}


class First(BaseModel):
    name: str = "Ada Lovelace"
    born: date = date(1815, 12, 10)
    log: Annotated[list[str], append] = []


class Name(BaseModel):
    first: str
    last: str


class Second(BaseModel):
    name: Name
    born: date
    log: Annotated[list[str], append] = []


class Third(BaseModel):
    name: Name
    year: int
    log: Annotated[list[tuple[int, str]], append] = []


def split_name(values: dict[str, Any]) -> dict[str, Any]:
    first, last = values["name"].split()
    return {**values, "name": {"first": first, "last": last}}


def number_log(values: dict[str, Any]) -> dict[str, Any]:
    values["year"] = values.pop("born").year
    values["log"] = list(enumerate(values["log"]))
    return values


MODELS: dict[int, Any] = {1: First, 2: Second, 3: Third}
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: split_name, 2: number_log}


def graph(version: int, store: BaseCheckpointer, *, first: int = 1, **changed: Any) -> CompiledGraph:
    """Return a row of four nodes that pauses before each but the first."""
    built = StateGraph(MODELS[version])
    for name in "abcd":

        async def leave(state: Any, name: str = name) -> dict[str, Any]:
            return {"log": [(len(state.log), name)] if version == 3 else [name]}

        built.add_node(name, leave)
    migrations = {n: fn for n, fn in MIGRATIONS.items() if first <= n < version}
    options: dict[str, Any] = {"state_version": version, "migrations": migrations, **changed}
    return built.compile(store, interrupt_before=["b", "c", "d"], **options)


@pytest.fixture(autouse=True, params=["records", "snapshots"])
def floor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads be read back from their records, or from snapshots."""
    monkeypatch.setattr(ledger_room, "SNAPSHOT_FLOOR", 0 if request.param == "snapshots" else 10**9)


@pytest.fixture
def again(store: BaseCheckpointer) -> Iterator[Callable[..., CompiledGraph]]:
    """Return what makes an app that has nothing of the thread in memory."""
    return lambda version, **options: graph(version, store, **options)


async def test_a_thread_goes_on_through_every_version(again: Callable[..., CompiledGraph]) -> None:
    await again(1).ainvoke({}, CONFIG)
    second = await again(2).ainvoke(None, CONFIG)
    assert second.state == Second(name=Name(first="Ada", last="Lovelace"), born=date(1815, 12, 10), log=["a", "b"])
    await again(3).ainvoke(None, CONFIG)
    done = await again(3).ainvoke(None, CONFIG)
    assert done.status is ExecutionStatus.COMPLETED
    log = [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
    assert done.state == Third(name=Name(first="Ada", last="Lovelace"), year=1815, log=log)
    assert (await again(3).aget_state(CONFIG)).state == done.state


async def test_versions_may_be_passed_over(again: Callable[..., CompiledGraph]) -> None:
    await again(1).ainvoke({}, CONFIG)
    done = await again(3).ainvoke(None, CONFIG)
    assert (done.state.year, done.state.log) == (1815, [(0, "a"), (1, "b")])
    assert (await again(3).aget_state(CONFIG)).state == done.state


async def test_a_migrated_thread_needs_its_old_migrations_no_more(again: Callable[..., CompiledGraph]) -> None:
    await again(1).ainvoke({}, CONFIG)
    await again(2).ainvoke(None, CONFIG)
    done = await again(3, first=2).ainvoke(None, CONFIG)
    assert done.state.log == [(0, "a"), (1, "b"), (2, "c")]


async def test_looking_at_an_old_thread_shows_it_migrated_and_writes_nothing(
    again: Callable[..., CompiledGraph],
) -> None:
    await again(1).ainvoke({}, CONFIG)
    new = again(3)
    assert (await new.aget_state(CONFIG)).state.log == [(0, "a")]
    assert [snapshot.state.year for snapshot in await new.aget_history(CONFIG)] == [1815] * 3
    assert (await again(1).aget_state(CONFIG)).state.name == "Ada Lovelace"


async def test_the_migration_is_on_record_once_with_what_it_changed(again: Callable[..., CompiledGraph]) -> None:
    await again(1).ainvoke({}, CONFIG)
    app = again(2)
    await app.ainvoke(None, CONFIG)
    await app.ainvoke(None, CONFIG)
    events = [event async for event in app.aevents(CONFIG) if event.event_type is EventType.UPGRADED]
    assert [event.data["version"] for event in events] == [2]
    assert events[0].data["update"] == {"name": Name(first="Ada", last="Lovelace")}


async def test_every_checkpoint_of_the_past_can_be_seen_and_forked(again: Callable[..., CompiledGraph]) -> None:
    await again(1).ainvoke({}, CONFIG)
    await again(2).ainvoke(None, CONFIG)
    await again(3).ainvoke(None, CONFIG)
    app = again(3)
    snapshots = await app.aget_history(CONFIG)
    assert [snapshot.step for snapshot in snapshots] == [3, 3, 2, 2, 2, 1, 1, 1, 0]
    for snapshot in snapshots:
        assert (await app.aget_state(snapshot.config)).state == snapshot.state
        fork = await app.afork(snapshot.config)
        assert (await again(3).aget_state(fork)).state == snapshot.state
        assert (await again(3).aresume(fork)).state.log[: len(snapshot.state.log)] == snapshot.state.log


async def test_a_newer_thread_is_refused_and_left_as_it_is(again: Callable[..., CompiledGraph]) -> None:
    await again(1).ainvoke({}, CONFIG)
    await again(2).ainvoke(None, CONFIG)
    old = again(1)
    for call in (old.aget_state(CONFIG), old.ainvoke(None, CONFIG), old.aget_history(CONFIG)):
        with pytest.raises(GraphChangedError, match="of version 2, and this graph knows version 1"):
            await call
    assert (await again(2).ainvoke(None, CONFIG)).state.log == ["a", "b", "c"]


async def test_a_version_without_a_way_to_this_one_is_told(again: Callable[..., CompiledGraph]) -> None:
    await again(1).ainvoke({}, CONFIG)
    with pytest.raises(GraphChangedError, match="no migration leads from version 1"):
        await again(3, first=2).ainvoke(None, CONFIG)


def fail(values: dict[str, Any]) -> dict[str, Any]:
    return {"name": values["nickname"]}


@pytest.mark.parametrize(
    ("migration", "match"),
    [
        (fail, r"migration from version 1 failed: KeyError\('nickname'\)"),
        (lambda values: None, "it returned NoneType"),
        (lambda values: {**values, "name": 5}, 'value of field "name" does not fit'),
        (lambda values: {**split_name(values), "nick": 1}, '"nick", which is no field'),
        (lambda values: {**values, "name": Name(first="a", last="b")}, 'for field "name" is no plain value'),
        (lambda values: {"name": {"first": "a", "last": "b"}}, 'no value for field "born"'),
    ],
    ids=["raises", "none", "misfit", "unknown", "model", "lacking"],
)
async def test_a_migration_that_goes_wrong_is_told_and_changes_nothing(
    migration: Any, match: str, again: Callable[..., CompiledGraph]
) -> None:
    await again(1).ainvoke({}, CONFIG)
    with pytest.raises(GraphChangedError, match=match):
        await again(2, migrations={1: migration}).ainvoke(None, CONFIG)
    assert (await again(1).ainvoke(None, CONFIG)).state.log == ["a", "b"]


async def test_a_migration_gets_values_of_its_own(again: Callable[..., CompiledGraph]) -> None:
    await again(1).ainvoke({}, CONFIG)
    new = again(3)
    seen = await asyncio.gather(*(new.aget_state(CONFIG) for _ in range(3)))
    assert [snapshot.state.log for snapshot in seen] == [[(0, "a")]] * 3


async def test_an_old_thread_that_is_updated_or_begun_anew_is_migrated_first(
    again: Callable[..., CompiledGraph],
) -> None:
    await again(1).ainvoke({}, CONFIG)
    app = again(2)
    await app.aupdate_state(CONFIG, {"log": ["by hand"]})
    await app.astop(CONFIG)
    assert (await app.ainvoke({"log": ["input"]}, CONFIG)).state.log == ["a", "by hand", "input", "a"]
    assert (await again(3).aget_state(CONFIG)).state.log[-1] == (3, "a")


async def test_a_stop_does_not_need_the_migration(again: Callable[..., CompiledGraph]) -> None:
    await again(1).ainvoke({}, CONFIG)
    assert (await again(2).astop(CONFIG))["ok"]
    assert (await again(2).ainvoke(None, CONFIG)).status is ExecutionStatus.INTERRUPTED_BEFORE
    assert (await again(2).ainvoke(None, CONFIG)).state.log == ["a", "b"]


async def test_a_thread_that_was_first_updated_is_of_that_version(store: BaseCheckpointer) -> None:
    app = graph(3, store)
    await app.aupdate_state(CONFIG, {"log": [(0, "x")]})
    assert (await graph(3, store).aget_state(CONFIG)).state.log == [(0, "x")]


async def test_what_send_laid_over_the_state_is_migrated_with_it(store: BaseCheckpointer) -> None:
    def sending(version: int) -> CompiledGraph:
        async def show(state: Any) -> dict[str, Any]:
            name = state.name if version == 1 else f"{state.name.last}, {state.name.first}"
            return {"log": [name]}

        built = StateGraph(MODELS[version]).add_node("a", lambda state: None).add_node("b", show)
        sends = [Send("b", {"name": "Alan Turing"}), Send("b", {})]
        built.add_edge(START, "a").add_edge("b", END).add_conditional_edges("a", lambda state: sends)
        options: dict[str, Any] = {"state_version": version, "migrations": {1: split_name} if version == 2 else {}}
        return built.compile(store, interrupt_before=["b"], **options)

    await sending(1).ainvoke({}, CONFIG)
    assert (await sending(2).ainvoke(None, CONFIG)).state.log == ["Turing, Alan", "Lovelace, Ada"]


@pytest.mark.parametrize("touches", [True, False])
async def test_a_step_half_done_goes_on_unless_what_it_returned_is_migrated(
    touches: bool, store: BaseCheckpointer
) -> None:
    def half(version: int) -> CompiledGraph:
        async def quick(state: Any) -> dict[str, Any]:
            return {"name": "Alan Turing"} if touches else {"log": ["quick"]}

        async def ask(state: Any) -> None:
            await interrupt("sure?")

        built = StateGraph(MODELS[version]).add_node("quick", quick).add_node("ask", ask)
        options: dict[str, Any] = {"state_version": version, "migrations": {1: split_name} if version == 2 else {}}
        return built.add_edge(START, "quick").add_edge(START, "ask").compile(store, **options)

    await half(1).ainvoke({}, CONFIG)
    if touches:
        with pytest.raises(GraphChangedError, match='"quick" has returned field "name", which is migrated'):
            await half(2).aresume(CONFIG, "yes")
        await half(1).aresume(CONFIG, "yes")
        assert (await half(2).aget_state(CONFIG)).state.name.first == "Alan"
    else:
        assert (await half(2).aresume(CONFIG, "yes")).state.log == ["quick"]


@pytest.mark.parametrize(
    ("version", "migrations"),
    [(0, {}), (True, {}), (1, {1: split_name}), (3, {1: split_name}), (3, {2: None}), (2, {"1": split_name})],
    ids=steady,
)
def test_a_wrong_version_or_a_gap_between_migrations_is_refused(version: Any, migrations: Any) -> None:
    built = StateGraph(First).add_node("a", lambda state: None)
    with pytest.raises(ConfigError):
        built.compile(state_version=version, migrations=migrations)
