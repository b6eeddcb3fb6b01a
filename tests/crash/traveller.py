"""One of several processes that share a store: it reads calls from its standard input, and answers each when done.

A call is ``[number, name, arguments]``, an answer ``[number, value]`` or ``[number, null, error, text]``.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from taf import AgentState, CompiledGraph, StateGraph, emit, interrupt
from taf.errors import TafError
from taf.state import append
from tests.places import open_store


class Walk(AgentState):
    trail: Annotated[list[str], append] = []


def build(folder: Path, name: str) -> StateGraph:
    """Return a graph of ``before``, ``wait`` (for a file named like the process) and ``ask`` (if told to)."""

    def note(line: str) -> None:
        with open(folder / "ledger", "a") as file:
            file.write(f"{name} {line}\n")

    async def before(state: Walk) -> dict[str, Any]:
        note("before")
        return {"trail": [f"before {name}"]}

    async def wait(state: Walk) -> dict[str, Any]:
        emit(f"shown by {name}")
        note("wait")
        while not (folder / name).exists():
            await asyncio.sleep(0.002)
        return {"trail": [f"wait {name}"]}

    async def ask(state: Walk) -> dict[str, Any]:
        if "ask" not in state.trail:
            return {}
        return {"trail": [f"answer {await interrupt('sure?', answer=int)} {name}"]}

    graph = StateGraph(Walk)
    for step, fn in {"before": before, "wait": wait, "ask": ask}.items():
        graph.add_node(step, fn)
    return graph


class Traveller:
    """What can be called."""

    def __init__(self, folder: Path, name: str, place: str, lease_seconds: float) -> None:
        self.store = open_store(place)
        self.name = name
        self.app: CompiledGraph = build(folder, name).compile(self.store, lease_seconds=lease_seconds)
        self.told: list[str] = []

    async def invoke(self, given: Any, thread: str = "t") -> Any:
        result = await self.app.ainvoke(given, {"thread_id": thread})
        return [result.status, result.state.trail]

    async def stream(self, given: Any, thread: str = "t") -> Any:
        async for event in self.app.astream(given, {"thread_id": thread}):
            self.told.append(event.event_type)
        return self.told

    async def shown(self) -> Any:
        return self.told

    async def resume(self, answer: Any, thread: str = "t") -> Any:
        result = await self.app.aresume({"thread_id": thread}, answer, by=self.name)
        return [result.status, result.state.trail]

    async def stop(self, thread: str = "t") -> Any:
        return await self.app.astop({"thread_id": thread}, f"by {self.name}")

    async def recover(self) -> Any:
        done = await self.app.arecover()
        return [sorted(done.results), sorted(done.passed_on), sorted(done.failed)]

    async def supervise(self) -> Any:
        """Look after lost runs for as long as this process lives."""
        async with self.app.supervise(interval=0.02):
            await asyncio.Event().wait()

    async def state(self, thread: str = "t") -> Any:
        found = await self.app.aget_state({"thread_id": thread})
        return [found.status, found.state.trail]

    async def wander(self, seed: int, calls: int) -> Any:
        """Call this and that on ten threads, several at a time; only errors of taf may come of it."""
        chance, errors = random.Random(seed), dict[str, int]()

        async def one() -> None:
            thread = {"thread_id": f"w{chance.randrange(10)}"}
            call = chance.choice([self.submit, self.submit, self.submit, self.app.astop, self.answer])
            try:
                await call(thread)
            except TafError as error:
                errors[type(error).__name__] = errors.get(type(error).__name__, 0) + 1

        for _ in range(calls):
            await asyncio.gather(one(), one())
        for number in range(10):
            thread = {"thread_id": f"w{number}"}
            with suppress(TafError):
                await self.app.ajoin(thread)
        return errors

    async def submit(self, config: dict[str, Any]) -> None:
        await self.app.asubmit({"trail": ["ask"]} if random.random() < 0.5 else {"trail": ["go"]}, config)

    async def answer(self, config: dict[str, Any]) -> None:
        await self.app.aresume(config, 1, by=self.name)


async def main() -> None:
    traveller = Traveller(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]))
    async with asyncio.TaskGroup() as calls:
        while line := await asyncio.to_thread(sys.stdin.readline):
            calls.create_task(serve(traveller, *json.loads(line)))
    await traveller.app.aclose()
    await traveller.store.aclose()


async def serve(traveller: Traveller, number: int, name: str, arguments: dict[str, Any]) -> None:
    try:
        answer = [number, await getattr(traveller, name)(**arguments)]
    except TafError as error:
        answer = [number, None, type(error).__name__, str(error)]
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
