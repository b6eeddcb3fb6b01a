"""LangGraph, in the durability modes it offers."""

from __future__ import annotations

import asyncio
import operator
import os
from contextlib import AsyncExitStack
from typing import Annotated, Any, TypedDict

os.environ.setdefault("LANGSMITH_TRACING", "false")

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import RunControl
from langgraph.types import Send

from ..protocol import LABEL, Run, System, Unsupported


class Count(TypedDict):
    counter: int
    label: str


class Chat(TypedDict):
    turns: int
    answer: str
    messages: Annotated[list, add_messages]


def append(state: list, writes: list) -> list:
    """For the delta channel: gets a batch of writes, each one message or a list."""
    out = list(state)
    for write in writes:
        out.extend(write if isinstance(write, list) else [write])
    return out


class DeltaChat(TypedDict):
    turns: int
    answer: str
    messages: Annotated[list, DeltaChannel(append)]


class Fan(TypedDict):
    width: int
    total: int
    results: Annotated[list, operator.add]


async def bump(state: Count) -> dict[str, Any]:
    return {"counter": state["counter"] + 1}


async def bump_yielding(state: Count) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"counter": state["counter"] + 1}


def chain_of(n: int, body: Any) -> StateGraph:
    graph = StateGraph(Count)
    for i in range(n):
        graph.add_node(f"n{i}", body)
        graph.add_edge(f"n{i - 1}" if i else START, f"n{i}")
    graph.add_edge(f"n{n - 1}", END)
    return graph


