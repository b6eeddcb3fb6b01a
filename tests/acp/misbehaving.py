"""An agent made with the SDK alone, for the tests: ``misbehaving.py HOW FOLDER``. It writes its pids to the folder."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from acp import Agent, RequestError, run_agent, text_block, update_agent_message
from acp.schema import (
    InitializeResponse,
    NewSessionResponse,
    PermissionOption,
    PromptResponse,
    ToolCallUpdate,
)

HOW, FOLDER = sys.argv[1], Path(sys.argv[2])


class Misbehaving(Agent):
    conn: Any

    def on_connect(self, conn: Any) -> None:
        self.conn = conn

    async def initialize(self, protocol_version: int, **_: Any) -> InitializeResponse:
        return InitializeResponse(protocol_version=protocol_version)

    async def new_session(self, cwd: str, **_: Any) -> NewSessionResponse:
        return NewSessionResponse(session_id="s")

    async def prompt(self, session_id: str, prompt: Any, **_: Any) -> PromptResponse:
        with (FOLDER / "prompts").open("a") as prompts:
            prompts.write("".join(block.text for block in prompt) + "--\n")
        if HOW == "exits":
            os._exit(3)
        if HOW == "fails":
            raise RequestError.internal_error({"details": "out of tokens"})
        if HOW == "gives-up":
            return PromptResponse(stop_reason="cancelled")
        if HOW == "ignores-cancel":
            await self.ignore(session_id)
        questions = ("first", "second") if HOW == "asks-twice" else ("first",)
        answers = [f"{question}: {await self.ask(session_id, f'{question}?')}" for question in questions]
        await self.say(session_id, ", ".join(answers))
        return PromptResponse(stop_reason="end_turn")

    async def cancel(self, session_id: str, **_: Any) -> None:
        pass

    async def ignore(self, session_id: str) -> None:
        """Work on with a child process, whatever comes."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = await asyncio.create_subprocess_exec("sleep", "600")
        (FOLDER / "pids").write_text(f"{os.getpid()} {child.pid}")
        while True:
            await self.say(session_id, "still ")
            await asyncio.sleep(0.02)

    async def ask(self, session_id: str, question: str) -> str:
        (FOLDER / "pids").write_text(f"{os.getpid()}")
        options = [
            PermissionOption(option_id="n", name="No", kind="reject_once"),
            PermissionOption(option_id="y", name="Yes", kind="allow_once"),
        ]
        call = ToolCallUpdate(tool_call_id=question, title=question)
        answer = await self.conn.request_permission(session_id=session_id, tool_call=call, options=options)
        return getattr(answer.outcome, "option_id", "none")

    async def say(self, session_id: str, text: str) -> None:
        await self.conn.session_update(session_id=session_id, update=update_agent_message(text_block(text)))


async def main() -> None:
    await run_agent(Misbehaving())
    if HOW == "ignores-cancel":
        await asyncio.sleep(600)


asyncio.run(main())
