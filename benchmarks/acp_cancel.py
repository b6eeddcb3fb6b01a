"""How soon ``taf acp`` answers a cancel: over stdio, in mid-answer and at an open question, against a bare agent.

Needs the extra ``acp``. Prints milliseconds (p50, p99) from the client's ``session/cancel`` to the answer to its
prompt, and the ratio to an agent that is made with the SDK alone and has nothing to stop.
``python benchmarks/acp_cancel.py [ROUNDS]``
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from acp import PROTOCOL_VERSION, Agent, run_agent, spawn_agent_process, text_block, update_agent_message
from acp.schema import InitializeResponse, NewSessionResponse, PromptResponse

from taf import AgentState, CompiledGraph, Message, SqliteCheckpointer, StateGraph, emit
from taf.acp import GraphAgent, serve

ROUNDS = 300


# -- the agents, each in a process of its own ----------------------------------------------------------


async def talk(state: AgentState) -> Message:
    """Stream a word every 5 ms."""
    for number in range(10_000):
        emit(f"word{number} ")
        await asyncio.sleep(0.005)
    return Message.text_message("done", role="assistant")


async def deaf(state: AgentState) -> Message:
    """Stream, and do not leave when it is told to."""
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        try:
            emit("still ")
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            pass
    return Message.text_message("late", role="assistant")


def graph(kind: str, place: str) -> CompiledGraph:
    node: Callable[[AgentState], Awaitable[Message]] = deaf if kind == "deaf" else talk
    before = ["node"] if kind == "asking" else []
    return (
        StateGraph()
        .add_node("node", node)
        .compile(checkpointer=SqliteCheckpointer(place), interrupt_before=before, stop_grace=0.1)
    )


class Bare(Agent):
    """Answers a cancel with nothing to stop."""

    conn: Any

    def __init__(self) -> None:
        self.over: dict[str, asyncio.Event] = {}

    def on_connect(self, conn: Any) -> None:
        self.conn = conn

    async def initialize(self, protocol_version: int, **_: Any) -> InitializeResponse:
        return InitializeResponse(protocol_version=protocol_version)

    async def new_session(self, cwd: str, **_: Any) -> NewSessionResponse:
        return NewSessionResponse(session_id=os.urandom(8).hex())

    async def prompt(self, session_id: str, prompt: Any, **_: Any) -> PromptResponse:
        over = self.over[session_id] = asyncio.Event()
        await self.conn.session_update(session_id=session_id, update=update_agent_message(text_block("word")))
        await over.wait()
        return PromptResponse(stop_reason="cancelled")

    async def cancel(self, session_id: str, **_: Any) -> None:
        self.over[session_id].set()


async def be_agent(kind: str, place: str) -> None:
    if kind == "bare":
        await run_agent(Bare())
        return
    app = graph(kind, place)
    async with app.checkpointer, app:
        await serve(GraphAgent(app))


# -- the client ----------------------------------------------------------------------------------------


class Client:
    """Notes that something has come; answers no permission."""

    def __init__(self) -> None:
        self.news = asyncio.Event()

    def on_connect(self, conn: Any) -> None:
        pass

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        if update.session_update == "agent_message_chunk":
            self.news.set()

    async def request_permission(self, **_: Any) -> Any:
        self.news.set()
        await asyncio.Event().wait()


async def measure(kind: str, rounds: int) -> list[float]:
    """Return the milliseconds that each cancel took."""
    client, taken = Client(), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "threads.db")
        async with spawn_agent_process(
            cast("Any", client),
            sys.executable,
            *(__file__, "--agent", kind, place),
            transport_kwargs={"stderr": None},
        ) as (conn, _):
            await conn.initialize(protocol_version=PROTOCOL_VERSION)
            for _ in range(rounds):
                session = (await conn.new_session(cwd=folder, mcp_servers=[])).session_id
                client.news.clear()
                prompt = asyncio.create_task(conn.prompt(session_id=session, prompt=[text_block("go")]))
                await client.news.wait()
                begun = time.perf_counter()
                await conn.cancel(session_id=session)
                answer = await prompt
                taken.append((time.perf_counter() - begun) * 1000)
                assert answer.stop_reason == "cancelled"
    return sorted(taken)


async def main(rounds: int) -> None:
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{rounds} cancels each: ms from the cancel to the answer; {load}")
    floor = 0.0
    for kind in ("bare", "talking", "asking", "deaf"):
        taken = await measure(kind, rounds)
        p50, p99 = statistics.median(taken), taken[int(len(taken) * 0.99)]
        floor = floor or p50
        figures = f"p50 {p50:6.2f}  p99 {p99:6.2f}  max {taken[-1]:6.2f}"
        print(f"{kind:8} {figures}  p50 against the bare agent: {p50 / floor:.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--agent"]:
        asyncio.run(be_agent(*sys.argv[2:]))
    else:
        asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else ROUNDS))
