"""Apache Burr: actions and transitions; a persister hook saves the state after each step."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from burr.core import ApplicationBuilder, State, action
from burr.core.action import Condition, create_action
from burr.core.graph import GraphBuilder
from burr.core.parallelism import MapStates
from burr.core.persistence import AsyncInMemoryPersister

from ..protocol import LABEL, Run, System, Unsupported


@action(reads=["counter"], writes=["counter"])
async def bump(state: State) -> State:
    return state.update(counter=state["counter"] + 1)


@action(reads=["counter"], writes=["counter"])
async def bump_yielding(state: State) -> State:
    await asyncio.sleep(0)
    return state.update(counter=state["counter"] + 1)


@action(reads=["i"], writes=["result"])
async def branch(state: State) -> State:
    return state.update(result=state["i"])


def chain_of(n: int, body: Any) -> Any:
    names = [f"n{i}" for i in range(n)]
    builder = GraphBuilder().with_actions(**{name: body for name in names})
    return builder.with_transitions(*pairwise(names)).build()


class Fan(MapStates):
    """Maps to ``width`` branches, and adds up what they return."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def is_async(self) -> bool:
        return True

    def action(self, state: State, inputs: dict[str, Any]) -> Any:
        return create_action(branch, name="branch")

    async def states(self, state: State, inputs: dict[str, Any], context: Any) -> Any:
        for i in range(self.width):
            yield state.update(i=i)

    async def reduce(self, state: State, states: Any) -> State:
        total = 0
        async for one in states:
            total += one["result"]
        return state.update(total=total)

    @property
    def reads(self) -> list[str]:
        return ["counter"]

    @property
    def writes(self) -> list[str]:
        return ["total"]