class LangGraph(System):
    name = "langgraph"
    distribution = "langgraph"
    extras = ("langgraph-checkpoint-sqlite", "langgraph-checkpoint-postgres", "psycopg[binary]")
    import_line = "from langgraph.graph import StateGraph"
    stores = ("none", "memory", "sqlite", "postgres")
    durability: Any = "sync"
    chat_state: Any = Chat

    async def open(self) -> None:
        self.stack = AsyncExitStack()
        kind = self.store.kind
        self.saver: Any = None
        if kind == "memory":
            self.saver = InMemorySaver()
        elif kind == "sqlite":
            from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

            self.saver = await self.stack.enter_async_context(AsyncSqliteSaver.from_conn_string(self.store.sqlite_path))
            await self.saver.setup()
        elif kind == "postgres":
            from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

            if self.concurrency == 1:
                context = AsyncPostgresSaver.from_conn_string(self.store.pg_url)
                self.saver = await self.stack.enter_async_context(context)
            else:
                from psycopg.rows import dict_row
                from psycopg_pool import AsyncConnectionPool

                pool = AsyncConnectionPool(
                    self.store.pg_url,
                    min_size=20,
                    max_size=20,
                    open=False,
                    timeout=120,
                    kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
                )
                await self.stack.enter_async_context(pool)
                self.saver = AsyncPostgresSaver(pool)
            await self.saver.setup()
        # the option warns when there is no checkpointer
        self.how = {"durability": self.durability} if self.saver else {}

    async def close(self) -> None:
        await self.stack.aclose()

    @staticmethod
    def config(thread: str, limit: int = 25) -> dict[str, Any]:
        return {"configurable": {"thread_id": thread}, "recursion_limit": limit}

    def runner(self, graph: StateGraph, n: int) -> Run:
        app = graph.compile(checkpointer=self.saver)

        async def run(thread: str) -> int:
            out = await app.ainvoke({"counter": 0, "label": LABEL}, self.config(thread, n + 10), **self.how)
            return out["counter"]

        return run

    async def steps(self, shape: str, n: int) -> Run:
        if shape == "chain":
            return self.runner(chain_of(n, bump), n)
        graph = StateGraph(Count)
        graph.add_node("tick", bump)
        graph.add_edge(START, "tick")
        graph.add_conditional_edges("tick", lambda s: "tick" if s["counter"] < n else END, ["tick", END])
        return self.runner(graph, n)

    async def yielding(self, n: int) -> Run:
        return self.runner(chain_of(n, bump_yielding), n)

    async def pause_resume(self) -> Any:
        if not self.saver:
            raise Unsupported("needs a checkpointer")
        app = chain_of(3, bump).compile(checkpointer=self.saver, interrupt_before=["n1"])
        config, how = self.config, self.how

        class Driver:
            async def pause(self, thread: str) -> None:
                await app.ainvoke({"counter": 0, "label": LABEL}, config(thread), **how)

            async def resume(self, thread: str) -> int:
                return (await app.ainvoke(None, config(thread), **how))["counter"]

        return Driver()

    async def chat(self) -> Any:
        if not self.saver:
            raise Unsupported("needs a checkpointer to keep a thread")

        async def hear(state: Any) -> dict[str, Any]:
            return {"turns": (state.get("turns") or 0) + 1}

        async def reply(state: Any) -> dict[str, Any]:
            return {"messages": [AIMessage(state["answer"])]}

        graph = StateGraph(self.chat_state)
        graph.add_node("hear", hear)
        graph.add_node("reply", reply)
        graph.add_edge(START, "hear")
        graph.add_edge("hear", "reply")
        graph.add_edge("reply", END)
        app = graph.compile(checkpointer=self.saver)
        config, how = self.config, self.how

        class Driver:
            async def turn(self, thread: str, user: str, assistant: str) -> None:
                said = {"messages": [HumanMessage(user)], "answer": assistant}
                await app.ainvoke(said, config(thread), **how)

            async def length(self, thread: str) -> int:
                return len((await app.aget_state(config(thread))).values["messages"])

        return Driver()

    async def fan_out(self, n: int) -> Run:
        async def start(state: Fan) -> dict[str, Any]:
            return {"total": 0}

        async def branch(state: dict[str, int]) -> dict[str, Any]:
            return {"results": [state["i"]]}

        async def join(state: Fan) -> dict[str, Any]:
            return {"total": sum(state["results"])}

        graph = StateGraph(Fan)
        graph.add_node("start", start)
        graph.add_node("branch", branch)
        graph.add_node("join", join)
        graph.add_edge(START, "start")
        graph.add_conditional_edges(
            "start", lambda s: [Send("branch", {"i": i}) for i in range(s["width"])], ["branch"]
        )
        graph.add_edge("branch", "join")
        graph.add_edge("join", END)
        app = graph.compile(checkpointer=self.saver)

        async def run(thread: str) -> int:
            out = await app.ainvoke({"width": n, "total": 0, "results": []}, self.config(thread), **self.how)
            return out["total"]

        return run

    def nap_graph(self, seconds: float, started: Any) -> Any:
        async def nap(state: Count) -> dict[str, Any]:
            started()
            await asyncio.sleep(seconds)
            return {"counter": state["counter"] + 1}

        graph = StateGraph(Count)
        graph.add_node("first", bump)
        graph.add_node("nap", nap)
        graph.add_edge(START, "first")
        graph.add_edge("first", "nap")
        graph.add_edge("nap", END)
        return graph.compile(checkpointer=self.saver)

    async def sleeper(self, seconds: float, started: Any) -> Any:
        app = self.nap_graph(seconds, started)
        config, how, saver = self.config, self.how, self.saver
        loop = asyncio.get_running_loop()
        tasks: dict[str, asyncio.Task[Any]] = {}

        class Driver:
            async def run(self, thread: str) -> None:
                work = app.ainvoke({"counter": 0, "label": LABEL}, config(thread), **how)
                tasks[thread] = asyncio.create_task(work)
                await tasks[thread]

            async def stop(self, thread: str) -> None:
                tasks[thread].cancel()

            def stop_from_thread(self, thread: str) -> None:
                loop.call_soon_threadsafe(tasks[thread].cancel)

            async def stored(self, thread: str) -> str:
                if not saver:
                    return "-"
                state = await app.aget_state(config(thread))
                tasks = [(t.name, t.error) for t in state.tasks]
                return f"next={state.next}, counter={state.values.get('counter')}, tasks={tasks}"

        return Driver()


class LangGraphAsync(LangGraph):
    """Its default: checkpoints are written behind the next step."""

    name = "langgraph-async"
    stores = ("memory", "sqlite", "postgres")
    durability = "async"


class LangGraphDelta(LangGraph):
    """Messages in the beta DeltaChannel. Only the chat differs."""

    name = "langgraph-delta"
    stores = ("memory", "sqlite", "postgres")
    chat_state = DeltaChat
    only = ("chat",)


class LangGraphDrain(LangGraph):
    """Stopping through its own RunControl instead of cancelling the task."""

    name = "langgraph-drain"
    stores = ("memory", "sqlite", "postgres")
    only = ("stop",)

    async def sleeper(self, seconds: float, started: Any) -> Any:
        app = self.nap_graph(seconds, started)
        config, how = self.config, self.how
        controls: dict[str, RunControl] = {}

        class Driver:
            async def run(self, thread: str) -> None:
                controls[thread] = RunControl()
                await app.ainvoke({"counter": 0, "label": LABEL}, config(thread), control=controls[thread], **how)

            async def stop(self, thread: str) -> None:
                controls[thread].request_drain()

            def stop_from_thread(self, thread: str) -> None:
                controls[thread].request_drain()

            async def stored(self, thread: str) -> str:
                state = await app.aget_state(config(thread))
                return f"next={state.next}"

        return Driver()


SYSTEMS = [LangGraph, LangGraphAsync, LangGraphDelta, LangGraphDrain]
