"""The real textual-chat widget, without a screen. Run by its own Python: ``widget.py SCENARIO AGENT-COMMAND``.

Prints one JSON object: what was seen. It knows nothing of taf.
"""

from __future__ import annotations

import asyncio
import json
import sys
import types
from collections.abc import Callable
from typing import Any

from textual.app import App, ComposeResult
from textual.widgets import Button
from textual_chat import Chat, llm_adapter_acp
from textual_chat.agent_manager import get_agent_manager
from textual_chat.widgets.chat_input import ChatInput
from textual_chat.widgets.message import MessageWidget
from textual_chat.widgets.permission_prompt import PermissionPrompt
from textual_chat.widgets.session_prompt import SessionPromptInput

SECONDS = 60


def queueing() -> types.ModuleType:
    """The same adapter under another name: the widget goes by the name, and queues."""
    module = types.ModuleType("an_adapter_without_cancel")
    module.get_async_model = llm_adapter_acp.get_async_model
    return module


class Screen(App[None]):
    """An app that holds nothing but the widget, and notes what the widget says of itself."""

    def __init__(self, agent: str, adapter: Any = "acp") -> None:
        super().__init__()
        self.chat = Chat(agent, adapter=adapter, introspect=False)
        self.answers: list[str] = []
        self.failures: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.chat

    def on_chat_responded(self, event: Chat.Responded) -> None:
        self.answers.append(event.content)

    def on_chat_processing_failed(self, event: Chat.ProcessingFailed) -> None:
        self.failures.append(event.error)

    def say(self, text: str) -> None:
        self.query_one(ChatInput).post_message(ChatInput.Submitted(text))

    def streamed(self) -> str:
        """The text in the last message of the agent."""
        shown = [widget for widget in self.query(MessageWidget) if widget.role == "assistant"]
        return str(shown[-1]._current_markdown.source) if shown and shown[-1]._current_markdown else ""

    def prompts(self) -> list[PermissionPrompt]:
        return list(self.query(PermissionPrompt))

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                await asyncio.sleep(0.01)

    async def press(self, pilot: Any, label: str) -> None:
        """Answer the permission prompt that is shown by its button."""
        await self.until(lambda: self.prompts() and self.prompts()[0].query(Button))
        await pilot.pause()
        button = next(one for one in self.prompts()[0].query(Button) if label in str(one.label))
        button.press()

    async def ask(self, text: str) -> str:
        """Say something and wait for the whole answer."""
        before = len(self.answers)
        self.say(text)
        await self.until(lambda: len(self.answers) > before or self.failures)
        return self.answers[-1]


async def streaming(app: Screen, pilot: Any) -> dict[str, Any]:
    seen: list[str] = []
    app.say("word 30")
    await app.until(app.streamed)
    seen.append(app.streamed())
    await app.until(lambda: app.answers)
    return {"first": seen[0], "answer": app.answers[0], "agent": app.chat._get_assistant_title()}


async def approving(app: Screen, pilot: Any) -> dict[str, Any]:
    app.say("clean up")
    await app.press(pilot, "Approve")
    await app.until(lambda: app.answers)
    return {"answer": app.answers[0]}


async def rejecting(app: Screen, pilot: Any) -> dict[str, Any]:
    app.say("clean up")
    await app.until(lambda: app.prompts() and app.prompts()[0].query(Button))
    labels = [option["name"] for option in app.prompts()[0].options]
    await app.press(pilot, "Reject")
    await app.until(lambda: app.answers)
    return {"answer": app.answers[0], "labels": labels}


async def interrupting(app: Screen, pilot: Any, times: int = 20) -> dict[str, Any]:
    answers, said = [], []
    for number in range(times):
        app.say("old 500")
        await app.until(lambda: "old2" in app.streamed())
        answers.append(await app.ask(f"new{number}x 3"))
        said += [widget._initial_content for widget in app.query(MessageWidget) if widget.role == "user"]
        await app.query_one("#chat-messages").remove_children()  # a full screen makes the widget slow
    return {"answers": answers, "said": said}


async def interrupting_thrice(app: Screen, pilot: Any) -> dict[str, Any]:
    return await interrupting(app, pilot, 3)


async def leaving(app: Screen, pilot: Any) -> dict[str, Any]:
    """Ctrl+C, which tells the agent nothing, and then another message."""
    answers = []
    for number in range(5):
        app.say("old 500")
        await app.until(lambda: "old2" in app.streamed())
        app.chat.action_cancel()
        await app.until(lambda: not app.chat._is_responding)
        answers.append(await app.ask(f"new{number}x 5"))
    return {"answers": answers}


async def unanswered(app: Screen, pilot: Any) -> dict[str, Any]:
    """A message while a permission is asked for: the widget cancels and never answers it."""
    app.say("clean up")
    await app.until(app.prompts)
    asked = len(app.prompts())
    app.say("only look")
    await app.until(lambda: app.chat._permission_queue)
    app.prompts()[0].query(Button).first().press()  # the old one, which nobody waits for any more
    await app.until(lambda: app.prompts() and not app.chat._permission_queue)
    await app.press(pilot, "Reject")
    await app.until(lambda: app.answers)
    return {"asked": asked, "answer": app.answers[-1]}


async def beginning(app: Screen, pilot: Any) -> dict[str, Any]:
    answer = await app.ask("first 2")
    return {"answer": answer, "session": app.chat._conversation._session_id}


async def coming_back(app: Screen, pilot: Any) -> dict[str, Any]:
    await app.until(lambda: app.query(SessionPromptInput))
    app.query_one(SessionPromptInput).post_message(SessionPromptInput.SessionChoice(True))
    await app.until(lambda: app.query(ChatInput))
    answer = await app.ask("second 2")
    return {"answer": answer, "session": app.chat._conversation._session_id}


async def waiting(app: Screen, pilot: Any) -> dict[str, Any]:
    """The queue of the widget: what is said meanwhile is shown as pending, and has its turn."""
    seen: dict[str, Any] = {"pending": [], "status": []}
    for number, name in enumerate(("one", "two")):
        app.say(f"{name} 30")
        await app.until(lambda name=name: f"{name}2" in app.streamed())
        app.say(f"behind-{name} 3")
        await app.until(lambda: app.query(".pending"))
        seen["pending"] += [
            widget._initial_content for widget in app.query(MessageWidget) if widget.has_class("pending")
        ]
        seen["status"].append(str(app.query_one("#chat-status").render()))
        await app.until(lambda number=number: len(app.answers) == 2 * number + 2)
    return {**seen, "answers": app.answers, "left": len(app.query(".pending"))}


async def main() -> None:
    scenario, agent = sys.argv[1:]
    app = Screen(agent, queueing() if scenario == "waiting" else "acp")
    async with app.run_test(size=(120, 50)) as pilot:
        try:
            seen = await globals()[scenario](app, pilot)
        except TimeoutError:
            seen = {"timeout": scenario, "answers": app.answers, "streamed": app.streamed()}
        seen["failures"] = app.failures
        await get_agent_manager().close_all()
    print(json.dumps(seen))


asyncio.run(main())
