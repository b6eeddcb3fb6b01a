"""What goes in with a call, and what comes out of it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Any

import pytest

from taf import AgentState, ConfigError, Context, ExecutionStatus, Message, StateGraph
from taf.checkpointer.base import BaseCheckpointer
from taf.state.reducers import append
from tests.styles import run


class Trail(AgentState):
    done: Annotated[list[str], append] = []


def shows(state: Trail, config: dict[str, Any]) -> dict[str, Any]:
    return {"done": [repr(sorted(config.items(), key=str))], "messages": [Message.text_message("seen")]}


def compiled(store: BaseCheckpointer | None = None, **options: Any) -> Any:
    return StateGraph(Trail).add_node(shows).compile(store, **options)


async def test_a_thread_id_is_made_and_returned(store: BaseCheckpointer) -> None:
    async with compiled(store) as app:
        first, second = await app.ainvoke({}), await app.ainvoke({}, {})
        assert first.thread_id
        assert first.thread_id != second.thread_id
        assert (await app.aget_state({"thread_id": first.thread_id})).status is ExecutionStatus.COMPLETED


async def test_a_number_is_a_thread_id_as_its_text(store: BaseCheckpointer, style: str) -> None:
    async with compiled(store) as app:
        assert (await run(app, style, {}, {"thread_id": 7, "run_id": 8})).thread_id == "7"
        found = await app.aget_state({"thread_id": "7"})
        assert (found.thread_id, found.run_id) == ("7", "8")


@pytest.mark.parametrize(
    "config",
    [
        {"thread_id": 1.5},
        {"thread_id": ""},
        {"thread_id": True},
        {"thread_id": ["t"]},
        {"thread_id": "t", "run_id": {}},
        {"thread_id": "t", "user_id": b"x"},
        {"thread_id": "t", "recursion_limit": 0},
        {"thread_id": "t", "recursion_limit": "9"},
        {"thread_id": "t", "recursion_limit": True},
        "t",
        ["thread_id"],
    ],
)
async def test_what_makes_no_sense_is_refused(style: str, config: Any) -> None:
    async with compiled() as app:
        with pytest.raises(ConfigError):
            await run(app, style, {}, config)
        assert await app.athreads() == []


async def test_a_call_about_a_thread_needs_its_name() -> None:
    async with compiled() as app:
        for call in (app.aget_state, app.astop, app.aresume, app.aget_history, app.afork, app.adelete_thread):
            with pytest.raises(ConfigError, match="thread_id"):
                await call({})


async def test_nodes_get_the_keys_that_taf_does_not_know(store: BaseCheckpointer, style: str) -> None:
    seen: list[dict[str, Any]] = []

    def node(state: Trail, config: dict[str, Any], ctx: Context) -> None:
        seen.extend((config, ctx.config))

    config = MappingProxyType({"thread_id": "t", "run_id": "r", "user_id": 5, "tenant": "x", "deep": {"a": [1]}})
    async with StateGraph(Trail).add_node(node).compile(store) as app:
        await run(app, style, {}, config)
    expected = {**config, "user_id": "5", "recursion_limit": 100}
    assert seen == [expected, expected]


async def test_an_unknown_key_alone_is_passed_on_as_well() -> None:
    seen: list[Any] = []
    async with StateGraph(Trail).add_node("n", lambda state, config: seen.append(config["color"])).compile() as app:
        await app.ainvoke({}, {"color": "red"})
    assert seen == ["red"]


async def test_the_callers_dict_is_not_changed(store: BaseCheckpointer, style: str) -> None:
    def node(state: Trail, config: dict[str, Any]) -> None:
        config["mine"] = 1
        config.pop("thread_id")

    config = {"thread_id": "t", "x": 1}
    async with StateGraph(Trail).add_node(node).compile(store) as app:
        await run(app, style, {}, config)
        assert config == {"thread_id": "t", "x": 1}


KEYS = {
    "interrupted",
    "status",
    "interrupt_reason",
    "interrupts",
    "current_node",
    "state",
    "messages",
    "thread_id",
    "run_id",
    "step",
    "superseded_by",
    "partials",
}


async def test_a_result_is_an_object_and_a_mapping(store: BaseCheckpointer) -> None:
    async with compiled(store, interrupt_before=["shows"]) as app:
        for result in (await app.ainvoke({}, {"thread_id": "t"}), await app.ainvoke({}, {"thread_id": "t"})):
            assert set(result) == KEYS
            assert len(result) == len(KEYS)
            assert all(result[key] == getattr(result, key) for key in KEYS)
            assert result.get("interrupted") is result.interrupted
            assert result.get("nothing", 5) == 5
            for key in ("nothing", "_run", "__class__"):
                with pytest.raises(KeyError):
                    result[key]


async def test_a_result_equals_what_the_store_holds(store: BaseCheckpointer, style: str, reopen: Any) -> None:
    async with compiled(store, interrupt_after=["shows"]) as app, compiled(reopen()) as other:
        for _ in range(2):
            result = await run(app, style, {}, {"thread_id": "t"})
            found = await other.aget_state({"thread_id": "t"})
            names = ("state", "status", "interrupts", "step", "current_node", "thread_id", "run_id", "partials")
            assert {name: getattr(result, name) for name in names} == {name: getattr(found, name) for name in names}
            assert result.messages == found.state.messages
        assert result.status is ExecutionStatus.COMPLETED


async def test_a_result_does_not_change_when_its_thread_goes_on(store: BaseCheckpointer) -> None:
    async with compiled(store) as app:
        first = await app.ainvoke({}, {"thread_id": "t"})
        await app.ainvoke({"done": ["more"]}, {"thread_id": "t"})
        assert (len(first.state.done), len(first.messages)) == (1, 1)


async def test_the_state_of_a_result_is_the_callers_own(store: BaseCheckpointer) -> None:
    async with compiled(store) as app:
        result = await app.ainvoke({}, {"thread_id": "t"})
        result.state.done.append("mine")
        assert len((await app.aget_state({"thread_id": "t"})).state.done) == 1
        assert len((await app.ainvoke({}, {"thread_id": "t"})).state.done) == 2