class Burr(System):
    name = "burr"
    distribution = "apache-burr"
    extras = ("aiosqlite", "asyncpg")
    import_line = "from burr.core import ApplicationBuilder, action"
    stores = ("none", "memory", "sqlite", "postgres")

    async def open(self) -> None:
        kind = self.store.kind
        self.persister: Any = None
        self.shut: Any = None
        if kind == "memory":
            self.persister = AsyncInMemoryPersister()
        elif kind == "sqlite":
            from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

            self.persister = await AsyncSQLitePersister.from_values(self.store.sqlite_path)
            self.shut = self.persister.close
        elif kind == "postgres":
            from burr.integrations.persisters.b_asyncpg import AsyncPostgreSQLPersister

            at = urlsplit(self.store.pg_url)
            pool = {"use_pool": True, "min_size": 20, "max_size": 20} if self.concurrency > 1 else {}
            self.persister = await AsyncPostgreSQLPersister.from_values(
                db_name=at.path[1:], user=at.username, password="", host=at.hostname, port=at.port, **pool
            )
            self.shut = self.persister.pool.close if pool else self.persister.cleanup
        if kind in ("sqlite", "postgres"):
            await self.persister.initialize()

    async def close(self) -> None:
        if self.shut:
            await self.shut()

    async def app(self, graph: Any, thread: str, entry: str, **state: Any) -> Any:
        """A fresh application: Burr has one object for each thread."""
        builder = ApplicationBuilder().with_graph(graph).with_identifiers(app_id=thread, partition_key="bench")
        builder = builder.with_state(**state).with_entrypoint(entry)
        if self.persister:
            builder = builder.with_state_persister(self.persister)
        return await builder.abuild()

    async def reload(self, graph: Any, thread: str, entry: str, resume: bool, **state: Any) -> Any:
        builder = ApplicationBuilder().with_graph(graph).with_identifiers(app_id=thread, partition_key="bench")
        builder = builder.initialize_from(
            self.persister, resume_at_next_action=resume, default_state=state, default_entrypoint=entry
        )
        return await builder.with_state_persister(self.persister).abuild()

    def runner(self, graph: Any, last: str, entry: str) -> Run:
        async def run(thread: str) -> int:
            app = await self.app(graph, thread, entry, counter=0, label=LABEL)
            _, _, state = await app.arun(halt_after=[last])
            return state["counter"]

        return run

    async def steps(self, shape: str, n: int) -> Run:
        if shape == "chain":
            return self.runner(chain_of(n, bump), f"n{n - 1}", "n0")
        builder = GraphBuilder().with_actions(tick=bump, done=bump)
        graph = builder.with_transitions(
            ("tick", "tick", Condition.lmda(lambda s: s["counter"] < n - 1, ["counter"])), ("tick", "done")
        ).build()
        return self.runner(graph, "done", "tick")

    async def yielding(self, n: int) -> Run:
        return self.runner(chain_of(n, bump_yielding), f"n{n - 1}", "n0")

    async def pause_resume(self) -> Any:
        if not self.persister:
            raise Unsupported("needs a persister")
        graph = chain_of(3, bump)
        system = self

        class Driver:
            async def pause(self, thread: str) -> None:
                app = await system.app(graph, thread, "n0", counter=0, label=LABEL)
                await app.arun(halt_before=["n1"])

            async def resume(self, thread: str) -> int:
                app = await system.reload(graph, thread, "n0", True, counter=0)
                _, _, state = await app.arun(halt_after=["n2"])
                return state["counter"]

        return Driver()

    async def chat(self) -> Any:
        @action(reads=["messages"], writes=["messages"])
        async def hear(state: State, said: str) -> State:
            return state.append(messages={"role": "user", "content": said})

        @action(reads=["messages"], writes=["messages"])
        async def reply(state: State, answer: str) -> State:
            return state.append(messages={"role": "assistant", "content": answer})

        builder = GraphBuilder().with_actions(hear=hear, reply=reply)
        graph = builder.with_transitions(("hear", "reply"), ("reply", "hear")).build()
        system = self
        live: dict[str, Any] = {}

        class Driver:
            async def turn(self, thread: str, user: str, assistant: str) -> None:
                if system.persister:
                    app = await system.reload(graph, thread, "hear", True, messages=[])
                else:
                    app = live.get(thread) or await system.app(graph, thread, "hear", messages=[])
                    live[thread] = app
                _, _, state = await app.arun(halt_after=["reply"], inputs={"said": user, "answer": assistant})
                self.size = len(state["messages"])

            async def length(self, thread: str) -> int:
                return self.size

        return Driver()

    async def fan_out(self, n: int) -> Run:
        @action(reads=["counter"], writes=["counter"])
        async def start(state: State) -> State:
            return state.update(counter=0)

        @action(reads=["total"], writes=["total"])
        async def join(state: State) -> State:
            return state.update(total=state["total"])

        builder = GraphBuilder().with_actions(start=start, fan=Fan(n), join=join)
        graph = builder.with_transitions(("start", "fan"), ("fan", "join")).build()

        async def run(thread: str) -> int:
            app = await self.app(graph, thread, "start", counter=0)
            _, _, state = await app.arun(halt_after=["join"])
            return state["total"]

        return run

    async def sleeper(self, seconds: float, started: Any) -> Any:
        @action(reads=["counter"], writes=["counter"])
        async def nap(state: State) -> State:
            started()
            await asyncio.sleep(seconds)
            return state.update(counter=state["counter"] + 1)

        builder = GraphBuilder().with_actions(first=bump, nap=nap)
        graph = builder.with_transitions(("first", "nap")).build()
        system = self
        loop = asyncio.get_running_loop()
        tasks: dict[str, asyncio.Task[Any]] = {}

        class Driver:
            async def run(self, thread: str) -> None:
                app = await system.app(graph, thread, "first", counter=0)
                tasks[thread] = asyncio.create_task(app.arun(halt_after=["nap"]))
                await tasks[thread]

            async def stop(self, thread: str) -> None:
                tasks[thread].cancel()

            def stop_from_thread(self, thread: str) -> None:
                loop.call_soon_threadsafe(tasks[thread].cancel)

            async def stored(self, thread: str) -> str:
                if not system.persister:
                    return "-"
                row = await system.persister.load("bench", thread)
                return f"position={row['position']}, status={row['status']}, counter={row['state'].get('counter')}"

        return Driver()


SYSTEMS = [Burr]
