"""One turn of an agent in another process, as the client that asked for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from acp import PROTOCOL_VERSION, connect_to_agent
from acp.exceptions import RequestError
from acp.interfaces import Client
from acp.schema import (
    AgentMessageChunk,
    AllowedOutcome,
    DeniedOutcome,
    Implementation,
    PermissionOption,
    RequestPermissionResponse,
    TextContentBlock,
    ToolCallUpdate,
)

from taf.acp.content import PromptBlock
from taf.acp.process import AgentProcess
from taf.errors import AgentError


class Said(NamedTuple):
    """A piece of the agent's answer."""

    text: str


class Shown(NamedTuple):
    """Anything else that it told: a plan, a tool call and how far it is."""

    key: str
    update: dict[str, Any]


class Asked(NamedTuple):
    """It wants a permission, and waits for ``answer``: the id of an option, or None for none of them."""

    title: str
    tool_call: dict[str, Any]
    options: Sequence[PermissionOption]
    answer: asyncio.Future[str | None]


class Ended(NamedTuple):
    """Its turn is over."""

    stop_reason: str


News: TypeAlias = Said | Shown | Asked | Ended


class RemoteTurn:
    """An agent's process, its session, and what it tells of the prompt that it works on.

    It belongs to the event loop that it was opened in.
    """

    def __init__(self, process: AgentProcess) -> None:
        self.process, self.loop = process, asyncio.get_running_loop()
        self.text = ""
        """What it has said so far."""
        self.asked = 0
        """How many permissions it has asked for."""
        self.session_id = ""
        self.can_load = False
        self._news: asyncio.Queue[News | Exception] = asyncio.Queue()
        self._prompting: asyncio.Task[None] | None = None
        self._is_listening = False
        self._open: list[asyncio.Future[str | None]] = []
        self._conn = connect_to_agent(cast("Client", self), process.asks, process.answers)

    @classmethod
    async def open(cls, command: Sequence[str], *, cwd: str, env: Mapping[str, str] | None) -> RemoteTurn:
        """Start an agent and shake hands. Raise ``AgentError``."""
        turn = cls(await AgentProcess.start(command, cwd=cwd, env=env))
        try:
            with turn._refusals():
                known = await turn._conn.initialize(
                    protocol_version=PROTOCOL_VERSION, client_info=Implementation(name="taf", version="1")
                )
        except BaseException:
            turn.process.kill()
            raise
        turn.can_load = bool(known.agent_capabilities and known.agent_capabilities.load_session)
        return turn

    async def new_session(self, cwd: str) -> None:
        """Begin a session. Raise ``AgentError``."""
        with self._refusals():
            self.session_id = (await self._conn.new_session(cwd=cwd, mcp_servers=[])).session_id

    async def load_session(self, cwd: str, session_id: str) -> bool:
        """Take up a session again; its past is not told. Return False when the agent does not know it."""
        if not self.can_load:
            return False
        try:
            await self._conn.load_session(cwd=cwd, session_id=session_id, mcp_servers=[])
        except RequestError:
            return False
        except ConnectionError as error:
            raise self._gone() from error
        self.session_id = session_id
        return True

    @property
    def is_over(self) -> bool:
        """True when its turn is over, or it has gone."""
        return self._prompting is None or self._prompting.done()

    def prompt(self, blocks: Sequence[PromptBlock]) -> None:
        """Let it work on a prompt."""
        self._is_listening = True
        self._prompting = self.loop.create_task(self._prompt(blocks))

    async def _prompt(self, blocks: Sequence[PromptBlock]) -> None:
        try:
            with self._refusals():
                answer = await self._conn.prompt(session_id=self.session_id, prompt=[*blocks])
        except AgentError as error:
            self._news.put_nowait(error)
        else:
            self._news.put_nowait(Ended(answer.stop_reason))

    async def news(self) -> News:
        """Return the next thing that it tells. Raise ``AgentError`` when it failed."""
        found = await self._news.get()
        if isinstance(found, Exception):
            raise found
        return found

    # -- ending ------------------------------------------------------------------------------------

    async def cancel(self, grace: float) -> None:
        """Cancel what it works on, and end its process when it has left that, or after ``grace`` seconds."""
        self._is_listening = False
        for asked in self._open:
            if not asked.done():
                asked.set_result(None)
        left = 0.0  # cancelled meanwhile, it waits no more
        try:
            if self._prompting is not None and not self._prompting.done():
                with contextlib.suppress(ConnectionError):
                    await self._conn.cancel(session_id=self.session_id)
                    await asyncio.wait({self._prompting}, timeout=grace)
            left = grace
        finally:
            await self.close(left)

    async def close(self, grace: float) -> None:
        """End its process, in seconds or by force."""
        try:
            await self.process.end(grace)
            await self._conn.close()
        finally:
            self.process.kill()
            if self._prompting is not None:
                self._prompting.cancel()

    @contextlib.contextmanager
    def _refusals(self) -> Generator[None]:
        """Say which agent it was that failed."""
        try:
            yield
        except RequestError as error:
            why = error.data.get("details", error.data) if isinstance(error.data, dict) else error.data  # pyright: ignore
            raise AgentError(self.process.command, f"{error}{'' if why is None else f': {why}'}") from error
        except ConnectionError as error:
            raise self._gone() from error

    def _gone(self) -> AgentError:
        return AgentError(self.process.command, "it went away")

    # -- what the agent calls ----------------------------------------------------------------------

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        """Take what it tells."""
        if not self._is_listening:
            return
        if isinstance(update, AgentMessageChunk):
            if isinstance(update.content, TextContentBlock):
                self.text += update.content.text
                self._news.put_nowait(Said(update.content.text))
            return
        kind = update.session_update
        key = getattr(update, "tool_call_id", kind)
        plain = update.model_dump(mode="json", by_alias=True, exclude_none=True)
        self._news.put_nowait(Shown(str(key), plain))

    async def request_permission(
        self, session_id: str, tool_call: ToolCallUpdate, options: list[PermissionOption], **_: Any
    ) -> RequestPermissionResponse:
        """Wait until the permission is decided."""
        answer: asyncio.Future[str | None] = self.loop.create_future()
        self._open.append(answer)
        plain = tool_call.model_dump(mode="json", by_alias=True, exclude_none=True)
        self._news.put_nowait(Asked(tool_call.title or "Go on?", plain, options, answer))
        chosen = await answer
        if chosen is None:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=chosen))
