"""The SDK's own client, which keeps what it gets and answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

from acp import PROTOCOL_VERSION, connect_to_agent, run_agent, spawn_agent_process, text_block
from acp.client.connection import ClientSideConnection
from acp.interfaces import Agent, Client
from acp.schema import (
    AcceptElicitationResponse,
    AllowedOutcome,
    ClientCapabilities,
    DeclineElicitationResponse,
    ElicitationCapabilities,
    ElicitationFormCapabilities,
    Implementation,
    PermissionOption,
    RequestPermissionResponse,
)

from taf import AgentState, InterruptRecord, SqliteCheckpointer, StateGraph
from taf.acp import GraphAgent
from tests.acp import graphs

ROOT = Path(__file__).resolve().parents[2]
TAF = str(Path(sys.executable).parent / "taf")

FORMS = ClientCapabilities(elicitation=ElicitationCapabilities(form=ElicitationFormCapabilities()))


class Recorder:
    """A client. ``chooses``: the names of the options that it takes, in turn; None where it does not answer."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, Any]] = []
        self.permissions: list[tuple[Any, list[PermissionOption]]] = []
        self.forms: list[tuple[str, Any]] = []
        self.chooses: list[str | None] = []
        self.fills: list[dict[str, Any] | None] = []
        self.news = asyncio.Event()

    def on_connect(self, conn: Any) -> None:
        pass

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.updates.append((session_id, update))
        self.news.set()

    async def request_permission(
        self, session_id: str, tool_call: Any, options: list[PermissionOption], **_: Any
    ) -> RequestPermissionResponse:
        self.permissions.append((tool_call, options))
        self.news.set()
        choice = self.chooses.pop(0) if self.chooses else None
        if choice is None:
            await asyncio.Event().wait()
        found = next(option for option in options if option.name == choice)
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=found.option_id))

    async def create_elicitation(self, message: str, mode: Any, **_: Any) -> Any:
        self.forms.append((message, mode))
        self.news.set()
        filled = self.fills.pop(0)
        if filled is None:
            return DeclineElicitationResponse(action="decline")
        return AcceptElicitationResponse(action="accept", content=filled)

    def text(self, after: int = 0) -> str:
        """What the agent said."""
        said = [update for _, update in self.updates[after:] if update.session_update == "agent_message_chunk"]
        return "".join(update.content.text for update in said)

    def told(self, kind: str, after: int = 0) -> list[Any]:
        return [update for _, update in self.updates[after:] if update.session_update == kind]

    async def until(self, condition: Any) -> None:
        """Wait until something holds of what was got."""
        async with asyncio.timeout(20):
            while not condition():
                self.news.clear()
                await self.news.wait()


class Talk:
    """A client and its connection to an agent."""

    def __init__(
        self, client: Recorder, conn: ClientSideConnection, process: asyncio.subprocess.Process | None = None
    ) -> None:
        self.client, self.conn, self.process = client, conn, process

    async def new(self) -> str:
        return (await self.conn.new_session(cwd=str(ROOT), mcp_servers=[])).session_id

    async def load(self, session_id: str) -> None:
        await self.conn.load_session(cwd=str(ROOT), session_id=session_id, mcp_servers=[])

    async def prompt(self, session_id: str, text: str) -> str:
        async with asyncio.timeout(30):
            answer = await self.conn.prompt(session_id=session_id, prompt=[text_block(text)])
        return answer.stop_reason


@contextlib.asynccontextmanager
async def talking_to(
    graph: str, place: Path, *, capabilities: ClientCapabilities | None = None, name: str = "tester", **options: Any
) -> AsyncIterator[Talk]:
    """Serve a graph of ``tests.acp.graphs`` in this process, over a socket, and connect to it."""
    os.environ["TAF_ACP_DB"] = str(place)
    app = getattr(graphs, graph)()
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    async with app.checkpointer, app:
        serving = asyncio.create_task(run_agent(cast("Agent", GraphAgent(app, **options)), writer, reader))
        client = Recorder()
        answers, asks = await asyncio.open_connection(sock=ours)
        conn = connect_to_agent(cast("Client", client), asks, answers, use_unstable_protocol=True)
        await _initialize(conn, capabilities, name)
        yield Talk(client, conn)
        await conn.close()
        asks.close()
        await serving
        writer.close()


@contextlib.asynccontextmanager
async def another_process(
    graph: str, place: Path, *, capabilities: ClientCapabilities | None = None, options: tuple[str, ...] = ()
) -> AsyncIterator[Talk]:
    """Start ``taf acp`` of a graph of ``tests.acp.graphs`` and connect to it."""
    client = Recorder()
    async with spawn_agent_process(
        cast("Client", client),
        TAF,
        *("acp", f"tests.acp.graphs:{graph}", *options),
        env={"TAF_ACP_DB": str(place)},
        cwd=ROOT,
        transport_kwargs={"stderr": None, "limit": 1 << 24},
        use_unstable_protocol=True,
    ) as (conn, process):
        await _initialize(conn, capabilities)
        yield Talk(client, conn, process)


async def _initialize(
    conn: ClientSideConnection, capabilities: ClientCapabilities | None, name: str = "tester"
) -> None:
    await conn.initialize(
        protocol_version=PROTOCOL_VERSION,
        client_capabilities=capabilities or ClientCapabilities(),
        client_info=Implementation(name=name, version="1"),
    )


async def records(place: Path, thread_id: str) -> list[InterruptRecord]:
    """What the store holds, read by another process's eyes."""
    async with SqliteCheckpointer(place) as store:
        app = StateGraph(AgentState).add_node("any", lambda state: None).compile(checkpointer=store)
        return await app.ainterrupts({"thread_id": thread_id})


def pending(client: Recorder) -> list[Any]:
    return [call for call in client.told("tool_call") if call.status == "pending"]
