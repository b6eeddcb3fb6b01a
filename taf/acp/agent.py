"""A compiled graph as an agent: the methods that clients call."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, TypeAlias

from acp import PROTOCOL_VERSION
from acp.exceptions import RequestError
from acp.interfaces import Client
from acp.schema import (
    AgentCapabilities,
    ClientCapabilities,
    Implementation,
    InitializeResponse,
    ListSessionsResponse,
    LoadSessionResponse,
    NewSessionResponse,
    PromptCapabilities,
    PromptResponse,
    SessionCapabilities,
    SessionInfo,
    SessionListCapabilities,
)

from taf.acp.content import PromptBlock, message_of, text_of
from taf.acp.desk import DEADLINE_SECONDS, Desk, Line
from taf.acp.narrator import Narrator, Update
from taf.acp.questions import shown_as_call
from taf.acp.session import Session
from taf.acp.turn import as_seen
from taf.checkpointer.base import ThreadRow
from taf.errors import ConfigError, TafError, UnknownThreadError
from taf.graph.blocking import CompiledGraph
from taf.graph.result import StateSnapshot
from taf.ids import new_id
from taf.state.messages import Message

ReadPrompt: TypeAlias = Callable[[Sequence[PromptBlock]], Any]
"""Turns the content blocks of a prompt into the input of the graph."""

PAGE = 25
TITLE_LENGTH = 80


class GraphAgent:
    """Serves a graph to one client. A session is a thread: its id is the thread's, and it lives in the store.

    ``read_prompt``: what a prompt is as input (None: a message). ``deadline``: how many seconds a client has to answer
    a question. ``name``: what clients show (None: that of the graph).
    """

    def __init__(
        self,
        app: CompiledGraph,
        *,
        read_prompt: ReadPrompt | None = None,
        deadline: float = DEADLINE_SECONDS,
        name: str | None = None,
    ) -> None:
        if not deadline > 0:
            raise ConfigError(f"deadline has to be above 0 seconds, not {deadline!r}.")
        self._app, self._read_prompt, self._deadline = app, read_prompt or message_of, deadline
        self._name = name or app.name or "taf"
        self._sessions: dict[str, Session] = {}
        self._line: Line | None = None

    def on_connect(self, conn: Client) -> None:
        """Take the connection to the client."""
        self._line = Line(conn)

    async def initialize(
        self,
        protocol_version: int,
        client_capabilities: ClientCapabilities | None = None,
        client_info: Implementation | None = None,
        **_: Any,
    ) -> InitializeResponse:
        """Say what this agent can do, and note what the client can."""
        line = self._connected
        line.capabilities, line.name = client_capabilities, None if client_info is None else client_info.name
        return InitializeResponse(
            protocol_version=PROTOCOL_VERSION,
            agent_capabilities=AgentCapabilities(
                load_session=True,
                prompt_capabilities=PromptCapabilities(image=True, audio=True, embedded_context=True),
                session_capabilities=SessionCapabilities(list=SessionListCapabilities()),
            ),
            agent_info=Implementation(name=self._name, title=self._name, version=version("taf-graph")),
        )

    async def new_session(self, cwd: str, **_: Any) -> NewSessionResponse:
        """Begin a thread, on record at once, so that another process can load it."""
        session = Session(new_id(), cwd)
        self._sessions[session.id] = session
        try:
            await self._app.aupdate_state({"thread_id": session.id}, {})
        except TafError as error:
            raise as_seen(error) from error
        return NewSessionResponse(session_id=session.id)

    async def load_session(self, cwd: str, session_id: str, **_: Any) -> LoadSessionResponse:
        """Take a thread up again: its past is told as updates, and the questions that are open."""
        snapshot = await self._snapshot(session_id)
        session = self._sessions.setdefault(session_id, Session(session_id, cwd))
        session.cwd = cwd
        desk = self._desk(session_id)
        narrator, is_first = Narrator(()), True
        async for event in self._app.aevents({"thread_id": session_id}):
            if is_first and event.sequence > 1:  # the older records were pruned: what was said is in the state
                await desk.tell(_told_by_state(narrator, snapshot), _never)
                break
            is_first = False
            await desk.tell(narrator.past(event), _never)
        await desk.tell(map(shown_as_call, snapshot.interrupts), _never)
        await desk.settle()
        return LoadSessionResponse()

    async def list_sessions(self, cwd: str | None = None, cursor: str | None = None, **_: Any) -> ListSessionsResponse:
        """List the graph's threads, those first that were written to last. A thread belongs to no folder."""
        try:
            rows = await self._app.athreads(graph=self._app.name, newest_first=True, after=cursor or "", limit=PAGE)
        except ConfigError as error:  # the cursor is none
            raise RequestError.invalid_params({"details": str(error)}) from error
        sessions = await asyncio.gather(*(self._info(row, cwd or os.getcwd()) for row in rows))
        return ListSessionsResponse(sessions=[*sessions], next_cursor=rows[-1].cursor if len(rows) == PAGE else None)

    async def prompt(self, session_id: str, prompt: Sequence[PromptBlock], **_: Any) -> PromptResponse:
        """Run the graph on a prompt, and answer when it rests. A prompt under way is superseded."""
        session = self._sessions.get(session_id)
        if session is None:
            raise RequestError.resource_not_found(session_id)
        try:
            given = self._read_prompt(prompt)
        except Exception as error:
            raise RequestError.invalid_params({"details": f"{type(error).__name__}: {error}"}) from error
        turn = session.begin(self._app, self._desk(session_id), given, text_of(prompt), self._connected.name)
        return PromptResponse(stop_reason=await asyncio.shield(turn.answered))

    async def cancel(self, session_id: str, **_: Any) -> None:
        """Cancel what is under way. The open prompt is answered at once; nodes unwind afterwards.

        A client that goes by order, and prompts again right behind its cancel, has both answers at the end.
        """
        session = self._sessions.get(session_id)
        if session is not None:
            session.cancel()

    # -- threads -----------------------------------------------------------------------------------

    @property
    def _connected(self) -> Line:
        assert self._line is not None  # it is there before the first call
        return self._line

    def _desk(self, session_id: str) -> Desk:
        return Desk(self._connected, session_id, deadline=self._deadline)

    async def _snapshot(self, session_id: str) -> StateSnapshot:
        try:
            return await self._app.aget_state({"thread_id": session_id})
        except (UnknownThreadError, ConfigError):
            raise RequestError.resource_not_found(session_id) from None
        except TafError as error:
            raise as_seen(error) from error

    async def _info(self, row: ThreadRow, cwd: str) -> SessionInfo:
        try:
            said: Sequence[Message] = getattr((await self._snapshot(row.thread_id)).state, "messages", None) or ()
        except RequestError:  # it cannot be read, or was deleted meanwhile
            said = ()
        first = next((message.text() for message in said if message.role == "user"), "")
        known = self._sessions.get(row.thread_id)
        return SessionInfo(
            session_id=row.thread_id,
            cwd=cwd if known is None else known.cwd,
            title=" ".join(first.split())[:TITLE_LENGTH] or None,
            updated_at=datetime.fromtimestamp(row.updated, UTC).isoformat(),
        )


def _told_by_state(narrator: Narrator, snapshot: StateSnapshot) -> list[Update]:
    return [*narrator.said(getattr(snapshot.state, "messages", None) or ())]


def _never() -> bool:
    return False
