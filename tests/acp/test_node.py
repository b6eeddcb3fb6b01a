"""An agent as a node: our own, served by ``taf acp`` in another process, and one that misbehaves."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path
from typing import Any

import pytest

from taf import (
    AgentError,
    AgentState,
    Approve,
    CompiledGraph,
    ConfigError,
    InMemoryCheckpointer,
    Message,
    Reject,
    SqliteCheckpointer,
    StateGraph,
)
from taf.acp import AgentNode
from tests.acp.client import ROOT, TAF, records

CONFIG = {"thread_id": "t"}


def said(text: str) -> dict[str, Any]:
    return {"messages": Message.text_message(text)}


def agent(graph: str, place: Path, **options: Any) -> AgentNode:
    env = {"TAF_ACP_DB": str(place), "PYTHONPATH": str(ROOT)}
    return AgentNode([TAF, "acp", f"tests.acp.graphs:{graph}"], env=env, **options)


def misbehaving(how: str, folder: Path, **options: Any) -> AgentNode:
    return AgentNode([sys.executable, str(ROOT / "tests" / "acp" / "misbehaving.py"), how, str(folder)], **options)


def app_with(node: AgentNode, store: Any = None, **options: Any) -> CompiledGraph:
    return StateGraph().add_node("agent", node).compile(checkpointer=store or InMemoryCheckpointer(), **options)


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(") ")[2][0] not in "ZX"


async def sessions(place: Path) -> list[str]:
    """The sessions that our agent keeps."""
    async with SqliteCheckpointer(place) as store:
        app = StateGraph(AgentState).add_node("any", lambda state: None).compile(checkpointer=store)
        return [row.thread_id for row in await app.athreads()]


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while is_alive(pid):
            await asyncio.sleep(0.02)


async def test_what_an_agent_says_is_emitted_and_returned(place: Path) -> None:
    app = app_with(agent("talking", place))
    events = [event async for event in app.astream(said("word 4"), CONFIG)]

    texts = [e.data["value"] for e in events if e.event_type == "partial" and isinstance(e.data["value"], str)]
    assert texts == ["word0 ", "word1 ", "word2 ", "word3 "]
    keyed = [e.data["value"]["sessionUpdate"] for e in events if e.event_type == "partial" and e.data["key"]]
    assert {"plan", "tool_call", "tool_call_update"} == set(keyed)
    assert (await app.aget_state(CONFIG)).state.messages[-1].text() == "word0 word1 word2 word3 "


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Approve(), "I would delete 3 files.\n\nDeleted."),
        ("Approve", "I would delete 3 files.\n\nDeleted."),
        (Reject("no"), "I would delete 3 files."),
        ("Reject", "I would delete 3 files."),
        (False, "I would delete 3 files."),
    ],
)
async def test_a_permission_is_an_interrupt_of_the_graph(place: Path, answer: Any, text: str) -> None:
    app = app_with(agent("approving", place))
    result = await app.ainvoke(said("clean up"), CONFIG)
    [record] = result.interrupts
    assert record.reason == 'Paused before node "delete".'
    assert [option["name"] for option in record.data["options"]] == ["Reject", "Approve"]
    result = await app.aresume(CONFIG, answer)

    assert (result.status, result.messages[-1].text()) == ("completed", text)


async def test_a_session_belongs_to_the_thread_and_the_node(place: Path) -> None:
    app = app_with(agent("remembering", place))
    await app.ainvoke(said("one"), CONFIG)
    result = await app.ainvoke(said("two"), CONFIG)
    other = await app.ainvoke(said("three"), {"thread_id": "another"})

    assert result.messages[-1].text() == "You have said: one, two"
    assert other.messages[-1].text() == "You have said: three"


async def test_another_process_loads_the_session_and_answers_what_was_decided(place: Path, tmp_path: Path) -> None:
    async with SqliteCheckpointer(tmp_path / "graph.db") as store:
        first = app_with(agent("approving", place), store)
        assert (await first.ainvoke(said("clean up"), CONFIG)).interrupted
    async with SqliteCheckpointer(tmp_path / "graph.db") as store:  # the node that holds the agent is not asked
        second = app_with(agent("approving", place), store)
        result = await second.aresume(CONFIG, "Approve")
        # Told to go on with the task, this agent begins another pass, and asks again.
        [session] = await sessions(place)
        assert [record.status for record in await records(place, session)] == ["open", "answered"]
        result = await second.aresume(CONFIG, "Reject")

    assert result.status == "completed"
    assert [record.status for record in await records(place, session)] == ["rejected", "answered"]
    assert result.messages[-1].text().startswith("Deleted.")


async def test_an_agent_that_is_held_too_long_is_ended_and_told_what_was_decided(tmp_path: Path) -> None:
    app = app_with(misbehaving("asks-once", tmp_path, hold=0.0, grace=0.2))
    assert (await app.ainvoke(said("go"), CONFIG)).interrupted
    await until_gone(int((tmp_path / "pids").read_text()))
    result = await app.aresume(CONFIG, "Yes")

    assert result.messages[-1].text() == "first: y"
    told = (tmp_path / "prompts").read_text().split("--\n")
    assert told[0] == "go"
    assert "- first?: Yes" in told[1]
    assert told[1].endswith("Go on with the task:\n\ngo")


def test_an_agent_that_waits_ends_with_its_loop(tmp_path: Path) -> None:
    app = app_with(misbehaving("asks-once", tmp_path, grace=0.2))
    assert asyncio.run(app.ainvoke(said("go"), CONFIG)).interrupted

    assert not is_alive(int((tmp_path / "pids").read_text()))
    gc.collect()  # a transport that was left open would warn here


def test_an_agent_that_is_just_being_ended_ends_with_its_loop_too(tmp_path: Path) -> None:
    async def stop_it() -> None:
        app = app_with(misbehaving("ignores-cancel", tmp_path, grace=30.0), stop_grace=0.1)
        running = asyncio.create_task(app.ainvoke(said("go"), CONFIG))
        await until_partial(app)
        await app.astop(CONFIG)
        await running

    asyncio.run(stop_it())
    # The agent's own child is killed, too, but nobody here can wait for its end.
    for pid in (tmp_path / "pids").read_text().split():
        asyncio.run(until_gone(int(pid)))
    gc.collect()


async def test_a_stop_cancels_the_session_of_the_agent(place: Path) -> None:
    app = app_with(agent("talking", place), stop_grace=10)
    running = asyncio.create_task(app.ainvoke(said("word 500"), CONFIG))
    await until_partial(app)
    answer = await app.astop(CONFIG)

    assert (answer["ok"], answer["unwinding"]) == (True, [])
    assert (await running).status == "stopped"
    async with SqliteCheckpointer(place) as store:
        theirs = StateGraph(AgentState).add_node("talk", lambda state: None).compile(checkpointer=store)
        [row] = await theirs.athreads()
        assert row.status == "stopped"


async def until_partial(app: CompiledGraph) -> None:
    """Wait until the node that runs has emitted something."""
    async with asyncio.timeout(20):
        while not any(active.engine.partials for active in app._flights._having.values()):
            await asyncio.sleep(0.01)


async def test_an_agent_that_ignores_its_cancellation_is_killed_with_its_children(tmp_path: Path) -> None:
    app = app_with(misbehaving("ignores-cancel", tmp_path, grace=0.2), stop_grace=10)
    running = asyncio.create_task(app.ainvoke(said("go"), CONFIG))
    await until_partial(app)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert all(map(is_alive, pids))
    await app.astop(CONFIG)

    assert (await running).status == "stopped"
    for pid in pids:
        await until_gone(pid)


async def test_a_stop_at_a_permission_ends_the_agent(tmp_path: Path) -> None:
    app = app_with(misbehaving("asks", tmp_path, grace=0.2))
    assert (await app.ainvoke(said("go"), CONFIG)).interrupted
    [pid] = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert is_alive(pid)
    await app.astop(CONFIG)

    await until_gone(pid)


async def test_several_permissions_are_asked_one_after_another(tmp_path: Path) -> None:
    app = app_with(misbehaving("asks-twice", tmp_path))
    result = await app.ainvoke(said("go"), CONFIG)
    assert [record.reason for record in result.interrupts] == ["first?"]
    result = await app.aresume(CONFIG, "Yes")
    assert [record.reason for record in result.interrupts] == ["second?"]
    result = await app.aresume(CONFIG, "No")

    assert result.messages[-1].text() == "first: y, second: n"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("exits", "it went away"),
        ("fails", "Internal error: out of tokens"),
        ("gives-up", "it ended its turn as cancelled"),
    ],
)
async def test_an_agent_that_fails_is_an_error_of_the_run(tmp_path: Path, how: str, why: str) -> None:
    app = app_with(misbehaving(how, tmp_path))
    with pytest.raises(AgentError, match=why):
        await app.ainvoke(said("go"), CONFIG)
    assert (await app.aget_state(CONFIG)).status == "error"


async def test_an_agent_that_is_not_there_is_an_error_of_the_run(tmp_path: Path) -> None:
    app = app_with(AgentNode([str(tmp_path / "no-such-agent")]))
    with pytest.raises(AgentError, match="could not be started"):
        await app.ainvoke(said("go"), CONFIG)


def test_a_node_without_a_command_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs the command"):
        AgentNode("")
    with pytest.raises(ConfigError, match="cannot be negative"):
        AgentNode("agent", grace=-1)


async def test_a_state_without_a_message_needs_a_prompt(place: Path) -> None:
    app = app_with(agent("remembering", place))
    with pytest.raises(ConfigError, match="pass AgentNode"):
        await app.ainvoke({}, CONFIG)


async def test_the_prompt_is_made_of_the_state(place: Path) -> None:
    app = app_with(agent("remembering", place, prompt=lambda state: f"{len(state.messages)} messages"))
    result = await app.ainvoke(said("hello"), CONFIG)
    assert result.messages[-1].text() == "You have said: 1 messages"


async def test_the_session_is_forgotten_with_the_thread(place: Path) -> None:
    app = app_with(agent("remembering", place))
    await app.ainvoke(said("one"), CONFIG)
    await app.adelete_thread(CONFIG)
    result = await app.ainvoke(said("two"), CONFIG)

    assert result.messages[-1].text() == "You have said: two"


def test_a_sync_caller_can_answer_an_agent(place: Path) -> None:
    with app_with(agent("approving", place)) as app:
        assert app.invoke(said("clean up"), CONFIG).interrupted
        assert app.resume(CONFIG, "Approve").messages[-1].text().endswith("Deleted.")
