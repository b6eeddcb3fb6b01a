"""Four scenes with a travel agent that is interrupted: ``python -m examples.travel``, or ``make demo-travel``."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence

from examples.travel.graph import build
from taf.interruption import AgentManager, TaskContext

Scene = Callable[["Stage"], Awaitable[None]]


class Stage:
    """One user in front of the agent, and what is to be seen of it."""

    def __init__(self, manager: AgentManager, user_id: str) -> None:
        self.manager, self.user_id = manager, user_id
        self._shown, self._news, self._found = "", asyncio.Event(), ("", 0)

    def show(self, task: TaskContext) -> None:
        """Print how a task stands, when that is something new."""
        counts = {name: len(found) for shown in task.partial_results.values() for name, found in shown.items()}
        kinds = ["flights", "hotels"] if task.intent == "both" else [f"{task.intent}s"]
        self._found = task.query, min(counts.get(kind, 0) for kind in kinds)
        self._news.set()
        found = ", ".join(
            f"{count} {name}" for name, count in counts.items() if name in ("flights", "hotels") and count
        )
        line = f"   {task.query!r}: {task.status}" + (f", {found}" if found else "")
        if line != self._shown:
            self._shown = line
            print(line)

    async def say(self, text: str, offers: int = 0) -> str:
        """Send a message, and wait until so many offers of each kind are found."""
        print(f"👤 {text}")
        task_id = await self.manager.handle_user_message(self.user_id, text)
        while offers and not (self._found[0] == text and self._found[1] >= offers):
            self._news.clear()
            await self._news.wait()
        return task_id

    async def until_done(self, task_id: str) -> None:
        """Wait for the answer."""
        result = await self.manager.result(self.user_id, task_id)
        print(f"🤖 {result.messages[-1].text() if result.status == 'completed' else result.status}")


async def basic(stage: Stage) -> None:
    """1. A message in the middle of a flight search"""
    await stage.say("Find flights to Tokyo", offers=2)
    await stage.until_done(await stage.say("Find hotels in Paris"))


async def rapid(stage: Stage) -> None:
    """2. A user who cannot decide"""
    for place in ("Rome", "Oslo", "Lima"):
        await stage.say(f"Find flights to {place}", offers=1)
    await stage.until_done(await stage.say("Find flights to Cairo"))


async def transfer(stage: Stage) -> None:
    """3. The second message builds on the first one"""
    await stage.say("Find flights to Tokyo", offers=2)
    await stage.until_done(await stage.say("And a hotel, please"))


async def several(stage: Stage) -> None:
    """4. Two agents at work are interrupted at once"""
    await stage.say("Find flights and hotels in Tokyo", offers=2)
    await stage.until_done(await stage.say("Only flights to Tokyo, please"))


SCENES: Sequence[Scene] = (basic, rapid, transfer, several)


async def play(scenes: Sequence[Scene], pace: float) -> None:
    """Play some scenes, each with a user of its own."""
    async with build(pace=pace) as app, AgentManager(app) as manager:
        for scene in scenes:
            print(f"\n{scene.__doc__}")
            stage = Stage(manager, scene.__name__)
            await manager.register_status_callback(stage.user_id, stage.show)
            await scene(stage)
            await manager.unregister_status_callback(stage.user_id, stage.show)


def main(arguments: list[str] | None = None) -> None:
    """Play the scenes that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", type=int, choices=range(1, len(SCENES) + 1), help="one alone")
    parser.add_argument("--pace", type=float, default=0.3, help="how many seconds an offer takes")
    options = parser.parse_args(arguments)
    asyncio.run(play(SCENES if options.scene is None else [SCENES[options.scene - 1]], options.pace))


if __name__ == "__main__":
    main()
