"""An agent in another process as a node of a graph."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from acp.schema import PermissionOption

from taf.acp.content import PromptBlock, text_block
from taf.acp.held import Held, Key, key_of
from taf.acp.remote import Asked, Ended, RemoteTurn, Said
from taf.acp.sessions import SessionRecord
from taf.errors import AgentError, ConfigError, InterruptRejectedError
from taf.graph.context import Context
from taf.state.messages import Message

MakePrompt: TypeAlias = Callable[[Any], str | Sequence[PromptBlock]]
"""Turns the state into what the agent is asked."""

TAKEN_UP = (
    "You were interrupted while you asked for permission. This was decided:\n{decided}\n\nGo on with the task:\n\n"
)


class Decided(NamedTuple):
    """A permission that was asked for in this visit, and what was decided: the name of an option, or yes or no."""

    title: str
    choice: str | bool


class AgentNode:
    """Lets an agent answer: ``graph.add_node("coder", AgentNode("some-agent --acp"))``.

    ``command``: a line as for a shell, or its words. ``prompt``: makes of the state what the agent is asked (None: the
    last message of the user). ``cwd``: the folder that it works in. ``env``: more environment for it. ``grace``: how
    many seconds it has to leave when the node is stopped, and then again its process. ``hold``: how many seconds its
    process is kept while a permission waits for a human.

    The node emits what the agent says, and returns it as a message. A permission that it asks for pauses the run; the
    agent waits meanwhile, and where it is gone by then its session is loaded anew and it is told what was decided. The
    session belongs to the thread and the node.
    """

    def __init__(
        self,
        command: str | Sequence[str],
        *,
        prompt: MakePrompt | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        grace: float = 2.0,
        hold: float = 600.0,
    ) -> None:
        self._command = tuple(shlex.split(command) if isinstance(command, str) else command)
        if not self._command:
            raise ConfigError("AgentNode needs the command of an agent.")
        if min(grace, hold) < 0:
            raise ConfigError("grace and hold of an AgentNode cannot be negative.")
        self._prompt, self._cwd, self._env = prompt or last_message, os.path.abspath(cwd or "."), env
        self._grace, self._held = grace, Held(hold, grace)
        self._leaving: dict[Key, asyncio.Task[None]] = {}

    async def __call__(self, state: Any, ctx: Context) -> Message:
        """Run the agent on the state, or go on where it waits. Raise ``AgentError``."""
        waiting = self._held.take(ctx)
        try:
            decided = recall(ctx)
        except BaseException:
            if waiting is not None:
                await self._leave(ctx, waiting.turn)
            raise
        if waiting is not None and len(decided) != waiting.turn.asked:  # it asked that in another visit
            await self._leave(ctx, waiting.turn)
            waiting = None
        turn = await self._open(ctx) if waiting is None else waiting.turn
        try:
            if waiting is None:
                turn.prompt(self._blocks(state, decided))
                turn.asked = len(decided)
            else:
                waiting.asked.answer.set_result(option_for(waiting.asked.options, decided[-1].choice))
            await self._follow(turn, decided if waiting is None else (), ctx)
        finally:
            if not self._held.has(turn):
                await self._leave(ctx, turn)
        return Message.text_message(turn.text, role="assistant")

    def _blocks(self, state: Any, decided: Sequence[Decided]) -> list[PromptBlock]:
        made = self._prompt(state)
        blocks: list[PromptBlock] = [text_block(made)] if isinstance(made, str) else [*made]
        if not decided:
            return blocks
        words = "\n".join(f"- {title}: {choice_in_words(choice)}" for title, choice in decided)
        return [text_block(TAKEN_UP.format(decided=words)), *blocks]

    # -- the agent ---------------------------------------------------------------------------------

    async def _open(self, ctx: Context) -> RemoteTurn:
        """Start the agent and take up its session, or begin one."""
        leaving = self._leaving.get(key_of(ctx))
        if leaving is not None:  # the session is still in use by a turn that was stopped
            await asyncio.wait({leaving})
        turn = await RemoteTurn.open(self._command, cwd=self._cwd, env=self._env)
        try:
            record = SessionRecord(ctx)
            known = await record.read()
            if not (known and await turn.load_session(self._cwd, known)):
                await turn.new_session(self._cwd)
                await record.write(turn.session_id)
        except BaseException:
            turn.process.kill()
            raise
        return turn

    async def _leave(self, ctx: Context, turn: RemoteTurn) -> None:
        """Cancel what the agent works on, if it still does, and end its process, though this is cancelled meanwhile."""
        key = key_of(ctx)
        leaving = self._leaving[key] = turn.loop.create_task(turn.cancel(self._grace))
        leaving.add_done_callback(lambda task: self._leaving.pop(key) if self._leaving.get(key) is task else None)
        await asyncio.shield(leaving)

    async def _follow(self, turn: RemoteTurn, missed: Sequence[Decided], ctx: Context) -> None:
        """Tell what the agent tells, until its turn is over; or leave by a pause when a human has to decide."""
        missed = list(missed)
        while True:
            news = await turn.news()
            if isinstance(news, Ended):
                if news.stop_reason == "cancelled":
                    raise AgentError(self._command, "it ended its turn as cancelled, though nobody had cancelled it")
                return
            if isinstance(news, Said):
                ctx.emit(news.text)
            elif isinstance(news, Asked):
                known = next((one for one in missed if one.title == news.title), None)
                if known is not None:  # it asks anew what was decided while it was away
                    missed.remove(known)
                    news.answer.set_result(option_for(news.options, known.choice))
                else:
                    turn.asked += 1
                    self._held.keep(ctx, turn, news)
                    ask(ctx, news)
            else:
                ctx.emit(news.update, key=news.key)


def last_message(state: Any) -> str:
    """Return the last message of the user. Raise ``ConfigError`` for a state that has none."""
    said = [message for message in getattr(state, "messages", None) or () if message.role == "user"]
    if not said:
        raise ConfigError("There is no message of a user for the agent: pass AgentNode(prompt=...).")
    last: Message = said[-1]
    return last.text()


# -- permissions ---------------------------------------------------------------------------------------


def ask(ctx: Context, asked: Asked) -> None:
    """Ask a human for a permission; this leaves the node. The answer is the name of an option, or yes or no."""
    names = tuple(dict.fromkeys(option.name for option in asked.options))
    options = [{"name": option.name, "kind": option.kind} for option in asked.options]
    answer: Any = bool if not names else Literal[names] | bool
    ctx.interrupt(asked.title, answer=answer, data={"tool_call": asked.tool_call, "options": options})


def recall(ctx: Context) -> list[Decided]:
    """Return what was decided in this visit, in order. Raise what a rejection that leads elsewhere raises."""
    found: list[Decided] = []
    for _, entry in sorted(ctx.memo.items()):
        try:
            found.append(Decided(entry.name, ctx.interrupt(entry.name)))
        except InterruptRejectedError as rejected:
            if rejected.goto is not None:
                raise
            found.append(Decided(entry.name, False))
    return found


def option_for(options: Sequence[PermissionOption], choice: str | bool) -> str | None:
    """Return the id of the option that was chosen, the first that allows or rejects for a yes or no; None: of none."""
    wanted = [option for option in options if option.name == choice]
    if isinstance(choice, bool):
        kind = "allow" if choice else "reject"
        wanted = [option for option in options if option.kind.startswith(kind)]
    return wanted[0].option_id if wanted else None


def choice_in_words(choice: str | bool) -> str:
    """Return a decision as it is told to the agent."""
    return choice if isinstance(choice, str) else "allowed" if choice else "rejected"
