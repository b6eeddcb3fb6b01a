"""taf. Its ``none`` is taf as it comes: the steps are kept in memory, encoded as in any store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel

from taf import END, START, AgentState, CompiledGraph, InMemoryCheckpointer, Message, Send, StateGraph, append

from ..protocol import LABEL, Run, System


class Count(BaseModel):
    counter: int = 0
    label: str = ""


class Chat(AgentState):
    turns: int = 0
    answer: str = ""


class Fan(BaseModel):
    width: int = 0
    i: int = 0
    total: int = 0
    results: Annotated[list[int], append] = []


async def bump(state: Count) -> dict[str, Any]:
    return {"counter": state.counter + 1}


async def bump_yielding(state: Count) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"counter": state.counter + 1}


def chain_of(n: int, body: Any) -> StateGraph:
    graph = StateGraph(Count)
    graph.add_sequence((f"n{i}", body) for i in range(n))
    graph.add_edge(START, "n0")
    return graph


def config(thread: str, limit: int = 100) -> dict[str, Any]:
    return {"thread_id": thread, "recursion_limit": limit}


class Taf(System):
    name = "taf"
    distribution = "taf-graph"
    source = str(Path(__file__).resolve().parents[3])
    import_line = "from taf import StateGraph"
    stores = ("none", "memory", "sqlite", "postgres")
    synchronous = "FULL"

    async def open(self) -> None:
        self.saver: Any = None
        self.apps: list[CompiledGraph] = []
        if self.store.kind == "memory":
            self.saver = InMemoryCheckpointer()
        elif self.store.kind == "sqlite":
            from taf import SqliteCheckpointer

            self.saver = SqliteCheckpointer(self.store.sqlite_path, synchronous=self.synchronous)
        elif self.store.kind == "postgres":
            from taf import PgCheckpointer

            self.saver = PgCheckpointer(self.store.pg_url)
            await self.saver.setup()

    async def close(self) -> None:
        for app in self.apps:
            await app.aclose()
        if self.saver is not None:
            await self.saver.aclose()

    def compile(self, graph: StateGraph, **options: Any) -> CompiledGraph:
        app = graph.compile(checkpointer=self.saver, **options)
        self.apps.append(app)
        return app

    def runner(self, graph: StateGraph, n: int) -> Run:
        app = self.compile(graph)

        async def run(thread: str) -> int:
            result = await app.ainvoke({"counter": 0, "label": LABEL}, config(thread, n + 10))
            return result.state.counter

        return run

    async def steps(self, shape: str, n: int) -> Run:
        if shape == "chain":
            return self.runner(chain_of(n, bump), n)
        graph = StateGraph(Count)
        graph.add_node("tick", bump)
        graph.add_edge(START, "tick")
        graph.add_conditional_edges("tick", lambda s: "tick" if s.counter < n else END, ["tick", END])
        return self.runner(graph, n)

    async def yielding(self, n: int) -> Run:
        return self.runner(chain_of(n, bump_yielding), n)

    async def pause_resume(self) -> Any:
        app = self.compile(chain_of(3, bump), interrupt_before=["n1"])

        class Driver:
            async def pause(self, thread: str) -> None:
                await app.ainvoke({"counter": 0, "label": LABEL}, config(thread))

            async def resume(self, thread: str) -> int:
                return (await app.ainvoke(None, config(thread))).state.counter

        return Driver()

    async def chat(self) -> Any:
        async def hear(state: Chat) -> dict[str, Any]:
            return {"turns": state.turns + 1}

        async def reply(state: Chat) -> Message:
            return Message.text_message(state.answer, role="assistant")

        app = self.compile(StateGraph(Chat).add_node("hear", hear).add_node("reply", reply))

        class Driver:
            async def turn(self, thread: str, user: str, assistant: str) -> None:
                said = {"messages": [Message.text_message(user)], "answer": assistant}
                await app.ainvoke(said, config(thread))

            async def length(self, thread: str) -> int:
                return len((await app.aget_state(config(thread))).state.messages)

        return Driver()

    async def fan_out(self, n: int) -> Run:
        async def start(state: Fan) -> dict[str, Any]:
            return {"total": 0}

        async def branch(state: Fan) -> dict[str, Any]:
            return {"results": [state.i]}

        async def join(state: Fan) -> dict[str, Any]:
            return {"total": sum(state.results)}

        graph = StateGraph(Fan)
        graph.add_node("start", start)
        graph.add_node("branch", branch)
        graph.add_node("join", join)
        graph.add_edge(START, "start")
        graph.add_conditional_edges("start", lambda s: [Send("branch", {"i": i}) for i in range(s.width)])
        graph.add_edge("branch", "join")
        graph.add_edge("join", END)
        app = self.compile(graph)

        async def run(thread: str) -> int:
            return (await app.ainvoke({"width": n}, config(thread))).state.total

        return run

    async def sleeper(self, seconds: float, started: Callable[[], None]) -> Any:
        async def nap(state: Count) -> dict[str, Any]:
            started()
            await asyncio.sleep(seconds)
            return {"counter": state.counter + 1}

        app = self.compile(StateGraph(Count).add_node("first", bump).add_node("nap", nap))

        class Driver:
            async def run(self, thread: str) -> None:
                await app.ainvoke({"counter": 0, "label": LABEL}, config(thread))

            async def stop(self, thread: str) -> None:
                await app.astop(config(thread))

            def stop_from_thread(self, thread: str) -> None:
                app.stop(config(thread))

            async def stored(self, thread: str) -> str:
                seen = await app.aget_state(config(thread))
                return f"status={seen.status.value}, next={seen.next}, counter={seen.state.counter}"

        return Driver()


class TafNormal(Taf):
    """SQLite with synchronous=NORMAL."""

    name = "taf-normal"
    stores = ("sqlite",)
    synchronous = "NORMAL"


SYSTEMS = [Taf, TafNormal]
