"""``taf acp`` over stdio: the agent is a process of its own, and another one takes up what it left."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from taf import AgentState, SqliteCheckpointer, StateGraph
from tests.acp.client import ROOT, TAF, another_process, pending, records


async def test_what_a_node_prints_does_not_come_between_the_lines(place: Path) -> None:
    async with another_process("approving", place) as talk:
        talk.client.chooses = ["Approve"]
        assert await talk.prompt(await talk.new(), "clean up") == "end_turn"


async def test_a_client_that_never_answers_can_cancel_and_the_question_stays_open(place: Path) -> None:
    async with another_process("approving", place) as talk:
        session = await talk.new()
        prompt = asyncio.create_task(talk.prompt(session, "clean up"))
        await talk.client.until(lambda: talk.client.permissions)
        await talk.conn.cancel(session_id=session)

        assert await prompt == "cancelled"
        [record] = await records(place, session)
        assert (record.status, record.answered_by) == ("open", None)


async def test_another_process_loads_the_session_and_its_past(place: Path) -> None:
    async with another_process("approving", place) as talk:
        talk.client.chooses = ["Approve"]
        session = await talk.new()
        await talk.prompt(session, "clean up")

    async with another_process("approving", place) as talk:
        await talk.load(session)
        assert [update.content.text for update in talk.client.told("user_message_chunk")] == ["clean up"]
        assert talk.client.text() == "I would delete 3 files.\n\nDeleted."
        assert [call.title for call in talk.client.told("tool_call")] == ["plan", "delete"]
        talk.client.chooses = ["Reject"]
        assert await talk.prompt(session, "once more") == "end_turn"


async def test_another_process_asks_what_is_still_open(place: Path) -> None:
    async with another_process("approving", place) as talk:
        session = await talk.new()
        prompt = asyncio.create_task(talk.prompt(session, "clean up"))
        await talk.client.until(lambda: talk.client.permissions)
        await talk.conn.cancel(session_id=session)
        await prompt

    async with another_process("approving", place) as talk:
        await talk.load(session)
        [call] = pending(talk.client)
        talk.client.chooses = ["Approve", "Reject"]
        assert await talk.prompt(session, "go on") == "end_turn"
        assert talk.client.permissions[0][0].tool_call_id == call.tool_call_id
        assert "Deleted." in talk.client.text()


async def test_a_session_that_was_never_prompted_can_be_loaded(place: Path) -> None:
    async with another_process("talking", place) as talk:
        session = await talk.new()
    async with another_process("talking", place) as talk:
        await talk.load(session)
        assert await talk.prompt(session, "word 2") == "end_turn"


async def test_a_run_in_another_process_is_superseded(place: Path) -> None:
    async with another_process("talking", place) as here, another_process("talking", place) as there:
        session = await here.new()
        first = asyncio.create_task(here.prompt(session, "old 500"))
        await here.client.until(lambda: "old3" in here.client.text())
        await there.load(session)

        assert await there.prompt(session, "new 3") == "end_turn"
        assert await first == "cancelled"
        assert there.client.text().endswith("new0 new1 new2 ")


async def test_an_agent_that_is_told_to_end_stops_what_runs(place: Path) -> None:
    async with another_process("talking", place) as talk:
        session = await talk.new()
        lost = asyncio.create_task(talk.prompt(session, "word 500"))
        await talk.client.until(lambda: "word3" in talk.client.text())
        assert talk.process is not None
        talk.process.terminate()
        assert await talk.process.wait() == 0
        with pytest.raises(ConnectionError):
            await lost
    assert await status(place, session) == "stopped"


async def test_a_client_that_goes_away_stops_what_runs(place: Path) -> None:
    async with another_process("talking", place) as talk:
        session = await talk.new()
        lost = asyncio.create_task(talk.prompt(session, "word 500"))
        await talk.client.until(lambda: "word3" in talk.client.text())
    with pytest.raises(ConnectionError):
        await lost
    assert talk.process.returncode == 0
    assert await status(place, session) == "stopped"


async def status(place: Path, session: str) -> str:
    """How a thread stands in the store."""
    async with SqliteCheckpointer(place) as store:
        app = StateGraph(AgentState).add_node("talk", lambda state: None).compile(checkpointer=store)
        return (await app.aget_state({"thread_id": session})).status


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        ("tests.acp.graphs:nothing", "has no attribute"),
        ("tests.acp.graphs", "write module:name"),
        ("tests.acp.graphs:talking", "stdin and stdout have to be pipes"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(place: Path, graph: str, why: str) -> None:
    with Path(__file__).open() as no_pipe:
        ended = subprocess.run(
            [TAF, "acp", graph],
            stdin=no_pipe,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={"TAF_ACP_DB": str(place)},
            timeout=60,
            check=False,
        )

    assert (ended.returncode, ended.stdout) == (2, "")
    assert why in ended.stderr
